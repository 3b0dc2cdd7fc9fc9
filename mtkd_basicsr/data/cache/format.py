"""The files of a target cache: where they are, and the names of their entries.

Targets are on disk with their images, as raw bytes in one memory map: an LMDB whose entries are
``manifest`` (the key of the cache, JSON), ``id`` (its SHA-256), and for the image number i of the
manifest ``i/lq``, ``i/gt``, then ``i/target`` or ``i/teacher/NAME`` (height × width × 3 bytes, BGR
as OpenCV has it), and ``i/crc`` (CRC-32 of all of them, JSON). All of an image is written in one
transaction, so that it is there whole or not at all. A cache that is being written has the ending
``.partial`` and gets its name when it is complete.
"""

import hashlib
import json
import os

import lmdb

from .key import CacheKey


def partial_path(path: str | os.PathLike[str]) -> str:
    """Return where a cache is while it is written.

    It is beside the folder itself, if ``path`` is a symbolic link to one.
    """
    return f'{os.path.realpath(path)}.partial'


def data_file(folder: str | os.PathLike[str]) -> str:
    """Return the path of the file of an LMDB that holds its content."""
    return os.path.join(folder, 'data.mdb')


def state_of(path: str | os.PathLike[str]) -> str:
    """Return the state of a cache: ``'complete'``, ``'partial'`` or ``'none'``."""
    if os.path.isfile(data_file(path)):
        return 'complete'
    return 'partial' if os.path.isfile(data_file(partial_path(path))) else 'none'


def entry_name(index: int, array_name: str) -> bytes:
    """Return the name of the entry of an array, or of the checksums (``'crc'``) of an image.

    Args:
        index: Number of the image in the cache.
        array_name: One of :func:`array_names`, or ``'crc'``.
    """
    return f'{index}/{array_name}'.encode()


def manifest_of(key: CacheKey) -> bytes:
    """Return the manifest of a new cache, as it is written."""
    return json.dumps(key.to_manifest(), sort_keys=True).encode()


def key_in(content: bytes | memoryview) -> CacheKey:
    """Return the key that a manifest describes.

    Args:
        content: As it was written.

    Raises:
        ValueError: it is not the manifest of a target cache.
    """
    try:
        return CacheKey.from_manifest(json.loads(bytes(content)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'not the manifest of a target cache: {error!r}') from error


def id_of(manifest: bytes | memoryview) -> bytes:
    """Return the ``id`` of a cache, which tells whether its manifest is intact and still the same.

    Args:
        manifest: As it was written.
    """
    return hashlib.sha256(manifest).hexdigest().encode()


def shape_of(key: CacheKey, index: int, array_name: str) -> tuple[int, int, int]:
    """Return the shape of an array of an image, (height, width, 3)."""
    image = key.images[index]
    scale = key.scale if array_name == 'lq' else 1
    return image.height // scale, image.width // scale, 3


def array_names(key: CacheKey) -> list[str]:
    """Return the names of the arrays of each image, in their order."""
    if key.contents == 'target':
        return ['lq', 'gt', 'target']
    return ['lq', 'gt', *(f'teacher/{name}' for name in key.teachers)]


def bytes_needed(key: CacheKey) -> int:
    """Return how many bytes the arrays of all images take together."""
    outputs = len(array_names(key)) - 1
    total = 0
    for _, height, width in key.images:
        pixels = outputs * height * width + height * width // key.scale**2
        # LMDB rounds each large value up to whole pages of 4096 bytes.
        total += pixels * 3 + 4096 * (outputs + 2)
    return total


def missing_end(env: lmdb.Environment, size: int) -> str | None:
    """Describe what is wrong if the file of an LMDB lacks pages that it refers to; None if not.

    Reading past the end of a file in a memory map ends the process (SIGBUS).

    Args:
        env: Just opened.
        size: Bytes of its file.
    """
    expected = (env.info()['last_pgno'] + 1) * env.stat()['psize']
    return f'its file ends after {size} bytes, {expected} were written' if size < expected else None
