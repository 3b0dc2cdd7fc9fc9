"""Digests of files."""

import hashlib
import os
from typing import BinaryIO, cast


def sha256(path: str) -> str | None:
    """Return the SHA-256 of a file as text; None if there is no such file."""
    if not os.path.isfile(path):
        return None
    with open(path, 'rb') as file:
        if hasattr(hashlib, 'file_digest'):
            return cast(str, hashlib.file_digest(file, 'sha256').hexdigest())
        return _digest(file)


def _digest(file: BinaryIO) -> str:
    # Python 3.10 has no hashlib.file_digest.
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b''):
        digest.update(block)
    return digest.hexdigest()
