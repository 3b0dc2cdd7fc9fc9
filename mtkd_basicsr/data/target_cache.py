"""Targets on disk: low-resolution image, ground truth and target of each photograph as raw bytes in one memory map.

An LMDB whose keys are ``manifest`` (JSON), ``id`` (its SHA-256), and for the image number i of the manifest ``i/lq``, ``i/gt``, then
``i/target`` or ``i/teacher/NAME`` (height × width × 3 bytes, BGR as OpenCV has it), and ``i/crc`` (CRC-32 of all of them,
JSON). All of an image is written in one transaction, so that it is there whole or not at all. A cache that is being
written has the ending ``.partial`` and gets its name when it is complete.
"""

import hashlib
import json
import os
import shutil
import time
import zlib

import lmdb
import numpy as np

from ..errors import CacheError, DataError

_SPARE = 1 << 24  # bytes of a map beside what is known to go in
_FLUSH_BYTES, _FLUSH_SECONDS = 1 << 26, 5.


def partial_path(path):
    """Where a cache is while it is written."""
    return f'{str(path).rstrip(os.sep)}.partial'


def state_of(path):
    """``'complete'``, ``'partial'`` or ``'none'``."""
    if os.path.isfile(os.path.join(path, 'data.mdb')):
        return 'complete'
    return 'partial' if os.path.isfile(os.path.join(partial_path(path), 'data.mdb')) else 'none'


def _key(index, kind):
    return f'{index}/{kind}'.encode()


def kinds_of(manifest):
    """Names of the arrays of each image, in their order."""
    if manifest['what'] == 'target':
        return ['lq', 'gt', 'target']
    return ['lq', 'gt', *(f'teacher/{name}' for name in manifest['teachers'])]


