"""Reader of a complete target cache."""

import contextlib
import json
import math
import mmap
import os
from typing import Any, NamedTuple, cast

import lmdb
import numpy as np

from ...errors import CacheError, DamagedCacheError
from .format import (
    data_file,
    entry_name,
    id_of,
    key_in,
    missing_end,
    parse_checksums,
    parse_sources,
    partial_path,
    shape_of,
    state_of,
)
from .layout import StoredImage
from .positions import Position, large_values

_REBUILD = 'rebuild the damaged images with mtkd cache -opt FILE --overwrite'


class _Map(NamedTuple):
    """The map of a file.

    Attributes:
        owner: The process that opened it.
        descriptor: Descriptor of the file.
        txn: A transaction.
        env: The LMDB.
        content: The file once more, from which large values are read (see ``positions.py``).
    """

    owner: int
    descriptor: int
    txn: lmdb.Transaction
    env: lmdb.Environment
    content: mmap.mmap

    def close(self) -> None:
        """Close the maps; the file stays open."""
        self.txn.abort()
        self.env.close()
        # Arrays that are still used keep it open.
        with contextlib.suppress(BufferError):
            self.content.close()


# (Device, inode) -> map. There is one map per file and process, because LMDB cannot open a file
# twice in a process, and a map must not be used after a fork. A worker process opens the file again
# through the inherited descriptor, which refers to the same file even if the path has been
# replaced.
_File = tuple[int, int]
_maps: dict[_File, _Map] = {}


def _open_map(path: str | os.PathLike[str], descriptor: int, readahead: bool) -> lmdb.Environment:
    address = f'/dev/fd/{descriptor}'
    try:
        env = lmdb.open(
            address if os.path.exists(address) else data_file(path),
            subdir=False,
            readonly=True,
            lock=False,
            readahead=readahead,
            meminit=False,
        )
    except lmdb.Error as error:
        raise DamagedCacheError(f"target cache '{path}' is damaged: {error}; {_REBUILD}") from error
    return env


def _check_length(path: str | os.PathLike[str], env: lmdb.Environment, descriptor: int) -> None:
    wrong = missing_end(env, os.fstat(descriptor).st_size)
    if wrong:
        raise DamagedCacheError(f"target cache '{path}' is damaged: {wrong}; {_REBUILD}")


def _get_map(
    path: str | os.PathLike[str], file: _File | None, readahead: bool
) -> tuple[_File, _Map]:
    """Open a map, or reuse the open one.

    Args:
        path: The LMDB.
        file: Device and inode of the file if it was open before; otherwise None.
        readahead: Whether the whole file will be read sequentially.

    Returns:
        Device and inode, and the map.
    """
    if file not in _maps:
        try:
            descriptor = os.open(data_file(path), os.O_RDONLY)
        except OSError as error:
            raise CacheError(f"target cache '{path}' cannot be read: {error.strerror}") from error
        status = os.fstat(descriptor)
        file = status.st_dev, status.st_ino
        if file in _maps:
            os.close(descriptor)
    if file in _maps:
        descriptor = _maps[file].descriptor
        if _maps[file].owner == os.getpid():
            _check_length(path, _maps[file].env, descriptor)
            return file, _maps[file]
        _maps.pop(file).close()
    try:
        env = _open_map(path, descriptor, readahead)
        _check_length(path, env, descriptor)
    except CacheError:
        os.close(descriptor)
        raise
    content = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, 'MADV_RANDOM'):
        # Otherwise more is read than what is touched, megabytes with some settings of a system.
        content.madvise(mmap.MADV_RANDOM)
    _maps[file] = _Map(os.getpid(), descriptor, env.begin(buffers=True), env, content)
    return file, _maps[file]


def is_mapped(path: str | os.PathLike[str]) -> bool:
    """Return whether this process has the map of a cache open, an LMDB that is there."""
    status = os.stat(data_file(path))
    return (status.st_dev, status.st_ino) in _maps


def close_map(path: str | os.PathLike[str]) -> None:
    """Close the map of a cache, if this process has opened it.

    Arrays read from it must not be used afterwards.

    Args:
        path: The LMDB.
    """
    status = os.stat(data_file(path))
    entry = _maps.pop((status.st_dev, status.st_ino), None)
    if entry is not None:
        entry.close()
        os.close(entry.descriptor)


