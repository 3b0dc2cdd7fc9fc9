"""Paths as people write them into option files: with ``~`` and environment variables."""

import os


def expanded(path: str | os.PathLike[str]) -> str:
    """Return a path with ``~``, ``$NAME`` and ``${NAME}`` replaced; unknown names are kept."""
    return os.path.expandvars(os.path.expanduser(path))
