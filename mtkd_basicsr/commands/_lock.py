"""Locks against other processes that do the same work."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import MTKDError


@contextmanager
def locked(path: Path, text: str) -> Iterator[None]:
    """Lock a file against other processes, including those of other machines with its folder.

    There are no such locks on Windows.

    Args:
        path: The file, which is created.
        text: What another process does, for the message.

    Raises:
        MTKDError: Another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(path, 'w', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise MTKDError(f'{text}; it has locked {path}') from error
        yield
