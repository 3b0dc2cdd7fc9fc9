"""Files that a killed writer of a cache has left."""

import contextlib
import os
import shutil

from ...errors import CacheError
from .format import data_file, partial_path
from .lock import CacheLock, lock_path


def remove_leftovers(path: str) -> str | None:
    """Remove the files left by a writer that was killed just after it completed its cache.

    These are a lock file and an empty folder.

    Args:
        path: The LMDB.

    Returns:
        The data file of an unfinished cache that nobody writes, which is kept; None without one.
    """
    partial = partial_path(path)
    if os.path.isdir(partial) or os.path.isfile(lock_path(path)):
        with (
            contextlib.suppress(CacheError, OSError),
            CacheLock(lock_path(path), path).releasing() as last,
        ):
            if last and os.path.isfile(data_file(partial)):
                return data_file(partial)
            if last:
                shutil.rmtree(partial, ignore_errors=True)
    return None
