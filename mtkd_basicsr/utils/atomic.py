"""Writing files so that a reader never sees half of one; nothing else in this package does it.

What is a folder (photographs of the demo, an LMDB) is put in its place by its own module.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

# Names of temporary files, as `replacing` makes them: hidden, because BasicSR takes every other
# file of a folder for an image. Version 0.1.0 wrote them without the dot.
_TEMPORARY = r'\.?{}\.\d+\.tmp'

# What file systems take for a name, in bytes.
_MAX_NAME = 255

# What file systems answer that cannot wait for the disk: shared folders of VirtualBox, some CIFS
# and FUSE. Other errors are those of the disk.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def _sync_file(path: str) -> None:
    """Wait until the content of a file is on disk, where the file system can do that."""
    with open(path, 'rb+') as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise


def sync_folder(path: str) -> None:
    """Wait until the names in a folder are on disk, where the system can do that.

    Windows cannot: it opens no folders. Some file systems cannot either.

    Args:
        path: The folder.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_temporary_of(name: str, pattern: str) -> bool:
    """Return whether a file was left by a process that was killed while it wrote another file.

    Args:
        name: Of the file, without its folder.
        pattern: Regular expression of the names that the other file can have.
    """
    return re.fullmatch(_TEMPORARY.format(f'(?:{pattern})'), name) is not None


def _shortened(name: str, most: int) -> str:
    """Return a name that takes at most ``most`` bytes: itself, or its beginning and a checksum.

    The checksum keeps names apart that begin alike. No character is cut in half.
    """
    encoded = os.fsencode(name)
    if len(encoded) <= most:
        return name
    mark = f'-{hashlib.sha256(encoded).hexdigest()[:8]}'
    kept = name[:most]
    while kept and len(os.fsencode(kept + mark)) > most:
        kept = kept[:-1]
    return kept + mark


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str], durable: bool = True, keep_suffix: bool = False
) -> Iterator[str]:
    """Give a file its content at once: a temporary file gets its name when it is complete.

    After an error ``path`` is as it was, and the temporary file is gone; a process that is killed
    leaves the temporary file too.

    Args:
        path: The file; replaced if it exists.
        durable: Whether to wait until the content is on the disk, so that it survives a loss of
            power. Not for many files that can be made again.
        keep_suffix: Whether the temporary file ends as ``path`` does, for writers that look at it.

    Yields:
        Path of the temporary file, in the same folder.
    """
    folder, name = os.path.split(os.path.abspath(path))
    suffix = os.path.splitext(name)[1] if keep_suffix else ''
    ending = f'.{os.getpid()}.tmp{suffix}'
    beginning = _shortened(name, _MAX_NAME - len(os.fsencode(f'.{ending}')))
    temporary = os.path.join(folder, f'.{beginning}{ending}')
    try:
        yield temporary
        if durable:
            _sync_file(temporary)
        os.replace(temporary, path)
        if durable:
            # The name too has to survive a loss of power.
            sync_folder(folder)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def write_atomically(
    path: str | os.PathLike[str], write: Callable[[BinaryIO], object], durable: bool = True
) -> None:
    """Write a file so that a reader never sees half of it; see :func:`replacing`.

    Args:
        path: The file; replaced if it exists.
        write: Gets the open temporary file; what it returns is not used.
        durable: Whether to wait until the content is on the disk.
    """
    with replacing(path, durable) as temporary, open(temporary, 'wb') as file:
        write(file)


def write_bytes(path: str | os.PathLike[str], content: bytes, durable: bool = True) -> None:
    """Write bytes so that a reader never sees half of them; see :func:`write_atomically`."""
    write_atomically(path, lambda file: file.write(content), durable)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a text (UTF-8) so that a reader never sees half of it; see :func:`write_atomically`."""
    write_bytes(path, content.encode('utf-8'))


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a JSON file so that a reader never sees half of it; see :func:`write_atomically`."""
    write_text(path, json.dumps(content, indent=1))


def save_atomically(content: Any, path: str | os.PathLike[str]) -> None:
    """Write a file with ``torch.save`` so that a reader never sees half of it.

    Args:
        content: What ``torch.save`` takes.
        path: The file; replaced if it exists.
    """
    import torch  # which commands that write other files do not wait for

    write_atomically(path, lambda file: torch.save(content, file))
