"""Paths as people write them into option files: with ``~`` and environment variables."""

import os
import re

from ..errors import OptionError

_VARIABLE = re.compile(r'\$(\w+|\{[^}]*\})')


def expanded(path: str | os.PathLike[str]) -> str:
    """Return a path with ``~``, ``$NAME`` and ``${NAME}`` replaced; unknown names are kept."""
    return os.path.expandvars(os.path.expanduser(path))


def expanded_new(path: str | os.PathLike[str], key: str) -> str:
    """Return a path that may be created, with ``~`` and environment variables replaced.

    Args:
        path: The path from an option file.
        key: Where it stands, for messages.

    Raises:
        OptionError: A variable is not set, or there is no such user; otherwise a folder called
            ``$NAME`` or ``~name`` would be created.
    """
    result = expanded(path)
    missing = _VARIABLE.search(result)
    if missing is not None:
        name = missing[1].strip('{}')
        raise OptionError(f"{key}: '{path}'; the environment variable {name} is not set")
    if result.startswith('~'):
        raise OptionError(f"{key}: '{path}'; no home folder for {result.split('/')[0]}")
    return result
