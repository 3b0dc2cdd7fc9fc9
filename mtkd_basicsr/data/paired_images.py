"""BasicSR's datasets of image files, with errors that name the file."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..errors import DataError, first_line
from ..host.api import DATASET_REGISTRY, FileClient
from ..host.api import PairedImageDataset as BasicSRPairedImageDataset
from ..host.api import SingleImageDataset as BasicSRSingleImageDataset
from ..utils.image_damage import find_damage, is_png
from ..utils.images import decode

_Class = TypeVar('_Class', bound=type)


def _in_place_of(original: type) -> Callable[[_Class], _Class]:
    """Return a decorator that registers a class for BasicSR's, unless somebody else has done so."""

    def decorate(cls: _Class) -> _Class:
        known = DATASET_REGISTRY._obj_map
        if known[original.__name__].__module__ in (original.__module__, cls.__module__):
            known[original.__name__] = cls
        return cls

    return decorate


class CheckedClient:
    """Reads files as BasicSR's ``FileClient``, and refuses the damaged ones.

    OpenCV fills missing parts of a JPEG or TIFF with grey. Each process looks at a file of these
    formats when it reads it for the first time.

    Args:
        io_backend: ``io_backend`` of a dataset.
    """

    def __init__(self, io_backend: dict[str, Any]) -> None:
        options = dict(io_backend)
        self._backend = options.pop('type')
        self._client = FileClient(self._backend, **options)
        self._known: set[str] = set()

    def get(self, path: str, client_key: str = 'default') -> bytes:
        """Return the content of an image file.

        Args:
            path: Path of the file, or key of an LMDB.
            client_key: Which LMDB.

        Raises:
            DataError: The file cannot be read, is damaged, or is not an image.
        """
        # The two LMDBs of a pair have the same keys.
        name = f"'{path}' ({client_key})" if self._backend == 'lmdb' else f"'{path}'"
        try:
            content = self._client.get(path, client_key)
        except Exception as error:  # of the system, or of the backend
            text = f'{type(error).__name__}: {first_line(error)}'
            raise DataError(f'{name} cannot be read: {text}') from error
        if content is None:
            raise DataError(f'{name} is not in the LMDB')
        content = bytes(content)
        if name not in self._known:
            refuse_damage(content, name)
            # The checksums of a PNG have been compared.
            if not is_png(content) and decode(content) is None:
                raise DataError(f'{name} cannot be read as an image')
            self._known.add(name)
        return content


def refuse_damage(content: bytes, name: str) -> None:
    """Raise if parts of an image file are missing or changed, which decoders may fill with grey.

    Args:
        content: The content of the file.
        name: Its name for the message, in quotation marks.

    Raises:
        DataError: The file is damaged.
    """
    damage = find_damage(content)
    if damage is not None:
        raise DataError(f'{name} cannot be read as an image: it is damaged: {damage}')


class _NamesItsFiles:
    """Base of datasets whose errors name the file."""

    io_backend_opt: dict[str, Any]
    file_client: CheckedClient | None  # which BasicSR's class uses if it is there

    def _open(self) -> CheckedClient:
        if self.file_client is None:
            self.file_client = CheckedClient(self.io_backend_opt)
        return self.file_client

    def __getitem__(self, index: int) -> dict[str, Any]:
        self._open()
        item: dict[str, Any] = super().__getitem__(index)  # type: ignore[misc]
        return item


@_in_place_of(BasicSRPairedImageDataset)
class PairedImageDataset(_NamesItsFiles, BasicSRPairedImageDataset):
    """BasicSR's ``PairedImageDataset``, whose errors name the file."""

    def read_image(self, index: int, kind: str) -> np.ndarray:
        """Read an image as BasicSR does, before it makes floats of it.

        Args:
            index: Index of the pair.
            kind: ``'lq'`` or ``'gt'``.

        Returns:
            (h, w, 3), BGR, uint8.

        Raises:
            DataError: It cannot be read.
        """
        path = self.paths[index][f'{kind}_path']
        image = decode(self._open().get(path, kind))
        if image is None:
            raise DataError(f"'{path}' cannot be read as an image")
        return image


@_in_place_of(BasicSRSingleImageDataset)
class SingleImageDataset(_NamesItsFiles, BasicSRSingleImageDataset):
    """BasicSR's ``SingleImageDataset``, whose errors name the file."""
