"""The format of a target cache: paths and entry names.

A cache stores targets and images as raw bytes in one memory map. It is an LMDB with the entries
``manifest`` (the key of the cache, as JSON) and ``id`` (the SHA-256 of the manifest). For each
image i of the manifest it has ``i/lq``, ``i/gt``, then ``i/target`` or ``i/teacher/NAME`` (height ×
width × 3 bytes, BGR as in OpenCV, in the order of ``layout.py``), ``i/crc`` (the CRC-32 of these
arrays, of their rows one after the other, as JSON), and ``i/source`` (notes about the files of the
image, as JSON; see ``sources.py``; version 0.1.0 wrote none). Each image is written in one
transaction, so it is complete or absent. An unfinished cache has the suffix ``.partial``, and is
renamed when it is complete.
"""

import hashlib
import json
import os

import lmdb

from .key import CacheKey


def partial_path(path: str | os.PathLike[str]) -> str:
    """Return the path of a cache while it is written.

    If ``path`` is a symbolic link, the path is beside the folder that it points to.
    """
    return f'{os.path.realpath(path)}.partial'


def data_file(folder: str | os.PathLike[str]) -> str:
    """Return the path of the data file of an LMDB."""
    return os.path.join(folder, 'data.mdb')


def state_of(path: str | os.PathLike[str]) -> str:
    """Return the state of a cache: ``'complete'``, ``'partial'`` or ``'none'``."""
    if os.path.isfile(data_file(path)):
        return 'complete'
    return 'partial' if os.path.isfile(data_file(partial_path(path))) else 'none'


def entry_name(index: int, array_name: str) -> bytes:
    """Return the name of the entry of an array, or of the checksums (``'crc'``) of an image.

    Args:
        index: Index of the image in the cache.
        array_name: One of :func:`array_names`, ``'crc'`` or ``'source'``.
    """
    return f'{index}/{array_name}'.encode()


def manifest_of(key: CacheKey) -> bytes:
    """Return the serialized manifest of a new cache."""
    return json.dumps(key.to_manifest(), sort_keys=True).encode()


def key_in(content: bytes | memoryview) -> CacheKey:
    """Parse the key of a cache from its manifest.

    Args:
        content: The serialized manifest.

    Raises:
        ValueError: The content is not the manifest of a target cache.
    """
    try:
        return CacheKey.from_manifest(json.loads(bytes(content)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'not the manifest of a target cache: {error!r}') from error


def id_of(manifest: bytes | memoryview) -> bytes:
    """Return the ``id`` of a cache, which shows whether its manifest is intact and unchanged.

    Args:
        manifest: The serialized manifest.
    """
    return hashlib.sha256(manifest).hexdigest().encode()


def shape_of(key: CacheKey, index: int, array_name: str) -> tuple[int, int, int]:
    """Return the shape of an array of an image, (height, width, 3)."""
    image = key.images[index]
    scale = key.scale if array_name == 'lq' else 1
    return image.height // scale, image.width // scale, 3


def array_names(key: CacheKey) -> list[str]:
    """Return the names of the arrays of an image, in order."""
    if key.contents == 'target':
        return ['lq', 'gt', 'target']
    return ['lq', 'gt', *(f'teacher/{name}' for name in key.teachers)]


def bytes_needed(key: CacheKey) -> int:
    """Return the total size of the arrays of all images, in bytes."""
    outputs = len(array_names(key)) - 1
    total = 0
    for _, height, width in key.images:
        pixels = outputs * height * width + height * width // key.scale**2
        # LMDB stores each large value in whole pages of 4096 bytes.
        total += pixels * 3 + 4096 * (outputs + 2)
    return total


def parse_checksums(value: memoryview | bytes | None, key: CacheKey) -> dict[str, int]:
    """Parse the stored CRC-32 of each array of an image.

    Args:
        value: The entry ``crc`` of the image.
        key: The key of the cache.

    Raises:
        TypeError, ValueError, KeyError: The entry is missing or damaged.
    """
    # bytes(None), and content that is not a mapping, raise a TypeError.
    checksums = json.loads(bytes(value))  # type: ignore[arg-type]
    return {name: int(checksums[name]) for name in array_names(key)}


def parse_sources(value: memoryview | bytes | None) -> dict[str, list[int]]:
    """Parse the notes about the files of an image; without any, return an empty mapping.

    ``lq`` and ``gt`` have the values of a :class:`~.sources.SourceNote`; ``tile`` has one value,
    the side of the tiles of an image that did not fit into memory.

    Args:
        value: The entry ``source`` of the image.
    """
    try:
        sources = {} if value is None else json.loads(bytes(value))
    except ValueError:
        return {}
    return sources if isinstance(sources, dict) else {}


def missing_end(env: lmdb.Environment, size: int) -> str | None:
    """Describe the error if the file of an LMDB is too short; return None otherwise.

    Reading past the end of a memory-mapped file kills the process (SIGBUS).

    Args:
        env: The LMDB, not read yet.
        size: Size of its file in bytes.
    """
    expected = (env.info()['last_pgno'] + 1) * env.stat()['psize']
    if size >= expected:
        return None
    return f'its file ends after {size} bytes, but {expected} were written'