class CacheReader:
    """Reads a complete cache.

    A reader can be passed to worker processes; each of them opens its own map. It keeps reading the
    same file if ``mtkd cache --overwrite`` replaces the cache.

    Args:
        path: The LMDB.
        readahead: Whether the whole file will be read sequentially. A training reads randomly.

    Attributes:
        key (CacheKey): The key of the cache.
        manifest (dict[str, Any]): The manifest as stored on disk.
        id (bytes): SHA-256 of the manifest.
        file (tuple[int, int]): Device and inode of the file.

    Raises:
        CacheError: The cache is missing, unfinished, not a target cache, or damaged
            (:class:`~mtkd_basicsr.errors.DamagedCacheError`).
    """

    def __init__(self, path: str | os.PathLike[str], readahead: bool = False) -> None:
        self.path = path
        self.readahead = readahead
        self.id: bytes | None = None
        self.file: _File | None = None
        self._owner: int | None = None
        self._map: _Map | None = None
        self._positions: dict[bytes, Position] | None = None
        state = state_of(path)
        if state == 'partial':
            raise CacheError(
                f"target cache '{path}' is not finished ('{partial_path(path)}'); "
                'finish it with mtkd cache -opt FILE'
            )
        if state == 'none':
            raise CacheError(f"no target cache at '{path}'; create it with mtkd cache -opt FILE")
        was_mapped = is_mapped(path)
        try:
            self._read_manifest()
        except CacheError:
            # An LMDB of images must not stay open: BasicSR could not open it then.
            if not was_mapped:
                close_map(path)
            raise

    def _read_manifest(self) -> None:
        path = self.path
        content = self._get(b'manifest')
        if content is None:
            raise CacheError(f"'{path}' is an LMDB, but not a target cache")
        self.id = id_of(content)
        if self._get(b'id') != self.id:
            raise DamagedCacheError(
                f"target cache '{path}' is damaged: its manifest was changed; {_REBUILD}"
            )
        try:
            self.key = key_in(content)
        except ValueError as error:
            raise CacheError(f"'{path}' is an LMDB, but not a target cache") from error
        self.manifest: dict[str, Any] = json.loads(bytes(content))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_owner': None, 'file': None, '_map': None}

    def _get(self, key: bytes) -> memoryview | None:
        try:
            # A memoryview, because the transaction has buffers=True.
            return cast(memoryview | None, self._open().txn.get(key))
        except lmdb.Error as error:
            raise DamagedCacheError(
                f"target cache '{self.path}' is damaged: {error}; {_REBUILD}"
            ) from error

    def _open(self) -> _Map:
        """Return the map, which each process opens when it needs it."""
        if self._owner != os.getpid():
            self.file, self._map = _get_map(self.path, self.file, self.readahead)
            self._owner = os.getpid()
            if self.id is not None and self._map.txn.get(b'id') != self.id:
                raise CacheError(f"target cache '{self.path}' was replaced while it was read")
        assert self._map is not None
        return self._map

    def _damaged(self, index: int, array_name: str) -> DamagedCacheError:
        return DamagedCacheError(
            f"target cache '{self.path}' is damaged: {array_name} of "
            f"'{self.key.images[index].name}'; {_REBUILD}"
        )

    def array(self, index: int, array_name: str) -> np.ndarray:
        """Return an array of an image.

        Args:
            index: Index of the image in ``key.images``.
            array_name: One of :func:`~.format.array_names`.

        Returns:
            (h, w, 3), BGR, uint8, read-only; in the memory map if its rows are stored as such.

        Raises:
            CacheError: The array is missing or has the wrong size, so the file is damaged.
        """
        shape = shape_of(self.key, index, array_name)
        return self._stored(index, array_name, shape).whole()

    def image(self, index: int, array_name: str) -> StoredImage:
        """Return an array of an image, to cut parts out of it without reading the rest.

        Args:
            index: Index of the image in ``key.images``.
            array_name: One of :func:`~.format.array_names`.

        Raises:
            CacheError: The array is missing or has the wrong size, so the file is damaged.
        """
        shape = shape_of(self.key, index, array_name)
        content = self._open().content
        if self._positions is None:
            self.locate()
        position = (self._positions or {}).get(entry_name(index, array_name))
        # Small values have no pages of their own.
        if position is None:
            return self._stored(index, array_name, shape)
        end = position.offset + position.size
        if position.size != math.prod(shape) or end > len(content):
            raise self._damaged(index, array_name)
        return StoredImage(content, position.offset, shape, self.key.format)

    def _stored(self, index: int, array_name: str, shape: tuple[int, int, int]) -> StoredImage:
        value = self._get(entry_name(index, array_name))
        if value is None or len(value) != math.prod(shape):
            raise self._damaged(index, array_name)
        return StoredImage(value, 0, shape, self.key.format)

    def locate(self) -> None:
        """Find where all images lie in the file, before worker processes start.

        Otherwise the first call of :meth:`image` in each process does it.
        """
        with open(self._open().descriptor, 'rb', closefd=False) as file:
            self._positions = large_values(file) or {}

    def checksums(self, index: int) -> dict[str, int]:
        """Return the stored CRC-32 of each array of an image.

        Args:
            index: Index of the image in ``key.images``.

        Returns:
            CRC-32 by array name, for all of :func:`~.format.array_names`.

        Raises:
            CacheError: The checksums are missing or unreadable, so the file is damaged.
        """
        value = self._get(entry_name(index, 'crc'))
        try:
            return parse_checksums(value, self.key)
        except (TypeError, ValueError, KeyError) as error:
            raise self._damaged(index, 'checksums') from error

    def sources(self, index: int) -> dict[str, list[int]]:
        """Return the notes about the files of an image; see :class:`~.sources.SourceNote`.

        Args:
            index: Index of the image in ``key.images``.

        Returns:
            The notes of ``'lq'`` and ``'gt'``; empty for a cache of version 0.1.0.
        """
        return parse_sources(self._get(entry_name(index, 'source')))
