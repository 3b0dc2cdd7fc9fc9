"""The files, or values of LMDBs, that hold the images of a paired dataset."""

import os
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..host.api import FileClient, PairedImageDataset
from ..utils.images import decode


class Status(NamedTuple):
    """What the system says of a file without reading it.

    Attributes:
        size: Size in bytes.
        modified: Time of the last change of its content, in nanoseconds.
        changed: Time of the last change of its content, name or owner, in nanoseconds. It is
            another one after two files have changed places, and cannot be set back.
    """

    size: int
    modified: int
    changed: int


class SourceFiles:
    """Reads the files of the images of a dataset.

    Args:
        dataset: Any paired dataset.
    """

    def __init__(self, dataset: PairedImageDataset) -> None:
        self.dataset = dataset
        # BasicSR's datasets remove the type of the backend when they read their first image.
        self._backend = dict(dataset.io_backend_opt)
        self._client: FileClient | None = None

    @property
    def on_disk(self) -> bool:
        """Return whether each image is a file."""
        return self._backend['type'] == 'disk'

    def path(self, index: int, kind: str) -> str:
        """Return the path of an image, or its key in an LMDB.

        Args:
            index: Index of the pair in the dataset.
            kind: ``'lq'`` or ``'gt'``.
        """
        return str(self.dataset.paths[index][f'{kind}_path'])

    def _lmdb(self, kind: str) -> str | None:
        if self._backend['type'] != 'lmdb':
            return None
        return self.dataset.lq_folder if kind == 'lq' else self.dataset.gt_folder

    def place(self, index: int, kind: str) -> str:
        """Return a text that stands for this image on this machine, and for no other one."""
        folder = self._lmdb(kind)
        path = self.path(index, kind)
        return os.path.abspath(path) if folder is None else f'{os.path.abspath(folder)}:{path}'

    def status(self, index: int, kind: str) -> Status:
        """Return the status of the file with an image, which for an LMDB holds all images.

        Raises:
            DataError: There is no such file.
        """
        folder = self._lmdb(kind)
        path = self.path(index, kind) if folder is None else os.path.join(folder, 'data.mdb')
        try:
            found = os.stat(path)
        except OSError as error:
            raise DataError(f"'{path}' cannot be read: {error.strerror}") from error
        return Status(found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def open(self) -> None:
        """Open the LMDBs, if it has not been done."""
        if self._client is None:
            options = dict(self._backend)
            self._client = FileClient(options.pop('type'), **options)

    def read(self, index: int, kind: str) -> bytes:
        """Return the content of the file of an image."""
        self.open()
        assert self._client is not None
        return self._client.get(self.path(index, kind), kind)

    def decode(self, index: int, kind: str, content: bytes) -> np.ndarray:
        """Decode the content of the file of an image.

        Returns:
            (h, w, 3), BGR, uint8.

        Raises:
            DataError: It cannot be read as an image.
        """
        image = decode(content)
        if image is None:
            raise DataError(f"'{self.path(index, kind)}' cannot be read as an image")
        return image
