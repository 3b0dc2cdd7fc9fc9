"""Verification of a complete cache by checksums."""

import multiprocessing
import os
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from ...errors import CacheError
from ...utils.progress import progress
from .reader import CacheReader

# Number of images that a message names.
_MAX_LISTED = 3
# The reader of a worker process.
_reader: CacheReader | None = None


def _set_reader(reader: CacheReader) -> None:
    global _reader
    _reader = reader


def _is_damaged(index: int, array_name: str, checksum: int) -> bool:
    assert _reader is not None  # _set_reader has run in this process
    try:
        return zlib.crc32(_reader.array(index, array_name).data) != checksum
    except CacheError:
        return True


def _damaged_arrays(index: int) -> list[str]:
    """Return the arrays of an image that are missing or have another size or CRC-32."""
    assert _reader is not None
    try:
        expected = _reader.checksums(index)
    except CacheError:
        return ['checksums']
    return [name for name, checksum in expected.items() if _is_damaged(index, name, checksum)]


def damaged_images(reader: CacheReader, workers: int | None = None) -> dict[int, list[str]]:
    """Read a whole cache, and compare it with its stored checksums.

    Args:
        reader: Reader of the cache; ``readahead=True`` makes it faster.
        workers: Number of processes; None for one per core.

    Returns:
        Index of each damaged image -> its damaged arrays.
    """
    count = len(reader.key.images)
    workers = workers or os.cpu_count() or 1
    # A damaged page can crash the process that reads it, so worker processes read the cache. Forked
    # processes start fastest. macOS can fork, but its system libraries are not safe after a fork.
    forks = sys.platform == 'linux' and hasattr(os, 'fork')
    context = multiprocessing.get_context('fork' if forks else 'spawn')
    with ProcessPoolExecutor(max(1, min(workers, count)), context, _set_reader, (reader,)) as pool:
        chunk_size = max(1, min(16, count // (8 * workers)))
        results = pool.map(_damaged_arrays, range(count), chunksize=chunk_size)
        try:
            found = list(progress(results, total=count, unit='image', desc='verify'))
        except BrokenProcessPool:  # a process crashed, at an unknown image
            return {index: ['all'] for index in range(count)}
    return {index: names for index, names in enumerate(found) if names}


def describe(reader: CacheReader, damaged: dict[int, list[str]]) -> str:
    """Describe the damage: the number of images, and the first three of them.

    Args:
        reader: Reader of the cache.
        damaged: Result of :func:`damaged_images`.
    """
    images = reader.key.images
    listed = []
    for index, names in list(damaged.items())[:_MAX_LISTED]:
        listed.append(f"{' and '.join(names)} of '{images[index].name}'")
    if len(damaged) > _MAX_LISTED:
        listed.append('…')
    return f'{len(damaged)} of {len(images)} images: {", ".join(listed)}'
