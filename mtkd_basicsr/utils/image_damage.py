"""Image files that are cut off or damaged, which decoders fill up with grey, or refuse unnamed."""

import contextlib
import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_JPEG_SIGNATURE = b'\xff\xd8'
# A marker of a JPEG. In the data of a scan 0xff is followed by 0, or is a restart marker.
_JPEG_MARKER = re.compile(rb'\xff+[^\x00\xff\xd0-\xd7]')
_JPEG_END = 0xD9
_JPEG_SCAN = 0xDA
# Data that no image has: any bytes without 0xff, long enough to change a pixel that takes them.
_JPEG_FILLING = np.random.default_rng(0).integers(1, 255, 512, np.uint8).tobytes()
_LOCK = threading.RLock()


@contextlib.contextmanager
def strict_pillow() -> Iterator[None]:
    """Let Pillow refuse truncated files, and read large ones, whatever its globals say.

    Other packages set ``LOAD_TRUNCATED_IMAGES``, with which missing parts are grey. The limit of
    Pillow for the number of pixels is lower than OpenCV's, with which BasicSR reads.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        truncated = ImageFile.LOAD_TRUNCATED_IMAGES
        limit = Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = truncated
            Image.MAX_IMAGE_PIXELS = limit


def is_png(content: bytes) -> bool:
    """Return whether the content of a file is a PNG."""
    return content.startswith(_PNG_SIGNATURE)


def find_damage(content: bytes) -> str | None:
    """Tell what is missing or changed in an image file, as far as its format shows it.

    Args:
        content: Content of the file, of any format.

    Returns:
        A few words for a message; None for a file that is whole, or is no image at all.
    """
    try:
        damage = damage_of_format(content)
        if damage is None and not content.startswith((_PNG_SIGNATURE, _JPEG_SIGNATURE)):
            with strict_pillow(), Image.open(io.BytesIO(content)) as image:
                image.load()
    except Image.UnidentifiedImageError:
        return None
    except Exception as error:  # the decoders of Pillow raise any type
        return str(error) or type(error).__name__
    return damage


def damage_of_format(content: bytes) -> str | None:
    """Tell what is wrong with a PNG or JPEG that Pillow's decoders accept; None for other formats.

    Raises:
        Exception: Pillow cannot decode a JPEG.
    """
    if content.startswith(_PNG_SIGNATURE):
        return _png_damage(content)
    if content.startswith(_JPEG_SIGNATURE):
        return _jpeg_damage(content)
    return None


def _png_damage(content: bytes) -> str | None:
    """Check the CRC of each chunk up to the last one."""
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(content):
        (size,) = struct.unpack_from('>I', content, position)
        end = position + 8 + size
        name = content[position + 4 : position + 8]
        checksum = content[end : end + 4]
        if len(checksum) < 4:
            break
        if zlib.crc32(memoryview(content)[position + 4 : end]) != int.from_bytes(checksum, 'big'):
            return f'the checksum of its chunk {name.decode("latin-1")} is wrong'
        if name == b'IEND':
            return None
        position = end + 4
    return 'its end is missing'


def _jpeg_damage(content: bytes) -> str | None:
    """Find out whether data is missing before the end of a JPEG.

    libjpeg decodes such a file, with a warning that no caller sees, and fills the rest with grey.
    It is found by what is decoded if there is more data: where nothing is missing, this changes
    nothing.
    """
    end = jpeg_end(content)
    if end is None:
        return 'its end is missing'
    filled = content[:end] + _JPEG_FILLING + content[end:]
    if np.array_equal(_pixels(content), _pixels(filled)):
        return None
    return 'data is missing before its end'


def _pixels(content: bytes) -> np.ndarray:
    with strict_pillow(), Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def jpeg_end(content: bytes) -> int | None:
    """Return the position of the marker that ends the first image of a JPEG, None without one."""
    position = len(_JPEG_SIGNATURE)
    while True:
        marker = _JPEG_MARKER.match(content, position)
        if marker is None:
            return None
        code = content[marker.end() - 1]
        if code == _JPEG_END:
            return marker.start()
        position = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], 'big')
        if code == _JPEG_SCAN:
            following = _JPEG_MARKER.search(content, position)
            if following is None:
                return None
            position = following.start()
