"""Headers of image files, and folders with the outputs of teachers that cannot be run here."""

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..errors import DataError
from .images import decode

_ENDINGS = (
    '.png',
    '.PNG',
    '.bmp',
    '.BMP',
    '.tif',
    '.tiff',
    '.webp',
    '.jpg',
    '.jpeg',
    '.JPG',
    '.JPEG',
)
# How many missing images a message lists.
_MAX_LISTED = 3
# Bytes at the end of a PNG that are searched for its last chunk; some programs append a little.
_PNG_END_BYTES = 4096


class Head(NamedTuple):
    """The header of an image file.

    Attributes:
        height: Height in pixels.
        width: Width in pixels.
        eight_bits: Whether values have at most 8 bits, which is all that BasicSR reads.
        opaque: Whether there is no transparency, for which BasicSR's three channels have no room.
    """

    height: int
    width: int
    eight_bits: bool
    opaque: bool


def read_head(content: str | bytes, name: str) -> Head:
    """Read the header of an image file, and the end of a PNG, without decoding it.

    Args:
        content: A path, or the bytes of a file.
        name: Name of the image, for messages.

    Returns:
        The header.

    Raises:
        DataError: If it is not an image, or is truncated.
    """
    try:
        with (
            io.BytesIO(content) if isinstance(content, bytes) else open(content, 'rb') as file,
            Image.open(file) as image,
        ):
            png = image.format == 'PNG'
            # Pillow's modes of more than 8 bits: I, I;16, F.
            deep = image.mode[0] in 'IF'
            if png:
                # Pillow reduces 16 bits a channel to 8: the bit depth stands in the IHDR chunk.
                file.seek(24)
                deep = file.read(1)[0] > 8
                file.seek(0, os.SEEK_END)
                file.seek(max(file.tell() - _PNG_END_BYTES, 0))
                if b'IEND' not in file.read():
                    raise DataError(f"'{name}' is truncated: its end is missing")
            opaque = image.mode[-1] not in 'Aa' and 'transparency' not in image.info
            return Head(image.height, image.width, not deep, opaque)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"'{name}' cannot be read as an image") from error


def _size_error(path: str, actual: Sequence[int], expected: Sequence[int], key: str) -> DataError:
    return DataError(
        f"{key}: '{path}' has {actual[0]}×{actual[1]} pixels; expected "
        f'{expected[0]}×{expected[1]}, the size of the ground truth'
    )


class ImageFolder:
    """Images that are matched to ground truths by their names.

    Args:
        path: A folder, in which an image has the name of its ground truth with any file extension;
            or a pattern with ``{}`` in the place of that name: ``'RCAN/{}_x4_SR.png'``.
        key: Where it stands in the option file, for messages.
    """

    def __init__(self, path: str, key: str) -> None:
        self.key = key
        self.path = os.path.expanduser(path)
        if '{}' in path:
            self.patterns = [self.path]
            # The folder up to the name: for 'a/b/{}.png' and 'a/b/c_{}.png' alike 'a/b'.
            self.root = os.path.dirname(self.path.partition('{}')[0] + 'x')
        else:
            self.patterns = [os.path.join(self.path, '{}' + ending) for ending in _ENDINGS]
            self.root = self.path

    def exists(self) -> bool:
        """Return whether the folder exists."""
        return os.path.isdir(self.root)

    def find(self, name: str) -> str | None:
        """Return the path of the file that belongs to an image.

        Args:
            name: Path of the ground truth, or a part of it. A relative one is looked for with its
                folders first, and then without.

        Returns:
            The path; None if there is no such file.
        """
        stem = os.path.splitext(name)[0]
        stems = [os.path.basename(stem)]
        if not os.path.isabs(stem) and stem not in stems:
            stems.insert(0, stem)
        for each in stems:
            for pattern in self.patterns:
                path = pattern.replace('{}', each)
                if os.path.isfile(path):
                    return path
        return None

    def check(self, images: Sequence[Sequence[Any]]) -> None:
        """Raise if an image is missing or has another size than its ground truth; decodes none.

        Args:
            images: ``(name, height, width)`` of each ground truth.

        Raises:
            DataError: If images are missing, unreadable, or of another size; names the first ones.
        """
        if not self.exists():
            raise DataError(f"{self.key}: no folder '{self.root}'")
        found = {name: self.find(name) for name, _, _ in images}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            more = ', …' if len(missing) > _MAX_LISTED else ''
            raise DataError(
                f"{self.key}: '{self.path}' has no image for {len(missing)} of {len(images)} "
                f'ground truths ({", ".join(missing[:_MAX_LISTED])}{more}); expected their names '
                "with any file extension, or a pattern such as 'FOLDER/{}_SR.png'"
            )
        for name, h, w in images:
            path = found[name]
            assert path is not None  # none is missing
            try:
                head = read_head(path, path)
            except DataError as error:
                raise DataError(f'{self.key}: {error}') from error
            if head[:2] != (h, w):
                raise _size_error(path, head[:2], (h, w), self.key)

    def read(self, name: str, size: Sequence[int]) -> np.ndarray:
        """Read the image that belongs to a ground truth.

        Args:
            name: As for :meth:`find`.
            size: The height and width that it must have.

        Returns:
            (h, w, 3), BGR, uint8.

        Raises:
            DataError: If it is missing, unreadable, or of another size.
        """
        path = self.find(name)
        if path is None:
            raise DataError(f"{self.key}: '{self.path}' has no image for '{name}'")
        with open(path, 'rb') as file:
            image = decode(file.read())
        if image is None:
            raise DataError(f"{self.key}: '{path}' cannot be read as an image")
        if image.shape[:2] != tuple(size):
            raise _size_error(path, image.shape, size, self.key)
        return image

    def digest(self, names: Iterable[str]) -> str | None:
        """Compute a SHA-256 that tells whether the files of some ground truths have changed.

        It covers the names of the ground truths, and the extensions and sizes in bytes of the
        files that belong to them.

        Args:
            names: As for :meth:`find`.

        Returns:
            Hexadecimal digits; None if the folder is not on this machine.
        """
        if not self.exists():
            return None
        digest = hashlib.sha256()
        for name in names:
            path = self.find(name)
            line = f'{name} -\n'
            if path is not None:
                line = f'{name} {os.path.splitext(path)[1]} {os.path.getsize(path)}\n'
            digest.update(line.encode())
        return digest.hexdigest()
