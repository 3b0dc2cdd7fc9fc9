"""Writing checkpoints so that a reader never sees half of one."""

import os

import torch


def save_atomically(content, path):
    """``torch.save`` into a temporary file beside ``path``, which then takes its name.

    A process that is killed while it writes leaves ``path`` as it was.

    Args:
        content: What ``torch.save`` takes.
        path (str): Where it shall stand; replaced if it is there.
    """
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        with open(temporary, 'wb') as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
