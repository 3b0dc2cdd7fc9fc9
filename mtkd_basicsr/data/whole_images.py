"""Whole images of BasicSR's paired datasets, without cropping."""

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import lmdb
import numpy as np

from ..config import choice
from ..errors import DataError, MTKDError, OptionError
from ..host.shared_lmdb import open_environment
from ..utils.image_head import Head, read_head
from .cache.format import data_file, missing_end
from .cache.inputs import CachedImage
from .cache.sources import notes_of
from .image_names import image_names
from .paired_images import PairedImageDataset, refuse_damage
from .source_files import SourceFiles

_BACKENDS = ('disk', 'lmdb', 'memcached')


def _check_lmdb(path: str, key: str) -> None:
    """Raise if an LMDB cannot be opened or was cut off, before something is read from it."""
    try:
        env = open_environment(path, readonly=True, lock=False, readahead=False)
        problem = missing_end(env, os.path.getsize(data_file(path)))
    except (lmdb.Error, OSError) as error:
        raise DataError(f"{key}: '{path}' cannot be read as an LMDB: {error}") from error
    if problem is not None:
        raise DataError(f"{key}: '{path}' was cut off: {problem}; copy it again")


@contextlib.contextmanager
def listing_errors(key: str) -> Iterator[None]:
    """Turn any error of a constructor that lists images into one that names the option key.

    Args:
        key: Option key of the dataset.

    Raises:
        DataError: BasicSR cannot list the images.
    """
    try:
        yield
    except Exception as error:  # BasicSR has assertions, and reads keys unchecked
        raise DataError(
            f'{key}: BasicSR cannot list its images: {type(error).__name__}: {error}'
        ) from error


def folder_error(key: str, path: object) -> MTKDError | None:
    """Return an error for a folder or LMDB of images that is not there; None if it is.

    Args:
        key: Option key, for the message.
        path: Its value.
    """
    if path is None:
        return OptionError(f'{key}: missing')
    path = os.path.expanduser(str(path))
    # An LMDB may be a folder or a file.
    exists = os.path.exists if path.endswith('.lmdb') else os.path.isdir
    return None if exists(path) else DataError(f"{key}: no folder '{path}'")


def build_paired_dataset(block: dict[str, Any], key: str) -> PairedImageDataset:
    """Build a ``PairedImageDataset`` from a block of an option file.

    ``target_cache`` is ignored: whole images are read without targets.

    Args:
        block: Options with ``phase`` and ``scale``, as returned by BasicSR's ``parse_options``.
        key: Option key of the block, for messages.

    Raises:
        DataError: A folder is missing, BasicSR cannot list the images, or an LMDB is damaged.
        OptionError: An option is missing, or BasicSR has no such ``io_backend``.
    """
    options = copy.deepcopy(block)
    options.pop('target_cache', None)
    for name in ('dataroot_gt', 'dataroot_lq'):
        error = folder_error(f'{key}.{name}', options.get(name))
        if error is not None:
            raise error
    with listing_errors(key):
        dataset = PairedImageDataset(options)
    backend = dataset.io_backend_opt['type']
    choice(backend, _BACKENDS, f'{key}.io_backend.type')
    if backend == 'lmdb':
        _check_lmdb(dataset.gt_folder, f'{key}.dataroot_gt')
        _check_lmdb(dataset.lq_folder, f'{key}.dataroot_lq')
    return dataset


class Pair(NamedTuple):
    """A low-resolution image and its ground truth.

    Attributes:
        lq: (h, w, 3), BGR, uint8.
        gt: (scale · h, scale · w, 3), BGR, uint8.
        notes: Notes about the files of ``'lq'`` and ``'gt'`` (:func:`~.cache.sources.notes_of`).
    """

    lq: np.ndarray
    gt: np.ndarray
    notes: dict[str, list[int]]


class WholeImagePairs:
    """Whole images of a ``PairedImageDataset``, uint8 BGR as stored in the files.

    Args:
        dataset: Any paired dataset.
        scale: Upscaling factor.
    """

    def __init__(self, dataset: PairedImageDataset, scale: int) -> None:
        self.dataset = dataset
        self.scale = scale
        self.files = SourceFiles(dataset)

    def bytes_of(self, index: int, kind: str) -> bytes:
        """Return the content of an image file.

        Args:
            index: Index of the pair in the dataset.
            kind: ``'lq'`` or ``'gt'``.
        """
        return self.files.read(index, kind)

    def size(self, index: int, kind: str = 'gt') -> tuple[int, int]:
        """Return (height, width) of an image, read from the header of its file."""
        return self.head(index, kind).size

    def head(self, index: int, kind: str = 'gt') -> Head:
        """Read the header of an image.

        Raises:
            DataError: The file cannot be read as an image.
        """
        path = self.files.path(index, kind)
        return read_head(path if self.files.on_disk else self.bytes_of(index, kind), path)

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
        return self._image(index, kind)[0]

    def _image(self, index: int, kind: str) -> tuple[np.ndarray, list[int]]:
        content, notes = notes_of(self.files, index, kind)
        refuse_damage(content, f"'{self.files.path(index, kind)}'")
        return self.files.decode(index, kind, content), notes

    def pair(self, index: int) -> Pair:
        """Decode both images of a pair.

        Raises:
            DataError: A file is not an image or is damaged, or the sizes do not match the scale.
        """
        lq, lq_notes = self._image(index, 'lq')
        gt, gt_notes = self._image(index, 'gt')
        self.check_sizes(index, gt.shape, lq.shape)
        return Pair(lq, gt, {'lq': lq_notes, 'gt': gt_notes})


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
    pairs = WholeImagePairs(dataset, scale)
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
