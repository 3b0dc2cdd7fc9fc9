"""The precision with which an existing cache, finished or not, was started."""

import dataclasses
import os

import lmdb

from ...errors import CacheError
from .format import data_file, id_of, key_in, missing_end, partial_path, state_of
from .key import CacheKey, Use
from .reader import CacheReader


def _unfinished_key(path: str) -> CacheKey | None:
    """Return the key of an unfinished cache; None if it cannot be read."""
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


def existing_precision(path: str, wanted: CacheKey) -> str | None:
    """Return the precision of an existing cache that otherwise matches a key.

    Args:
        path: The LMDB.
        wanted: The key to match, with any precision.

    Returns:
        ``'fp32'`` or ``'bf16'``; None if there is no cache, or it does not match or is damaged.
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
