"""Files that a killed writer of a cache has left."""

import contextlib
import os
import shutil

from ...errors import CacheError
from .format import data_file, partial_path
from .lock import CacheLock, lock_path


def remove_leftovers(path: str) -> None:
    """Remove the files left by a writer that was killed just after it completed its cache.

    These are a lock file and an empty folder.

    Args:
        path: The LMDB.
    """
    partial = partial_path(path)
    if os.path.isdir(partial) or os.path.isfile(lock_path(path)):
        with (
            contextlib.suppress(CacheError, OSError),
            CacheLock(lock_path(path), path).releasing() as last,
        ):
            if last and not os.path.isfile(data_file(partial)):
                shutil.rmtree(partial, ignore_errors=True)