def bytes_needed(manifest):
    """How many bytes the arrays of all images have together."""
    scale, outputs = manifest['scale'], len(kinds_of(manifest)) - 1
    # LMDB rounds each large value up to whole pages of 4096 bytes.
    return sum((outputs * h * w + h * w // scale**2) * 3 + 4096 * (outputs + 2) for _, h, w in manifest['images'])


# Path -> (process and file that the map belongs to, its transaction). One map for each file and process: LMDB refuses to
# open a file twice in a process, and a map that was opened before a fork must not be used after it.
_maps = {}


def _map(path):
    path = os.path.realpath(path)
    owner = os.getpid(), os.stat(os.path.join(path, 'data.mdb')).st_ino
    known = _maps.get(path)
    if known is not None and known[0] == owner:
        return known[1]
    if known is not None:
        known[1].abort()
        known[2].close()
    try:
        env = lmdb.open(path, readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise CacheError(f"target cache '{path}' cannot be opened: {error}") from error
    _maps[path] = owner, env.begin(buffers=True), env
    return _maps[path][1]


class CacheReader:
    """Reads from a complete cache. It can be handed to worker processes: each opens the map for itself.

    Args:
        path (str): The LMDB.

    Raises:
        CacheError: not there, not finished, or not a cache.
    """

    def __init__(self, path):
        self.path, self._owner, self._txn = path, None, None
        state = state_of(path)
        if state == 'partial':
            raise CacheError(f"target cache '{path}' is not finished ('{partial_path(path)}'); "
                             'go on with mtkd cache -opt FILE')
        if state == 'none':
            raise CacheError(f"no target cache at '{path}'; make it with mtkd cache -opt FILE")
        content = self._get(b'manifest')
        if content is None:
            raise CacheError(f"'{path}' is an LMDB, but not a target cache")
        self.manifest = json.loads(bytes(content))

    def __getstate__(self):
        return {**self.__dict__, '_owner': None, '_txn': None}

    def _get(self, key):
        if self._owner != os.getpid():
            self._owner, self._txn = os.getpid(), _map(self.path)
        return self._txn.get(key)

    def shape(self, index, kind):
        """(height, width, 3) of an array."""
        _, h, w = self.manifest['images'][index]
        scale = self.manifest['scale'] if kind == 'lq' else 1
        return h // scale, w // scale, 3

    def array(self, index, kind):
        """An array of an image without copying it: (h, w, 3), BGR, uint8, read-only, in the memory map.

        Args:
            index (int): Number of the image in ``manifest['images']``.
            kind (str): One of :func:`kinds_of`.

        Raises:
            CacheError: it is not there, or has the wrong size: the file is damaged.
        """
        shape = self.shape(index, kind)
        value = self._get(_key(index, kind))
        if value is None or len(value) != shape[0] * shape[1] * 3:
            raise CacheError(f"target cache '{self.path}' is damaged: {kind} of '{self.manifest['images'][index][0]}'; "
                             'rebuild it with mtkd cache -opt FILE --overwrite')
        return np.frombuffer(value, np.uint8).reshape(shape)


class CacheWriter:
    """Writes a cache, or goes on writing one that was stopped. Several processes may write into the same one.

    Args:
        path (str): The LMDB as it will be called when it is complete.
        manifest (dict): From :func:`~.manifest.new_manifest`.
        overwrite (bool): Whether what stands there of other options is replaced.

    Raises:
        CacheError: a cache of other options stands there.
        DataError: the disk has too little space.
    """

    def __init__(self, path, manifest, overwrite=False):
        self.path, self.partial, self.manifest, self.overwrite = path, partial_path(path), manifest, overwrite
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, exist_ok=True)
        needed, free = bytes_needed(manifest) + _SPARE, shutil.disk_usage(folder).free
        if not os.path.isdir(self.partial) and free < needed:
            raise DataError(f"target_cache: '{path}' needs {needed / 1e9:.2f} GB; {folder} has {free / 1e9:.2f} GB free")
        text = json.dumps(manifest, sort_keys=True).encode()
        self._id = hashlib.sha256(text).hexdigest().encode()
        os.makedirs(self.partial, exist_ok=True)
        self._env = lmdb.open(self.partial, map_size=int(needed * 1.1), meminit=False, max_readers=256)
        self._waiting, self._bytes, self._since = {}, 0, time.monotonic()
        self._transact(lambda txn: self._claim(txn, text))

    def _claim(self, txn, text):
        known = txn.get(b'id')
        if known is not None and known != self._id:
            if not self.overwrite:
                raise CacheError(f"an unfinished cache of other options, images or settings stands at '{self.partial}'; "
                                 'finish it with those, or replace it with --overwrite')
            txn.drop(self._env.open_db(None, txn), delete=False)
        txn.put(b'id', self._id)
        txn.put(b'manifest', text)

    def _transact(self, work):
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    return work(txn)
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()['map_size'] * 2)
            except lmdb.MapResizedError:  # another process has made the map larger
                self._env.set_mapsize(0)
            except lmdb.Error as error:
                raise DataError(f"target_cache: '{self.partial}' cannot be written: {error}") from error

    def done(self):
        """Numbers of the images that are in the cache."""
        with self._env.begin() as txn:
            return {i for i in range(len(self.manifest['images'])) if txn.get(_key(i, 'crc')) is not None}

    def put(self, index, arrays):
        """Takes all of an image. It is on disk after the next :meth:`flush`, at the latest some seconds later.

        Args:
            index (int): Its number in the manifest.
            arrays (dict[str, ndarray]): (h, w, 3), BGR, uint8, for each of :func:`kinds_of`.

        Raises:
            CacheError: another process has begun to replace this cache.
            DataError: an array has the wrong size, or the disk is full.
        """
        _, h, w = self.manifest['images'][index]
        crc = {}
        for kind in kinds_of(self.manifest):
            scale = self.manifest['scale'] if kind == 'lq' else 1
            array = np.ascontiguousarray(arrays[kind])
            if array.shape != (h // scale, w // scale, 3) or array.dtype != np.uint8:
                raise DataError(f"{self.manifest['images'][index][0]}: {kind} is {array.dtype} {array.shape}; "
                                f'expected uint8 {(h // scale, w // scale, 3)}')
            self._waiting[_key(index, kind)] = array.data
            self._bytes += array.nbytes
            crc[kind] = zlib.crc32(array)
        self._waiting[_key(index, 'crc')] = json.dumps(crc).encode()
        # Each transaction waits for the disk: not one for each image.
        if self._bytes > _FLUSH_BYTES or time.monotonic() - self._since > _FLUSH_SECONDS:
            self.flush()

    def flush(self):
        """Writes what waits, in one transaction."""
        def work(txn):
            if txn.get(b'id') != self._id:
                raise CacheError(f"'{self.partial}' was replaced by another process")
            for key, value in self._waiting.items():
                txn.put(key, value)
        self._transact(work)
        self._waiting, self._bytes, self._since = {}, 0, time.monotonic()

    def finish(self):
        """Gives a complete cache its name; does nothing while images are missing.

        Returns:
            bool: Whether the cache is complete.
        """
        self.flush()
        if len(self.done()) < len(self.manifest['images']):
            return False
        self._env.close()
        # Of several processes that come here, the one whose first rename succeeds does the rest.
        finished = f'{self.path}.{os.getpid()}.finished'
        try:
            os.rename(self.partial, finished)
        except FileNotFoundError:
            return True
        old = f'{self.path}.{os.getpid()}.old'
        if os.path.isdir(self.path):
            os.rename(self.path, old)
        os.rename(finished, self.path)
        shutil.rmtree(old, ignore_errors=True)
        return True
