"""Errors of the file system at what ``mtkd data`` writes, and its lock against other calls."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .._lock import locked
from .._validation import spelled

# Hidden, because it may lie beside images.
_LOCK = '.mtkd_data.lock'


class OutputError(OSError):
    """A file of the results cannot be read or written; ``filename`` is its path.

    The process that started the command makes the message of it: a worker does not know whether
    arguments are spelled as options.
    """


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file of the results in errors of the file system: a full disk does not name any.

    Args:
        path: The file.

    Raises:
        OutputError: It cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(error.errno, error.strerror or str(error), str(path)) from error


def read_result(path: Path) -> bytes:
    """Read a file of the results.

    Raises:
        OutputError: It cannot be read.
    """
    with naming(path):
        return path.read_bytes()


def is_there(path: Path) -> bool:
    """Return whether there is a file of the results.

    Raises:
        OutputError: The system does not say, for example because the name is too long.
    """
    with naming(path):
        return path.is_file()


@contextmanager
def locked_results(out: Path) -> Iterator[None]:
    """Lock the folder of the results against other calls.

    Args:
        out: The folder, which exists.

    Raises:
        MTKDError: Another call writes to it.
        OutputError: The file of the lock cannot be written.
    """
    lock = out / _LOCK
    text = f"{spelled('out')}: another process is writing to '{out}'"
    with ExitStack() as stack:
        with naming(lock):
            stack.enter_context(locked(lock, text))
        yield
