"""Whole images of BasicSR's paired datasets."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils import FileClient
from torch.utils.data import Dataset

from ..config import choice
from ..errors import DataError
from ..utils.image_folder import Head, read_head
from ..utils.images import decode
from .cache.inputs import CachedImage
from .distill_dataset import image_names

_BACKENDS = ('disk', 'lmdb', 'memcached')


def paired_dataset(block: dict[str, Any], key: str) -> PairedImageDataset:
    """Build a ``PairedImageDataset`` from a block of an option file.

    Its ``target_cache`` is left out, because looking at images takes no targets.

    Args:
        block: With ``phase`` and ``scale``, as BasicSR's ``parse_options`` leaves it.
        key: Where it stands in the option file, for messages.

    Raises:
        DataError: BasicSR cannot list the images.
        OptionError: it knows no such ``io_backend``.
    """
    try:
        dataset = PairedImageDataset(
            copy.deepcopy({k: v for k, v in block.items() if k != 'target_cache'})
        )
    except Exception as error:  # it asserts, and takes its keys as they come
        raise DataError(
            f'{key}: BasicSR cannot list its images: {type(error).__name__}: {error}'
        ) from error
    choice(dataset.io_backend_opt['type'], _BACKENDS, f'{key}.io_backend.type')
    return dataset


class Pairs(Dataset[Any]):
    """Whole images of a ``PairedImageDataset`` that are still to be done, as files have them.

    Args:
        dataset: Any dataset of pairs.
        indices: Which of its images are to be done.
        scale: What the low-resolution images are smaller by.
    """

    def __init__(self, dataset: PairedImageDataset, indices: Sequence[int], scale: int) -> None:
        self.dataset = dataset
        self.indices = indices
        self.scale = scale
        self.client: FileClient | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def bytes_of(self, index: int, kind: str) -> bytes:
        """Return the content of the file of an image.

        Args:
            index: Number of the pair in the dataset.
            kind: ``'lq'`` or ``'gt'``.
        """
        if self.client is None:
            options = dict(self.dataset.io_backend_opt)
            self.client = FileClient(options.pop('type'), **options)
        return self.client.get(self.dataset.paths[index][f'{kind}_path'], kind)

    def size(self, index: int, kind: str = 'gt') -> tuple[int, int]:
        """Return (height, width) of an image, as the head of its file has them."""
        return self.head(index, kind)[:2]

    def head(self, index: int, kind: str = 'gt') -> Head:
        """Read the head of an image.

        Raises:
            DataError: it cannot be read as an image.
        """
        path = self.dataset.paths[index][f'{kind}_path']
        return read_head(
            path if self.dataset.io_backend_opt['type'] == 'disk' else self.bytes_of(index, kind),
            path,
        )

    def check_sizes(self, index: int, gt: tuple[int, ...], lq: tuple[int, ...]) -> None:
        """Raise if the sizes of a pair are not the scale apart.

        Args:
            index: Number of the pair in the dataset.
            gt: (height, width, …) of the ground truth.
            lq: (height, width, …) of the low-resolution image.

        Raises:
            DataError: they are not.
        """
        if tuple(gt[:2]) != (lq[0] * self.scale, lq[1] * self.scale):
            raise DataError(
                f'{self.dataset.paths[index]["gt_path"]}: {gt[0]}×{gt[1]} pixels, and '
                f'{lq[0]}×{lq[1]} in the low-resolution '
                f'image; scale is {self.scale}'
            )

    def _image(self, index: int, kind: str) -> np.ndarray:
        content = self.bytes_of(index, kind)
        image = decode(content)
        if image is None:
            raise DataError(
                f"'{self.dataset.paths[index][f'{kind}_path']}' cannot be read as an image"
            )
        return image

    def __getitem__(
        self, i: int
    ) -> tuple[int, torch.Tensor, torch.Tensor] | tuple[DataError, None, None]:
        try:
            return self._pair(self.indices[i])
        # for the main process to raise: from here it would come with a traceback in its text
        except DataError as error:
            return error, None, None

    def _pair(self, index: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        lq, gt = (self._image(index, kind) for kind in ('lq', 'gt'))
        self.check_sizes(index, gt.shape, lq.shape)
        return index, torch.from_numpy(lq), torch.from_numpy(gt)


def list_images(dataset: PairedImageDataset, root: str, scale: int) -> list[CachedImage]:
    """List names and sizes of the ground truths of a dataset, from the heads of their files.

    Args:
        dataset: Any dataset of pairs.
        root: Its ``dataroot_gt``.
        scale: What the low-resolution images are smaller by.

    Returns:
        Name, height and width of each.

    Raises:
        DataError: an image cannot be read, or sizes do not fit the scale.
    """
    pairs = Pairs(dataset, [], scale)
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
