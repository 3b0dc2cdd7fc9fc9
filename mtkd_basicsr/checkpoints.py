"""Writing checkpoints so that a reader never sees half of one, and what they say about themselves."""

import contextlib
import json
import os

import torch

# What a checkpoint says about its network or its teachers stands under this key, beside BasicSR's
# 'params'.
METADATA = 'mtkd'

_VERSION = 'mtkd_basicsr'  # in files whose metadata are texts; tells ours from others'


def metadata_texts(metadata):
    """What a student's checkpoint says about itself, for file formats whose metadata are texts.

    Args:
        metadata (dict): ``network`` (block of the option file), ``scale``, ``version``.

    Returns:
        dict[str, str]: ``network`` as JSON, ``scale``, ``mtkd_basicsr``: the version.
    """
    return {
        'network': json.dumps(metadata['network']),
        'scale': str(metadata['scale']),
        _VERSION: metadata['version'],
    }


def metadata_of_texts(texts):
    """The inverse of :func:`metadata_texts`; None where the texts are of another program."""
    if not texts or _VERSION not in texts:
        return None
    return {
        'network': json.loads(texts['network']),
        'scale': int(texts['scale']),
        'version': texts[_VERSION],
    }


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
