"""The precision with which an existing cache, finished or not, was started."""

import contextlib
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
        ``'fp32'`` or ``'bf16'``, of the complete cache or else of an unfinished one; None if there
        is none that matches and can be read.
    """
    found: list[tuple[CacheKey | None, Use]] = []
    if state_of(path) == 'complete':
        with contextlib.suppress(CacheError):
            found.append((CacheReader(path, readahead=True).key, Use.KEEP))
    # Beside a complete cache there may be the one that is to replace it.
    found.append((_unfinished_key(path), Use.RESUME))
    for cached, use in found:
        if cached is None:
            continue
        precision = cached.settings.precision
        settings = dataclasses.replace(wanted.settings, precision=precision)
        if not cached.differences(dataclasses.replace(wanted, settings=settings), use):
            return precision
    return None
