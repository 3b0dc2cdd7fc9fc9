"""BasicSR's paired dataset, extended by targets from a cache."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate
from torchvision.transforms.functional import normalize

from ..config import cache_path
from ..errors import CacheError, OptionError
from ..host.api import DATASET_REGISTRY, augment, get_root_logger, paired_random_crop
from ..utils.registry import register
from .cache.format import array_names, state_of
from .cache.inputs import CachedImage
from .cache.key import Use
from .cache.reader import CacheReader
from .cache.sources import Extent, compare
from .image_names import image_names
from .packed_batches import new_batch, put_image
from .paired_images import PairedImageDataset
from .source_files import SourceFiles


def matching_indices(
    cache: CacheReader,
    dataset: PairedImageDataset,
    root: str,
    scale: int,
    extent: Extent = Extent.QUICK,
) -> tuple[list[int], str | None]:
    """Return the index in a cache of each image of a dataset.

    Args:
        cache: The cache.
        dataset: Any paired dataset.
        root: Its ``dataroot_gt``.
        scale: Upscaling factor.
        extent: How many images are compared.

    Returns:
        The indices; a warning about images whose contents were not compared, None if all were.

    Raises:
        CacheError: The cache was made of other images, or with another scale.
        DataError: Two images have the same name, or a file cannot be read.
    """
    names = image_names(dataset, root)
    # The model compares the parts of the key that it needs.
    wanted = dataclasses.replace(
        cache.key, scale=scale, images=tuple(CachedImage(name) for name in names)
    )
    found = cache.key.differences(wanted, Use.READ)
    if found:
        raise CacheError(
            f"target cache '{cache.path}' does not match the option file: {'; '.join(found)}; "
            'rebuild it with mtkd cache -opt FILE --overwrite'
        )
    index_of = {image.name: index for index, image in enumerate(cache.key.images)}
    indices = [index_of[name] for name in names]
    in_dataset = {cached: index for index, cached in enumerate(indices)}
    comparison = compare(cache, cache.path, SourceFiles(dataset), in_dataset, extent)
    if comparison.changed:
        raise CacheError(
            f"target cache '{cache.path}' was made of other images: "
            f'{comparison.describe([image.name for image in cache.key.images])}; compute their '
            'targets anew with mtkd cache -opt FILE --overwrite'
        )
    return indices, comparison.describe_rest(cache.path)


def _to_tensor(images: list[np.ndarray], flips: tuple[bool, bool, bool]) -> torch.Tensor:
    """Flip and convert crops from a memory map in one pass over the data.

    Args:
        images: n crops of the same size, (h, w, 3), BGR, uint8.
        flips: Whether to flip horizontally, flip vertically, and transpose.

    Returns:
        (3 · n, h, w), or (3 · n, w, h) if transposed, RGB, [0, 1].
    """
    horizontal, vertical, transposed = flips
    h, w = images[0].shape[:2]
    size = (w, h) if transposed else (h, w)
    result = np.empty((3 * len(images), *size), np.float32)
    for i, image in enumerate(images):
        image = image[:: -1 if vertical else 1, :: -1 if horizontal else 1]
        image = image.transpose(2, 1, 0) if transposed else image.transpose(2, 0, 1)
        np.divide(image[::-1], np.float32(255), out=result[3 * i : 3 * i + 3], casting='unsafe')
    return torch.from_numpy(result)


def _as_it_is(batch: Any) -> Any:
    """Collate what :meth:`DistillImageDataset.__getitems__` has packed."""
    return batch


@register(DATASET_REGISTRY)
class DistillImageDataset(PairedImageDataset):
    """``PairedImageDataset`` with targets from ``mtkd cache``.

    If the cache ``target_cache`` exists, low-resolution image, ground truth and target are cropped
    from its memory map, with the same random crop and flips as in ``PairedImageDataset``, and no
    file is decoded. Otherwise this is ``PairedImageDataset``, and the teachers run at every step.

    Args:
        opt (dict): The keys of ``PairedImageDataset`` and

            - target_cache (str | None): LMDB written by ``mtkd cache``. Used only in training.

    Raises:
        CacheError: The cache is unfinished or damaged, or belongs to other images or another scale.
        OptionError: The option ``color: y`` is set, but a cache has RGB targets.

    An item has the entries of ``PairedImageDataset``: ``lq`` (3, h, w) and ``gt`` (3, scale · h,
    scale · w), RGB, [0, 1], with ``lq_path`` and ``gt_path``. With a cache it also has ``target``
    (3, scale · h, scale · w), or ``teachers`` (3 N, scale · h, scale · w) in the order of
    ``cache.key.teachers``.

    In trainings of this package's models by BasicSR's loop, batches are packed instead; see
    :meth:`pack_batches`.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        self.packs = False
        path = cache_path(opt)
        self.cache: CacheReader | None = None
        if path is None or opt['phase'] != 'train':
            return
        if state_of(path) == 'none':
            get_root_logger().info(
                f"Target cache '{path}' does not exist: the teachers run at every step "
                '(mtkd cache -opt FILE creates it).'
            )
            return
        if opt.get('color') == 'y':
            raise OptionError(
                "datasets.train.color: 'y', but the targets of a cache are RGB; remove color or "
                'target_cache'
            )
        self.cache = CacheReader(path)
        self.cache_indices, warning = matching_indices(
            self.cache, self, self.gt_folder, opt['scale']
        )
        if warning is not None:
            get_root_logger().warning(warning)
        self.cache.locate()
        key = self.cache.key
        self.array_names = array_names(key)
        get_root_logger().info(
            f"Target cache '{path}': {key.contents} of {len(self.cache_indices)} images from a "
            'memory map; no teacher is needed for these.'
        )

    def pack_batches(self, loader: DataLoader[Any]) -> None:
        """Give a loader of this dataset each batch as one tensor of bytes.

        :func:`~.packed_batches.to_device` unpacks it, to the same bits. Crops, flips and the order
        of random numbers are the same. Nothing is done for images that are no bytes (``color: y``),
        and for classes and loaders with items or batches of their own.

        Args:
            loader: The loader, which has not started yet.
        """
        cls = type(self)
        own = (cls.__getitem__, cls.__getitems__) != (
            DistillImageDataset.__getitem__,
            DistillImageDataset.__getitems__,
        )
        if own or self.opt.get('color') == 'y' or loader.collate_fn is not default_collate:
            return
        self.packs = True
        loader.collate_fn = _as_it_is

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.cache is None:
            return super().__getitem__(index)
        (small, *large), flips = self._crops(index)
        lq = _to_tensor([small], flips)
        gt = _to_tensor(large[:1], flips)
        targets = _to_tensor(large[1:], flips)
        if self.mean is not None or self.std is not None:
            for image in (lq, gt, *targets.split(3)):
                normalize(image, self.mean, self.std, inplace=True)
        paths = self.paths[index]
        return {
            'lq': lq,
            'gt': gt,
            self.cache.key.contents: targets,
            'lq_path': paths['lq_path'],
            'gt_path': paths['gt_path'],
        }

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """Return a packed batch; a list of items before :meth:`pack_batches`."""
        if not self.packs:
            return [self[index] for index in indices]
        size = self.opt['gt_size']
        small = size // self.opt['scale']
        count = len(indices)
        layout = {'lq': (count, 3, small, small), 'gt': (count, 3, size, size)}
        if self.cache is not None:
            outputs = len(self.array_names) - 2
            layout[self.cache.key.contents] = (count, 3 * outputs, size, size)
        batch, places = new_batch(layout, self.mean, self.std)
        for index, of_sample in zip(indices, places, strict=True):
            images, flips = self._crops(index)
            for image, place in zip(images, of_sample, strict=True):
                put_image(image, flips, place)
        for key in ('lq_path', 'gt_path'):
            batch[key] = [self.paths[index][key] for index in indices]
        return batch

    def _images(self, index: int) -> list[Any]:
        """Return low-resolution image, ground truth and targets: (h, w, 3), BGR, uint8.

        Those in a cache are no arrays: they are read where they are cut.
        """
        if self.cache is not None:
            cache_index = self.cache_indices[index]
            return [self.cache.image(cache_index, name) for name in self.array_names]
        # In BasicSR's order, so that errors name the same file.
        gt = self.read_image(index, 'gt')
        return [self.read_image(index, 'lq'), gt]

    def _crops(self, index: int) -> tuple[list[np.ndarray], tuple[bool, bool, bool]]:
        """Crop the images of a sample, with the random numbers of ``PairedImageDataset``.

        Args:
            index: Index of the sample.

        Returns:
            Crops of :meth:`_images`; whether to flip horizontally, flip vertically, and transpose.
        """
        small, *large = self._images(index)
        size, scale = self.opt['gt_size'], self.opt['scale']
        large, small = paired_random_crop(large, small, size, scale, self.paths[index]['gt_path'])
        # A single one comes without its list.
        large = large if isinstance(large, list) else [large]
        # BasicSR draws the flips; they are applied in the conversion.
        _, flips = augment([], self.opt['use_hflip'], self.opt['use_rot'], return_status=True)
        return [small, *large], flips
