"""What this machine has for its processes: cores and disk space."""

import os
import shutil


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_bytes(path: str | os.PathLike[str]) -> int:
    """Return the free disk space in bytes at a path, which need not exist."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free
