"""Writer of a target cache.

It can be killed at any moment: the cache is then complete, resumable, or still the old one.
"""

import contextlib
import json
import os
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import lmdb
import numpy as np

from ...errors import CacheError, DamagedCacheError, DataError
from ...utils.atomic import sync_folder
from ...utils.machine import free_bytes
from .format import (
    array_names,
    bytes_needed,
    data_file,
    entry_name,
    id_of,
    key_in,
    manifest_of,
    missing_end,
    parse_checksums,
    parse_sources,
    partial_path,
    shape_of,
)
from .key import CacheKey, Use
from .layout import to_stored
from .lock import CacheLock, lock_path
from .reader import close_map

# Bytes of a map in addition to the known contents.
_SPARE = 1 << 24
# Pending images are written when they exceed this size or age.
_FLUSH_BYTES = 1 << 26
_FLUSH_SECONDS = 5.0
_Result = TypeVar('_Result')


class CacheWriter:
    """Writes a cache, or resumes an unfinished one.

    The processes of one torchrun may write the same cache. As a context manager, the writer is
    closed at the end, which waits for a thread that is writing.

    Args:
        path: Path of the complete LMDB.
        key: Key of the cache. An unfinished cache with this key is resumed, whichever version of
            the package started it, and keeps its manifest.
        overwrite: Whether to start over if an unfinished cache has other options or is damaged.

    Raises:
        CacheError: Another process is writing the cache, the path is a file, or there is an
            unfinished cache with other options.
        DataError: The folder cannot be written, or the disk has too little space.

    Attributes:
        recorded: The key in the manifest: of a resumed cache that with which it was started.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: CacheKey,
        overwrite: bool = False,
    ) -> None:
        self.path = str(path)
        self.partial = partial_path(path)
        self.key = key
        self.recorded = key
        self.overwrite = overwrite
        self._final_path = os.path.realpath(path)
        self._folder = os.path.dirname(os.path.realpath(path))
        self._pending: dict[bytes, memoryview | bytes] = {}
        self._pending_bytes = 0
        self._last_flush = time.monotonic()
        self._env: lmdb.Environment | None = None
        self._id = b''
        self._writing = threading.Lock()
        self._format = key.format
        if os.path.isfile(self._final_path):
            raise CacheError(
                f"target_cache: '{path}' is a file; expected the folder of an LMDB, or nothing"
            )
        with self._translate_errors():
            os.makedirs(self._folder, exist_ok=True)
            self._lock = CacheLock(lock_path(path), self.path)
        try:
            self._check_space()
            with self._lock.exclusive():
                try:
                    self._open()
                except DamagedCacheError:
                    if not overwrite:
                        raise
                    self._start_over()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> 'CacheWriter':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _needed_and_free(self) -> tuple[int, int]:
        """Return the number of bytes still to write, and the free disk space in bytes."""
        file = data_file(self.partial)
        written = os.path.getsize(file) if os.path.isfile(file) else 0
        return max(0, bytes_needed(self.key) + _SPARE - written), free_bytes(self._folder)

    def _check_space(self) -> None:
        needed, free = self._needed_and_free()
        if free < needed:
            raise DataError(
                f"target_cache: '{self.path}' needs {needed / 1e9:.2f} GB; {self._folder} has "
                f'{free / 1e9:.2f} GB free'
            )

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn errors of LMDB and the operating system into errors of this package."""
        try:
            yield
        except (
            lmdb.InvalidError,
            lmdb.CorruptedError,
            lmdb.PageNotFoundError,
            lmdb.VersionMismatchError,
        ) as error:
            raise self._damaged(error) from error
        except (lmdb.Error, OSError) as error:
            needed, free = self._needed_and_free()
            # The message gives the free space, because a full disk has several error messages: LMDB
            # reports an incomplete write as "Input/output error".
            raise DataError(
                f"target_cache: '{self.path}' cannot be written: {error}; {needed / 1e9:.2f} GB "
                f'are still to be written, {self._folder} has {free / 1e9:.2f} GB free; fix this, '
                'and run the same command to continue'
            ) from error

    def _damaged(self, reason: str | Exception) -> DamagedCacheError:
        return DamagedCacheError(
            f"the unfinished cache '{self.partial}' is damaged: {reason}; start over with "
            'mtkd cache -opt FILE --overwrite'
        )

    def _open(self) -> None:
        with self._translate_errors():
            os.makedirs(self.partial, exist_ok=True)
            size = int((bytes_needed(self.key) + _SPARE) * 1.1)
            self._env = lmdb.open(self.partial, map_size=size, meminit=False, max_readers=256)
            self._file = os.stat(data_file(self.partial))
            problem = missing_end(self._env, self._file.st_size)
            if problem is not None:
                self._close_env()
                raise self._damaged(problem)
        self._run_transaction(self._claim)

    def _start_over(self) -> None:
        self._close_env()
        with self._translate_errors():
            shutil.rmtree(self.partial)
        self._open()

    def _close_env(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    def _claim(self, txn: lmdb.Transaction) -> None:
        """Resume the cache in the file if its key matches; otherwise start a new one."""
        assert self._env is not None
        known = txn.get(b'id')
        if known is not None:
            recorded = self._recorded(txn.get(b'manifest'), known)
            found = recorded.differences(self.key, Use.RESUME)
            if not found:
                # It keeps its manifest, with the version that started it and its order of teachers.
                self._id = bytes(known)
                self.recorded = recorded
                self._format = recorded.format
                return
            if not self.overwrite:
                raise CacheError(
                    'an unfinished cache of other options, images or settings exists at '
                    f"'{self.partial}': {'; '.join(found)}; finish it with those, or replace it "
                    'with --overwrite'
                )
            txn.drop(self._env.open_db(None, txn), delete=False)
        manifest = manifest_of(self.key)
        self._id = id_of(manifest)
        txn.put(b'id', self._id)
        txn.put(b'manifest', manifest)

    def _recorded(self, manifest: bytes | memoryview | None, known: bytes | memoryview) -> CacheKey:
        """Return the key of the unfinished cache in the file."""
        if manifest is None or id_of(manifest) != known:
            raise self._damaged('its manifest was changed')
        try:
            return key_in(manifest)
        except ValueError as error:
            raise self._damaged(error) from error

    def _run_transaction(self, work: Callable[[lmdb.Transaction], _Result]) -> _Result:
        """Run a function in a write transaction, and enlarge the map as needed."""
        assert self._env is not None
        while True:
            with self._translate_errors():
                try:
                    with self._env.begin(write=True) as txn:
                        return work(txn)
                except lmdb.MapFullError:
                    self._env.set_mapsize(self._env.info()['map_size'] * 2)
                except lmdb.MapResizedError:  # another process has enlarged the map
                    self._env.set_mapsize(0)

    def _is_file_of(self, folder: str) -> bool:
        """Return whether the file that this process writes is the data file of a folder."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.stat(data_file(folder)), self._file)
        return False

    def done(self) -> set[int]:
        """Return the indices of the images in the cache."""
        assert self._env is not None
        found = set()
        with self._translate_errors(), self._env.begin() as txn:
            for index in range(len(self.key.images)):
                if txn.get(entry_name(index, 'crc')) is not None:
                    found.add(index)
        return found

    def _read(self, entry: bytes) -> bytes | None:
        assert self._env is not None
        with self._translate_errors(), self._env.begin() as txn:
            return txn.get(entry)

    def checksums(self, index: int) -> dict[str, int]:
        """Return the stored CRC-32 of each array of an image that is done."""
        try:
            return parse_checksums(self._read(entry_name(index, 'crc')), self.key)
        except (TypeError, ValueError, KeyError) as error:
            name = self.key.images[index].name
            raise self._damaged(f"checksums of '{name}'") from error

    def sources(self, index: int) -> dict[str, list[int]]:
        """Return the notes about the files of an image that is done; see :mod:`.sources`."""
        return parse_sources(self._read(entry_name(index, 'source')))

    def forget(self, checksums: Mapping[int, dict[str, int]]) -> None:
        """Mark images as not done, so that they are computed again.

        Args:
            checksums: Checksums of the arrays by index of the image. An image that has others by
                now is left alone: another process of the job has computed it again.
        """

        def work(txn: lmdb.Transaction) -> None:
            for index, expected in checksums.items():
                value = txn.get(entry_name(index, 'crc'))
                if value is not None and parse_checksums(value, self.key) == expected:
                    txn.delete(entry_name(index, 'crc'))
                    txn.delete(entry_name(index, 'source'))

        with self._lock.exclusive():
            self._run_transaction(work)

    def put(
        self,
        index: int,
        arrays: dict[str, np.ndarray],
        sources: Mapping[str, Sequence[int]] | None = None,
        tile: int | None = None,
    ) -> None:
        """Add an image.

        Images are buffered; some calls write the buffer, as :meth:`flush` does.

        Args:
            index: Index of the image in the manifest.
            arrays: All arrays by name (:func:`~.format.array_names`), (h, w, 3), BGR, uint8.
            sources: Notes about the files of ``'lq'`` and ``'gt'`` (:func:`~.sources.notes_of`).
            tile: Side of the tiles that it was computed in because it did not fit into memory; None
                if it was computed as the key says. It is noted beside ``sources``.

        Raises:
            CacheError: Another process is replacing this cache.
            DataError: An array has the wrong size, or the disk is full.
        """
        crc = {}
        for name in array_names(self.key):
            array = np.ascontiguousarray(arrays[name])
            shape = shape_of(self.key, index, name)
            if array.shape != shape or array.dtype != np.uint8:
                raise DataError(
                    f'{self.key.images[index].name}: {name} is {array.dtype} {array.shape}; '
                    f'expected uint8 {shape}'
                )
            self._pending[entry_name(index, name)] = to_stored(array, self._format).data
            self._pending_bytes += array.nbytes
            crc[name] = zlib.crc32(array.data)
        self._pending[entry_name(index, 'crc')] = json.dumps(crc).encode()
        notes = {kind: [*values, crc[kind]] for kind, values in (sources or {}).items()}
        if tile is not None:
            notes['tile'] = [tile]
        if notes:
            self._pending[entry_name(index, 'source')] = json.dumps(notes).encode()
        # A transaction waits for the disk, so images share one.
        is_old = time.monotonic() - self._last_flush > _FLUSH_SECONDS
        if is_old or self._pending_bytes > _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all buffered images in one transaction.

        Raises:
            CacheError: Another process is replacing this cache.
            DataError: The disk is full, or cannot be written for another reason.
        """
        with self._writing, self._lock.exclusive():
            self._flush()

    def _flush(self) -> None:
        def work(txn: lmdb.Transaction) -> None:
            if not self._is_file_of(self.partial) or txn.get(b'id') != self._id:
                raise CacheError(f"'{self.partial}' was replaced by another process")
            for entry, value in self._pending.items():
                txn.put(entry, value)

        self._run_transaction(work)
        self._pending = {}
        self._pending_bytes = 0
        self._last_flush = time.monotonic()

    def finish(self) -> bool:
        """Move a complete cache to its final path; do nothing while images are missing.

        An existing cache is replaced atomically. Processes that read the old one are not affected.

        Returns:
            Whether the cache is complete.

        Raises:
            CacheError: Another process is replacing this cache.
            DataError: The disk is full, or cannot be written for another reason.
        """
        with self._lock.exclusive():
            # Only the first of several processes moves the cache.
            if not self._is_file_of(self._final_path):
                self._flush()
                if len(self.done()) < len(self.key.images):
                    return False
                with self._translate_errors():
                    self._replace_old_cache()
        self.close()
        return True

    def _replace_old_cache(self) -> None:
        assert self._env is not None
        self._env.sync(True)
        self._close_env()
        os.makedirs(self._final_path, exist_ok=True)
        sync_folder(self._folder)
        # Not with utils/atomic.py, because the file was written by many calls.
        try:
            os.replace(data_file(self.partial), data_file(self._final_path))
        # Windows cannot replace an open file, and this process may have read the old cache.
        except PermissionError:
            close_map(self._final_path)
            os.replace(data_file(self.partial), data_file(self._final_path))
        sync_folder(self._final_path)
        shutil.rmtree(self.partial, ignore_errors=True)

    def _is_empty(self) -> bool:
        assert self._env is not None
        with contextlib.suppress(lmdb.Error), self._env.begin() as txn:
            return txn.get(b'id') == self._id and txn.stat()['entries'] == 2  # id and manifest
        return False

    def close(self) -> None:
        """Release the lock. An unfinished cache can be resumed; an empty one is deleted."""
        # A map that is closed in the middle of a transaction takes the process down.
        with self._writing, self._lock.releasing() as last:
            if self._env is None:
                return
            empty = self._is_empty()
            self._close_env()
            if last and empty:
                shutil.rmtree(self.partial, ignore_errors=True)
