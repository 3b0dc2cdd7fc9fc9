"""What a cache that is there, finished or not, was begun with."""

import dataclasses
import os

import lmdb

from ...errors import CacheError
from .format import data_file, id_of, key_in, missing_end, partial_path, state_of
from .key import CacheKey, Use
from .reader import CacheReader


def _unfinished_key(path: str) -> CacheKey | None:
    """Return the key of a cache that is not finished; None if it cannot be read."""
    file = data_file(partial_path(path))
    try:
        env = lmdb.open(file, subdir=False, readonly=True, lock=False)
    except lmdb.Error:
        return None
    try:
        if missing_end(env, os.path.getsize(file)):
            return None
        with env.begin() as txn:
            manifest = txn.get(b'manifest')
            if manifest is None or id_of(manifest) != txn.get(b'id'):
                return None
        return key_in(manifest)
    except (lmdb.Error, ValueError):
        return None
    finally:
        env.close()


def begun_with(path: str, wanted: CacheKey) -> str | None:
    """Return the precision of an existing cache, if all else in it is what is asked for.

    Args:
        path: The LMDB.
        wanted: What is asked for, in any precision.

    Returns:
        ``'fp32'`` or ``'bf16'``; None where there is no cache, one of other options, or a damaged
        one.
    """
    state = state_of(path)
    cached: CacheKey | None = None
    if state == 'complete':
        try:
            cached = CacheReader(path, readahead=True).key
        except CacheError:
            return None
    elif state == 'partial':
        cached = _unfinished_key(path)
    if cached is None:
        return None
    precision = cached.settings.precision
    settings = dataclasses.replace(wanted.settings, precision=precision)
    wanted = dataclasses.replace(wanted, settings=settings)
    use = Use.KEEP if state == 'complete' else Use.RESUME
    return None if cached.differences(wanted, use) else precision
