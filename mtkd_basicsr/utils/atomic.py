"""Writing files so that a reader never sees half of one."""

import contextlib
import os

import torch


def sync_folder(path: str) -> None:
    """Wait until the names in a folder are on disk, where the system can do that: Windows opens no
    folders.

    Args:
        path: The folder.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def save_atomically(content, path):
    """``torch.save`` into a temporary file beside ``path``, which then takes its name.

    A process that is killed while it writes leaves ``path`` as it was.

    Args:
        content: What ``torch.save`` takes.
        path (str): Where it shall stand; replaced if it is there.
    """
    write_atomically(path, lambda file: torch.save(content, file))


def write_atomically(path, write):
    """Writes a temporary file beside ``path``, which takes its name when all of it is on the disk.

    Args:
        path (str): Where it shall stand; replaced if it is there.
        write: Gets the open file.
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
