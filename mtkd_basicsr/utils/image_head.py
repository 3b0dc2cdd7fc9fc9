"""The headers of image files: what a training will see of an image, without decoding it."""

import functools
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import DataError
from .color_profile import is_srgb, profile_name
from .image_damage import jpeg_end, strict_pillow
from .images import decode
from .picture import orientation_of, refuse_size

# Bytes at the end of a file that are searched for its last mark; some programs append a little.
_END_BYTES = 4096
_TIFF_PARTS = ((273, 279), (324, 325))  # where strips and tiles begin, and their sizes


@dataclass(frozen=True)
class Head:
    """The header of an image file, as BasicSR's loader sees the image.

    Attributes:
        height: Height in pixels, of the image as it is turned when it is read.
        width: Width in pixels, likewise.
        eight_bits: Whether values have at most 8 bits, which is all that BasicSR reads.
        opaque: Whether there is no transparency, for which BasicSR's three channels have no room.
        orientation: EXIF orientation of the file, 1 to 8; 1 for TIFF, which is always turned.
        profile: Name of its colour profile; None without one, or if it is sRGB.
        cmyk: Whether the colours are those of inks, which BasicSR converts without their profile.
        frames: Number of frames or pages, of which BasicSR reads the first.
    """

    height: int
    width: int
    eight_bits: bool
    opaque: bool
    orientation: int = 1
    profile: str | None = None
    cmyk: bool = False
    frames: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width."""
        return self.height, self.width


def read_head(content: str | bytes, name: str) -> Head:
    """Read the header of an image file and look at its end, without decoding it.

    Args:
        content: A path, or the bytes of a file.
        name: Name of the image, for messages.

    Returns:
        The header.

    Raises:
        DataError: If there is no such file, or it is not an image that OpenCV reads, or truncated.
    """
    try:
        with (
            io.BytesIO(content) if isinstance(content, bytes) else open(content, 'rb') as file,
            strict_pillow(),
            Image.open(file) as image,
        ):
            return _head(image, file, name)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"'{name}': no such file") from error
    except Exception as error:  # Pillow's readers of headers raise any type
        raise DataError(f"'{name}' cannot be read as an image") from error


def _head(image: Image.Image, file: BinaryIO, name: str) -> Head:
    refuse_size(image.width, image.height, name)
    bits = _bits_of(image, file)
    if bits > 16:
        raise DataError(f"'{name}' has values of {bits} bits, which BasicSR does not read")
    if not _has_end(image, file):
        raise DataError(f"'{name}' is truncated: its end is missing")
    height = image.height
    width = image.width
    orientation = orientation_of(image)
    if orientation >= 5 and opencv_turns(image.format or ''):
        height, width = width, height
    profile = image.info.get('icc_profile')
    cmyk = image.mode == 'CMYK'
    return Head(
        height=height,
        width=width,
        eight_bits=bits <= 8,
        opaque=image.mode[-1] not in 'Aa' and 'transparency' not in image.info,
        orientation=orientation,
        profile=None if not profile or cmyk or is_srgb(profile) else profile_name(profile),
        cmyk=cmyk,
        frames=1 if image.format == 'MPO' else getattr(image, 'n_frames', 1),
    )


def _bits_of(image: Image.Image, file: BinaryIO) -> int:
    """Return how many bits a value has, also where Pillow reduces 16 to 8."""
    if image.format == 'PNG':
        file.seek(24)  # in the chunk IHDR
        return file.read(1)[0]
    if image.format == 'TIFF':
        tags: Mapping[int, tuple[int, ...]] = image.tag_v2  # type: ignore[attr-defined]
        return max(tags.get(258, (1,)))
    return {'F': 32, 'I': 16}.get(image.mode[0], 8)


@functools.cache
def opencv_turns(form: str) -> bool:
    """Return whether the installed OpenCV applies the EXIF orientation of a format in a training.

    It has learned to do so for one format after the other.
    """
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    try:
        Image.new('RGB', (8, 16)).save(file, 'JPEG' if form == 'MPO' else form, exif=exif)
    except Exception:  # a format that Pillow does not write, or without EXIF
        return False
    pixels = decode(file.getvalue())
    return pixels is not None and pixels.shape[:2] == (8, 16)


def _has_end(image: Image.Image, file: BinaryIO) -> bool:
    """Return whether a file reaches as far as its format says, where this is quickly seen."""
    size = file.seek(0, os.SEEK_END)
    if image.format == 'TIFF':
        return _last_byte_of_tiff(image) <= size
    tiles: list[Any] = getattr(image, 'tile', [])
    if image.format == 'BMP' and tiles and tiles[0][0] == 'raw':
        _, box, offset, (_, row_bytes, *_) = tiles[0]
        return int(offset + row_bytes * box[3]) <= size
    mark = {'PNG': b'IEND', 'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9'}.get(image.format or '')
    if mark is None:
        return True
    file.seek(max(size - _END_BYTES, 0))
    if mark in file.read():
        return True
    file.seek(0)
    content = file.read()  # phones append films to a JPEG
    return mark in content if image.format == 'PNG' else jpeg_end(content) is not None


def _last_byte_of_tiff(image: Image.Image) -> int:
    tags = image.tag_v2  # type: ignore[attr-defined]
    for starts, sizes in _TIFF_PARTS:
        if starts in tags and sizes in tags:
            return int(np.max(np.add(tags[starts], tags[sizes])))
    return 0
