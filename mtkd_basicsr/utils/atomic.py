"""Writing files so that a reader never sees half of one."""

import contextlib
import os
from collections.abc import Callable
from typing import Any, BinaryIO

import torch


def sync_folder(path: str) -> None:
    """Wait until the names in a folder are on disk, where the system can do that.

    Windows cannot: it opens no folders.

    Args:
        path: The folder.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def save_atomically(content: Any, path: str) -> None:
    """Write a file with ``torch.save`` so that a reader never sees half of it.

    A process that is killed while it writes leaves ``path`` as it was; see
    :func:`write_atomically`.

    Args:
        content: What ``torch.save`` takes.
        path: The file; replaced if it exists.
    """
    write_atomically(path, lambda file: torch.save(content, file))


def write_atomically(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file beside ``path`` and rename it when all of it is on the disk.

    Args:
        path: The file; replaced if it exists.
        write: Gets the open temporary file; what it returns is not used.
    """
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        with open(temporary, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        # The name too has to survive a loss of power.
        sync_folder(os.path.dirname(os.path.abspath(path)))
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
