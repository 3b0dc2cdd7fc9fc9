"""BasicSR's paired dataset, extended by targets from a cache."""

import dataclasses
from typing import Any

import numpy as np
import torch
from basicsr.data.transforms import augment, paired_random_crop
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY
from torchvision.transforms.functional import normalize

from ..config import cache_path
from ..errors import CacheError, OptionError
from ..utils.registry import register
from .cache.format import array_names, state_of
from .cache.inputs import CachedImage
from .cache.key import Use
from .cache.reader import CacheReader
from .cache.sources import Extent, compare
from .image_names import image_names
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
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
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
            'memory map; no teacher is needed.'
        )

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.cache is None:
            return super().__getitem__(index)
        paths = self.paths[index]
        cache_index = self.cache_indices[index]
        # The low-resolution image; ground truth and targets.
        small, *large = [self.cache.image(cache_index, name) for name in self.array_names]
        large, small = paired_random_crop(
            large, small, self.opt['gt_size'], self.opt['scale'], paths['gt_path']
        )
        # BasicSR draws the flips, as for PairedImageDataset; they are applied in the conversion.
        _, flips = augment([], self.opt['use_hflip'], self.opt['use_rot'], return_status=True)
        lq = _to_tensor([small], flips)
        gt = _to_tensor(large[:1], flips)
        targets = _to_tensor(large[1:], flips)
        if self.mean is not None or self.std is not None:
            for image in (lq, gt, *targets.split(3)):
                normalize(image, self.mean, self.std, inplace=True)
        return {
            'lq': lq,
            'gt': gt,
            self.cache.key.contents: targets,
            'lq_path': paths['lq_path'],
            'gt_path': paths['gt_path'],
        }
