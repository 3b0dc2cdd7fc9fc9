"""Writing the results of ``mtkd upscale``: PNG, JPEG and WebP, with their ICC profile."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ...errors import DataError
from ...utils.atomic import write_atomically
from ...utils.color_profile import is_srgb, profile_name

# End of the chunk IHDR, behind which that of the profile has to be.
_PNG_HEAD = 33
# What the head of a profile says about its colours, by whether an image is grey.
_SPACES = {True: b'GRAY', False: b'RGB '}
_QUALITY = 95  # of JPEG and WebP


def fitting_profile(profile: bytes | None, is_grey: bool) -> tuple[bytes | None, str | None]:
    """Return the profile that a file with these pixels can have.

    Args:
        profile: Of the original.
        is_grey: Whether the pixels are grey.

    Returns:
        The profile, or None; and a note for the user if it had to be left out.
    """
    if profile is None or profile[16:20] == _SPACES[is_grey]:
        return profile, None
    # Many programs write sRGB, which is what is expected without a profile, into grey images.
    if is_srgb(profile):
        return None, None
    kind = 'greyscale' if is_grey else 'colour'
    return None, f"left out the profile '{profile_name(profile)}', which is not for {kind}"


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', checksum)


def _with_opencv(pixels: np.ndarray, profile: bytes | None) -> list[Any]:
    """Encode a PNG of 8 or 16 bits, as parts of a file."""
    done, encoded = cv2.imencode('.png', pixels)
    if not done:
        raise ValueError('OpenCV cannot encode it')
    content = encoded.data
    if profile is None:
        return [content]
    # An empty name is not allowed; 0 ends it, and 0 is the only method of compression.
    chunk = _chunk(b'iCCP', b'ICC profile\0\0' + zlib.compress(profile))
    return [content[:_PNG_HEAD], chunk, content[_PNG_HEAD:]]


def _with_pillow(
    pixels: np.ndarray, format: str, profile: bytes | None, is_grey: bool
) -> list[Any]:
    if is_grey and format == 'png':
        pixels = pixels[..., 2:]  # one of the colours, which are equal, and the transparency
    elif pixels.ndim == 3:
        pixels = pixels[..., (2, 1, 0, 3)[: pixels.shape[2]]]
    options: dict[str, Any] = {} if format == 'png' else {'quality': _QUALITY}
    if format == 'jpg':
        options['subsampling'] = 0
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    name = {'jpg': 'JPEG', 'png': 'PNG', 'webp': 'WEBP'}[format]
    image.save(file, name, icc_profile=profile or b'', **options)
    return [file.getbuffer()]


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Lay an image with transparency on white: (h, w, 4), uint8 -> (h, w, 3)."""
    result = np.empty((*pixels.shape[:2], 3), np.uint8)
    white = np.uint16(255)
    alpha = pixels[..., 3].astype(np.uint16)
    for channel in range(3):  # one at a time, for the sake of memory
        mixed = pixels[..., channel] * alpha + white * (white - alpha)
        result[..., channel] = (mixed + white // 2) // white
    return result


def write_picture(
    path: Path, pixels: np.ndarray, format: str, profile: bytes | None, is_grey: bool
) -> None:
    """Write a picture so that no reader, and no kill, leaves half of it.

    Args:
        path: The new file; replaced if it exists.
        pixels: (h, w), (h, w, 3) or (h, w, 4), BGR(A), uint8, or uint16 for a PNG.
        format: ``'png'``, ``'jpg'`` (without transparency) or ``'webp'``.
        profile: ICC profile for a file with these pixels.
        is_grey: Whether a picture with transparency has no colours.

    Raises:
        DataError: The format has no room for as many pixels, or the file cannot be written.
    """
    try:
        # OpenCV has no greyscale with transparency, and Pillow no colours of 16 bits.
        grey_alpha = is_grey and pixels.ndim == 3 and pixels.dtype == np.uint8
        if format == 'png' and not grey_alpha:
            parts = _with_opencv(pixels, profile)
        else:
            parts = _with_pillow(pixels, format, profile, grey_alpha)
        write_atomically(path, lambda file: file.writelines(parts))
    except (OSError, ValueError, cv2.error) as error:
        h, w = pixels.shape[:2]
        reason = getattr(error, 'strerror', None) or error
        raise DataError(f"'{path}': cannot be written, {w}×{h} pixels: {reason}") from error
