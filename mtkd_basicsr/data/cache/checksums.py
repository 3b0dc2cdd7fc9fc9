"""Checks that a complete cache still is what was written."""

import multiprocessing
import os
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from ...errors import CacheError
from ...utils.progress import progress
from .reader import CacheReader

_reader: CacheReader | None = None  # of a worker process


def _read_with(reader: CacheReader) -> None:
    global _reader
    _reader = reader


def _is_damaged(index: int, array_name: str, checksum: int) -> bool:
    assert _reader is not None  # _read_with has run in this process
    try:
        return zlib.crc32(_reader.array(index, array_name).data) != checksum
    except CacheError:
        return True


def _damaged_arrays(index: int) -> list[str]:
    """Return which arrays of an image are missing, of another size, or have another CRC-32."""
    assert _reader is not None
    try:
        expected = _reader.checksums(index)
    except CacheError:
        return ['checksums']
    return [name for name, checksum in expected.items() if _is_damaged(index, name, checksum)]


def damaged_images(reader: CacheReader, workers: int | None = None) -> dict[int, list[str]]:
    """Read all of a cache, and compare it with the checksums that were written with it.

    Args:
        reader: With ``readahead=True`` it reads as fast as the disk gives.
        workers: Processes; None for one on each core.

    Returns:
        For each damaged image its number, and which of its arrays are damaged.
    """
    count = len(reader.key.images)
    workers = workers or os.cpu_count() or 1
    # A page with wrong numbers in it can end the process that follows them, which must not be this
    # one. Forked ones begin at once. macOS can fork, but its own libraries do not survive it.
    forks = sys.platform == 'linux' and hasattr(os, 'fork')
    context = multiprocessing.get_context('fork' if forks else 'spawn')
    with ProcessPoolExecutor(min(workers, count), context, _read_with, (reader,)) as pool:
        results = pool.map(
            _damaged_arrays, range(count), chunksize=max(1, min(16, count // (8 * workers)))
        )
        try:
            found = list(progress(results, total=count, unit='image', desc='verify'))
        except BrokenProcessPool:  # the system has ended one, and nobody knows at which image
            return {index: ['all'] for index in range(count)}
    return {index: names for index, names in enumerate(found) if names}


def describe(reader: CacheReader, damaged: dict[int, list[str]]) -> str:
    """Describe what is damaged: how many images, and the first three of them.

    Args:
        reader: Of the cache.
        damaged: From :func:`damaged_images`.
    """
    images = reader.key.images
    first = ', '.join(
        f"{' and '.join(names)} of '{images[index].name}'"
        for index, names in list(damaged.items())[:3]
    )
    return f'{len(damaged)} of {len(images)} images: {first}{", …" if len(damaged) > 3 else ""}'
