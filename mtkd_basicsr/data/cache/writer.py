"""Writing a target cache.

It can be killed at any moment: a cache is complete, to be gone on with, or the old one.
"""

import contextlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import lmdb
import numpy as np

from ...errors import CacheError, DamagedCacheError, DataError
from ...utils.atomic import sync_folder
from .format import (
    array_names,
    bytes_needed,
    data_file,
    entry_name,
    id_of,
    key_in,
    manifest_of,
    missing_end,
    partial_path,
    shape_of,
)
from .key import CacheKey, Use
from .lock import CacheLock
from .reader import close_map

_SPARE = 1 << 24  # bytes of a map beside what is known to go in
_FLUSH_BYTES = 1 << 26
_FLUSH_SECONDS = 5.0
_Result = TypeVar('_Result')


def lock_path(path: str | os.PathLike[str]) -> str:
    """Return the path of the file that is locked while a cache is written."""
    return f'{os.path.realpath(path)}.lock'


def free_bytes(path: str | os.PathLike[str]) -> int:
    """Return the free space, in bytes, where a file or folder is, or would be."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def remove_left_overs(path: str) -> None:
    """Remove what stays when a writer is killed just after its cache has become complete.

    That is a lock file, and a folder without content.

    Args:
        path: The LMDB.
    """
    partial = partial_path(path)
    if os.path.isdir(partial) or os.path.isfile(lock_path(path)):
        with (
            contextlib.suppress(CacheError, OSError),
            CacheLock(lock_path(path), path).leaving() as last,
        ):
            if last and not os.path.isfile(data_file(partial)):
                shutil.rmtree(partial, ignore_errors=True)


class CacheWriter:
    """Writes a cache, or goes on writing one that was stopped.

    The processes of one torchrun may write into the same one.

    As a context manager it is closed at the end.

    Args:
        path: The LMDB as it will be called when it is complete.
        key: Of the cache that is asked for. An unfinished one of this key is resumed, whichever
            version of the plug-in began it, and keeps its manifest.
        overwrite: Whether an unfinished cache of other options, or a damaged one, is begun again.

    Raises:
        CacheError: another process writes it, an unfinished cache of other options stands
            there, or something else of that name.
        DataError: the folder cannot be written, or the disk has too little space.
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
        self.overwrite = overwrite
        self._place = os.path.realpath(path)
        self._folder = os.path.dirname(os.path.realpath(path))
        self._waiting: dict[bytes, memoryview | bytes] = {}
        self._bytes = 0
        self._since = time.monotonic()
        self._env: lmdb.Environment | None = None
        self._id = b''
        if os.path.isfile(self._place):
            raise CacheError(
                f"target_cache: '{path}' is a file; expected the folder of an LMDB, or nothing"
            )
        with self._explained():
            os.makedirs(self._folder, exist_ok=True)
            self._lock = CacheLock(lock_path(path), self.path)
        try:
            self._check_space()
            with self._lock.alone():
                try:
                    self._open()
                except DamagedCacheError:
                    if not overwrite:
                        raise
                    self._open_again()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> 'CacheWriter':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _space(self) -> tuple[int, int]:
        """Return how many bytes are still to be written, and how many are free."""
        file = data_file(self.partial)
        there = os.path.getsize(file) if os.path.isfile(file) else 0
        return max(0, bytes_needed(self.key) + _SPARE - there), free_bytes(self._folder)

    def _check_space(self) -> None:
        needed, free = self._space()
        if free < needed:
            raise DataError(
                f"target_cache: '{self.path}' needs {needed / 1e9:.2f} GB; {self._folder} has "
                f'{free / 1e9:.2f} GB free'
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of LMDB and of the system into ours, which say what they mean here."""
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
            needed, free = self._space()
            # A full disk has several names: LMDB says "Input/output error" where a write was cut
            # short.
            raise DataError(
                f"target_cache: '{self.path}' cannot be written: {error}; {needed / 1e9:.2f} GB "
                'are still to be written, '
                f'{self._folder} has {free / 1e9:.2f} GB free; the same command goes on when this '
                'is put right'
            ) from error

    def _damaged(self, reason: str | Exception) -> DamagedCacheError:
        return DamagedCacheError(
            f"the unfinished cache '{self.partial}' is damaged: {reason}; begin it again with "
            'mtkd cache -opt FILE --overwrite'
        )

    def _open(self) -> None:
        with self._explained():
            os.makedirs(self.partial, exist_ok=True)
            size = int((bytes_needed(self.key) + _SPARE) * 1.1)
            self._env = lmdb.open(self.partial, map_size=size, meminit=False, max_readers=256)
            self._file = os.stat(data_file(self.partial))
            wrong = missing_end(self._env, self._file.st_size)
            if wrong:
                self._close_env()
                raise self._damaged(wrong)
        self._transact(self._claim)

    def _open_again(self) -> None:
        self._close_env()
        with self._explained():
            shutil.rmtree(self.partial)
        self._open()

    def _close_env(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    def _claim(self, txn: lmdb.Transaction) -> None:
        """Resume what is in the file, if it has the same key, or begin."""
        assert self._env is not None
        known = txn.get(b'id')
        if known is not None:
            found = self._differences(txn.get(b'manifest'), known)
            if not found:
                # With its manifest: the version that began it, and the order of its teachers.
                self._id = bytes(known)
                return
            if not self.overwrite:
                raise CacheError(
                    'an unfinished cache of other options, images or settings stands at '
                    f"'{self.partial}': {'; '.join(found)}; "
                    'finish it with those, or replace it with --overwrite'
                )
            txn.drop(self._env.open_db(None, txn), delete=False)
        manifest = manifest_of(self.key)
        self._id = id_of(manifest)
        txn.put(b'id', self._id)
        txn.put(b'manifest', manifest)

    def _differences(
        self, manifest: bytes | memoryview | None, known: bytes | memoryview
    ) -> list[str]:
        """List what differs between an unfinished cache and the one that is asked for."""
        if manifest is None or id_of(manifest) != known:
            raise self._damaged('its manifest is not the one that was written')
        try:
            return key_in(manifest).differences(self.key, Use.RESUME)
        except ValueError as error:
            raise self._damaged(error) from error

    def _transact(self, work: Callable[[lmdb.Transaction], _Result]) -> _Result:
        assert self._env is not None
        while True:
            with self._explained():
                try:
                    with self._env.begin(write=True) as txn:
                        return work(txn)
                except lmdb.MapFullError:
                    self._env.set_mapsize(self._env.info()['map_size'] * 2)
                except lmdb.MapResizedError:  # another process has made the map larger
                    self._env.set_mapsize(0)

    def _is_in(self, folder: str) -> bool:
        """Return whether the file that this process writes is in a folder."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.stat(data_file(folder)), self._file)
        return False

    def done(self) -> set[int]:
        """Return the numbers of the images that are in the cache."""
        assert self._env is not None
        with self._explained(), self._env.begin() as txn:
            return {
                i for i in range(len(self.key.images)) if txn.get(entry_name(i, 'crc')) is not None
            }

    def put(self, index: int, arrays: dict[str, np.ndarray]) -> None:
        """Take all arrays of an image.

        They are on disk after the next :meth:`flush`, at the latest some seconds later.

        Args:
            index: Its number in the manifest.
            arrays: (h, w, 3), BGR, uint8, for each of :func:`~.format.array_names`.

        Raises:
            CacheError: another process has begun to replace this cache.
            DataError: an array has the wrong size, or the disk is full.
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
            self._waiting[entry_name(index, name)] = array.data
            self._bytes += array.nbytes
            crc[name] = zlib.crc32(array.data)
        self._waiting[entry_name(index, 'crc')] = json.dumps(crc).encode()
        # Each transaction waits for the disk: not one for each image.
        if self._bytes > _FLUSH_BYTES or time.monotonic() - self._since > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits, in one transaction.

        Raises:
            CacheError: another process has begun to replace this cache.
            DataError: the disk is full, or cannot be written for another reason.
        """
        with self._lock.alone():
            self._flush()

    def _flush(self) -> None:
        def work(txn: lmdb.Transaction) -> None:
            if not self._is_in(self.partial) or txn.get(b'id') != self._id:
                raise CacheError(f"'{self.partial}' was replaced by another process")
            for entry, value in self._waiting.items():
                txn.put(entry, value)

        self._transact(work)
        self._waiting = {}
        self._bytes = 0
        self._since = time.monotonic()

    def finish(self) -> bool:
        """Give a complete cache its name, in the place of the one that stands there.

        While images are missing, nothing is done.

        One file takes the place of another in one step, so that there is the old cache or the new
        one at any moment. Who reads the old one goes on reading it.

        Returns:
            Whether the cache is complete.

        Raises:
            CacheError, DataError: as :meth:`flush`.
        """
        with self._lock.alone():
            # of several processes that come here at the same time, the first puts it there
            if not self._is_in(self._place):
                self._flush()
                if len(self.done()) < len(self.key.images):
                    return False
                with self._explained():
                    self._put_in_place()
        self.close()
        return True

    def _put_in_place(self) -> None:
        assert self._env is not None
        self._env.sync(True)
        self._close_env()
        os.makedirs(self._place, exist_ok=True)
        sync_folder(self._folder)
        # Not by utils/atomic.py: the file was written in a folder of its own, over many calls.
        try:
            os.replace(data_file(self.partial), data_file(self._place))
        # Windows replaces no file that is open: this process may have read the old cache
        except PermissionError:
            close_map(self._place)
            os.replace(data_file(self.partial), data_file(self._place))
        sync_folder(self._place)
        shutil.rmtree(self.partial, ignore_errors=True)

    def _is_empty(self) -> bool:
        assert self._env is not None
        with contextlib.suppress(lmdb.Error), self._env.begin() as txn:
            return txn.get(b'id') == self._id and txn.stat()['entries'] == 2  # id and manifest
        return False

    def close(self) -> None:
        """Let others write.

        What is there can be gone on with; where no image is, nothing is left.
        """
        with self._lock.leaving() as last:
            if self._env is None:
                return
            empty = self._is_empty()
            self._close_env()
            if last and empty:
                shutil.rmtree(self.partial, ignore_errors=True)
