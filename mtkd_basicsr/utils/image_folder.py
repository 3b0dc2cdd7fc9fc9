"""Images as files: what their heads say, and folders with the outputs of a teacher.

Such folders stand in for teachers that cannot be run here.
"""

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
_NAMED = 3
# bytes at the end of a PNG, in which its last chunk begins; some programs write a little behind it
_TAIL = 4096


class Head(NamedTuple):
    """What the head of an image says.

    Attributes:
        height: In pixels.
        width: In pixels.
        eight_bits: Whether no value has more than the 8 bits that BasicSR reads.
        opaque: Whether there is no transparency, which BasicSR's three channels do not hold.
    """

    height: int
    width: int
    eight_bits: bool
    opaque: bool


def read_head(content: str | bytes, name: str) -> Head:
    """Read the head of an image, and the end of a PNG, without decoding it.

    Args:
        content: A path, or the bytes of a file.
        name: Name of the image, for messages.

    Returns:
        What the head says.

    Raises:
        DataError: It is no image, or was cut off.
    """
    try:
        with (
            io.BytesIO(content) if isinstance(content, bytes) else open(content, 'rb') as file,
            Image.open(file) as image,
        ):
            png = image.format == 'PNG'
            deep = image.mode[0] in 'IF'
            if png:
                file.seek(24)
                deep = file.read(1)[0] > 8
                file.seek(0, os.SEEK_END)
                file.seek(max(file.tell() - _TAIL, 0))
                if b'IEND' not in file.read():
                    raise DataError(f"'{name}' was cut off: its end is missing")
            return Head(
                image.height,
                image.width,
                not deep,
                image.mode[-1] not in 'Aa' and 'transparency' not in image.info,
            )
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"'{name}' cannot be read as an image") from error


def _sizes_differ(path: str, found: Sequence[int], size: Sequence[int], key: str) -> DataError:
    return DataError(
        f"{key}: '{path}' has {found[0]}×{found[1]} pixels; expected {size[0]}×{size[1]}, as the "
        'ground truth has'
    )


class ImageFolder:
    """Images that belong to others by their names.

    Args:
        path: A folder, where an image has the name of its ground truth with any ending; or a
            pattern of files with ``{}`` in the place of that name: ``'RCAN/{}_x4_SR.png'``.
        key: Where it stands in the option file, for messages.
    """

    def __init__(self, path: str, key: str) -> None:
        self.key = key
        path = os.path.expanduser(path)
        self.patterns = (
            [path] if '{}' in path else [os.path.join(path, '{}' + ending) for ending in _ENDINGS]
        )
        self.root = os.path.dirname(path.partition('{}')[0] + 'x') if '{}' in path else path
        self.path = path

    def exists(self) -> bool:
        """Return whether the folder exists."""
        return os.path.isdir(self.root)

    def find(self, name: str) -> str | None:
        """Return the path of the file that belongs to an image.

        Args:
            name: Path of the ground truth, or a part of it: looked for with its folders and
                without.

        Returns:
            The path; None where there is no such file.
        """
        stem = os.path.splitext(name)[0]
        names = (
            [os.path.basename(stem)]
            if os.path.isabs(stem)
            else list(dict.fromkeys((stem, os.path.basename(stem))))
        )
        candidates = (pattern.replace('{}', each) for each in names for pattern in self.patterns)
        return next((path for path in candidates if os.path.isfile(path)), None)

    def check(self, images: Sequence[Sequence[Any]]) -> None:
        """Raise if the file of an image is missing or has another size, without decoding any.

        Args:
            images: ``(name, height, width)`` of each ground truth.

        Raises:
            DataError: Some are missing, not readable, or of another size; names the first.
        """
        if not self.exists():
            raise DataError(f"{self.key}: no folder '{self.root}'")
        found = {name: self.find(name) for name, _, _ in images}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            more = ', …' if len(missing) > _NAMED else ''
            raise DataError(
                f"{self.key}: '{self.path}' has no image for {len(missing)} of {len(images)} "
                'ground truths '
                f'({", ".join(missing[:_NAMED])}{more}); expected their names with any ending, or '
                'a pattern such as '
                "'FOLDER/{}_SR.png'"
            )
        for name, h, w in images:
            path = found[name]
            assert path is not None  # none is missing
            try:
                head = read_head(path, path)
            except DataError as error:
                raise DataError(f'{self.key}: {error}') from error
            if head[:2] != (h, w):
                raise _sizes_differ(path, head[:2], (h, w), self.key)

    def read(self, name: str, size: Sequence[int]) -> np.ndarray:
        """Read the image that belongs to another one.

        Args:
            name: As for :meth:`find`.
            size: Height and width that it has to have.

        Returns:
            (h, w, 3), BGR, uint8.

        Raises:
            DataError: Not there, not readable, or of another size.
        """
        path = self.find(name)
        if path is None:
            raise DataError(f"{self.key}: '{self.path}' has no image for '{name}'")
        with open(path, 'rb') as file:
            image = decode(file.read())
        if image is None:
            raise DataError(f"{self.key}: '{path}' cannot be read as an image")
        if image.shape[:2] != tuple(size):
            raise _sizes_differ(path, image.shape, size, self.key)
        return image

    def digest(self, names: Iterable[str]) -> str | None:
        """Compute a SHA-256 that tells whether the files of some images have changed.

        It is taken over the names of the images, and over the endings and sizes in bytes of the
        files that belong to them.

        Args:
            names: As for :meth:`find`.

        Returns:
            Hexadecimal digits; None where the folder is not on this machine.
        """
        if not self.exists():
            return None
        digest = hashlib.sha256()
        for name in names:
            path = self.find(name)
            digest.update(
                f'{name} {os.path.splitext(path)[1]} {os.path.getsize(path)}\n'.encode()
                if path
                else f'{name} -\n'.encode()
            )
        return digest.hexdigest()
