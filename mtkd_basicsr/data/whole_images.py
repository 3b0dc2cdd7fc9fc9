"""Whole images of BasicSR's paired datasets, without cropping."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from basicsr.utils import FileClient
from torch.utils.data import Dataset

from ..config import choice
from ..errors import DataError
from ..utils.image_folder import Head, read_head
from ..utils.images import decode
from .cache.inputs import CachedImage
from .distill_dataset import image_names
from .paired_images import PairedImageDataset, refuse_damage

_BACKENDS = ('disk', 'lmdb', 'memcached')


def build_paired_dataset(block: dict[str, Any], key: str) -> PairedImageDataset:
    """Build a ``PairedImageDataset`` from a block of an option file.

    ``target_cache`` is ignored: whole images are read without targets.

    Args:
        block: Options with ``phase`` and ``scale``, as returned by BasicSR's ``parse_options``.
        key: Option key of the block, for messages.

    Raises:
        DataError: BasicSR cannot list the images.
        OptionError: BasicSR has no such ``io_backend``.
    """
    options = copy.deepcopy(block)
    options.pop('target_cache', None)
    try:
        dataset = PairedImageDataset(options)
    except Exception as error:  # it has assertions, and reads keys unchecked
        raise DataError(
            f'{key}: BasicSR cannot list its images: {type(error).__name__}: {error}'
        ) from error
    choice(dataset.io_backend_opt['type'], _BACKENDS, f'{key}.io_backend.type')
    return dataset


class WholeImagePairs(Dataset[Any]):
    """Whole images of a ``PairedImageDataset``, uint8 BGR as stored in the files.

    An item is the index of a pair, its low-resolution image and its ground truth; or a
    :class:`DataError` and two None if a file cannot be used.

    Args:
        dataset: Any paired dataset.
        indices: Indices of the pairs to iterate over.
        scale: Upscaling factor.
    """

    def __init__(self, dataset: PairedImageDataset, indices: Sequence[int], scale: int) -> None:
        self.dataset = dataset
        self.indices = indices
        self.scale = scale
        self.client: FileClient | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def bytes_of(self, index: int, kind: str) -> bytes:
        """Return the content of an image file.

        Args:
            index: Index of the pair in the dataset.
            kind: ``'lq'`` or ``'gt'``.
        """
        if self.client is None:
            options = dict(self.dataset.io_backend_opt)
            self.client = FileClient(options.pop('type'), **options)
        return self.client.get(self.dataset.paths[index][f'{kind}_path'], kind)

    def size(self, index: int, kind: str = 'gt') -> tuple[int, int]:
        """Return (height, width) of an image, read from the header of its file."""
        return self.head(index, kind).size

    def head(self, index: int, kind: str = 'gt') -> Head:
        """Read the header of an image.

        Raises:
            DataError: The file cannot be read as an image.
        """
        path = self.dataset.paths[index][f'{kind}_path']
        on_disk = self.dataset.io_backend_opt['type'] == 'disk'
        return read_head(path if on_disk else self.bytes_of(index, kind), path)

    def check_sizes(self, index: int, gt: tuple[int, ...], lq: tuple[int, ...]) -> None:
        """Raise if the sizes of a pair do not match the scale.

        Args:
            index: Index of the pair in the dataset.
            gt: (height, width, …) of the ground truth.
            lq: (height, width, …) of the low-resolution image.

        Raises:
            DataError: The ground truth is not ``scale`` times as large.
        """
        if tuple(gt[:2]) != (lq[0] * self.scale, lq[1] * self.scale):
            raise DataError(
                f'{self.dataset.paths[index]["gt_path"]}: {gt[0]}×{gt[1]} pixels, and '
                f'{lq[0]}×{lq[1]} in the low-resolution image; scale is {self.scale}'
            )

    def image(self, index: int, kind: str) -> np.ndarray:
        """Decode an image as BasicSR does: (h, w, 3), BGR, uint8.

        Raises:
            DataError: The file is not an image, or is damaged.
        """
        path = self.dataset.paths[index][f'{kind}_path']
        content = self.bytes_of(index, kind)
        refuse_damage(content, f"'{path}'")
        image = decode(content)
        if image is None:
            raise DataError(f"'{path}' cannot be read as an image")
        return image

    def __getitem__(
        self, i: int
    ) -> tuple[int, torch.Tensor, torch.Tensor] | tuple[DataError, None, None]:
        try:
            return self._pair(self.indices[i])
        # Returned, for the main process to raise: torch would add a traceback to its message.
        except DataError as error:
            return error, None, None

    def _pair(self, index: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        lq = self.image(index, 'lq')
        gt = self.image(index, 'gt')
        self.check_sizes(index, gt.shape, lq.shape)
        return index, torch.from_numpy(lq), torch.from_numpy(gt)


def list_images(dataset: PairedImageDataset, root: str, scale: int) -> list[CachedImage]:
    """List names and sizes of the ground truths of a dataset, read from the file headers.

    Args:
        dataset: Any paired dataset.
        root: Its ``dataroot_gt``.
        scale: Upscaling factor.

    Returns:
        Name, height and width of each ground truth.

    Raises:
        DataError: An image cannot be read, or sizes do not match the scale.
    """
    pairs = WholeImagePairs(dataset, [], scale)
    images = []
    for index, name in enumerate(image_names(dataset, root)):
        h, w = pairs.size(index)
        if h % scale or w % scale:
            raise DataError(
                f'{dataset.paths[index]["gt_path"]}: {h}×{w} pixels; expected multiples of the '
                f'scale, {scale}'
            )
        pairs.check_sizes(index, (h, w), pairs.size(index, 'lq'))
        images.append(CachedImage(name, h, w))
    return images
