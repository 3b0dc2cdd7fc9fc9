"""The one decoder for pictures as people have them, of any format.

A training reads its images with BasicSR's loader, ``cv2.imdecode``. This module is for pictures
that come from anywhere: it turns them as viewers do, keeps what a picture has, and refuses files
that are damaged.
"""

import contextlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageCms

from ..errors import DataError
from .image_damage import damage_of_format, strict_pillow
from .images import decode

_ORIENTATION = 0x0112
_TIFF_BITS = 258
_TIFF_COLOURS = 262  # 0: white is zero
_TIFF_PLANES = 284
_TIFF_SIGNATURES = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
# OpenCV's limits; the first one can be changed by this environment variable.
_LIMIT_SET = os.environ.get('OPENCV_IO_MAX_IMAGE_PIXELS', '')
_MAX_PIXELS = int(_LIMIT_SET) if _LIMIT_SET.isdecimal() else 2**30
_MAX_SIDE = 2**20
# JPEG decoders differ by rounding: these have the pixels that BasicSR trains on.
_BY_OPENCV = ('JPEG', 'MPO', 'PPM')
_GREY = ('1', 'L', 'LA', 'La', 'I')
# Signature, width, height, and the value of white of a PGM or PPM.
_PNM_HEADER = re.compile(rb'P[2356]' + 2 * rb'(?:\s|#[^\r\n]*)+\d+' + rb'(?:\s|#[^\r\n]*)+(\d+)')
_JPEG2000_HEAD = b'\xff\x4f\xff\x51'


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, turned as its EXIF orientation says.

    Attributes:
        pixels: (h, w), (h, w, 3) or (h, w, 4): grey, BGR or BGRA, uint8 or uint16. Grey with
            transparency is BGRA with three equal colours.
        profile: The ICC profile that ``pixels`` are in, as it is in the file; None without one, and
            for CMYK and Lab, which have become sRGB.
        frames: Number of frames or pages in the file, of which this is the first.
        is_grey: Whether the file has no colours.
        is_palette: Whether the file has a palette.
        has_alpha: Whether the file has transparency.
        cmyk: How CMYK became RGB: ``'profile'`` (by its profile, to sRGB), or ``'naive'`` (without
            a profile that can be used; too vivid); None if the file is not CMYK.
        orientation: EXIF orientation, 1 to 8, that has been applied; 1 for TIFF, which decoders
            turn.
        format: Pillow's name of the format, ``'JPEG'``, ``'PNG'``, …; ``''`` if only OpenCV knows
            it.
    """

    pixels: np.ndarray
    profile: bytes | None
    frames: int
    is_grey: bool
    is_palette: bool
    has_alpha: bool
    cmyk: Literal['profile', 'naive'] | None
    orientation: int
    format: str

    @property
    def bits(self) -> int:
        """Return the number of bits of a value in ``pixels``: 8 or 16."""
        return 8 * self.pixels.dtype.itemsize


def read_picture(content: str | os.PathLike[str] | bytes, name: str) -> Picture:
    """Read a picture of any format. Its content decides what it is, never the ending of its name.

    Args:
        content: A path, or the bytes of a file.
        name: Name of the picture, for messages.

    Returns:
        The picture: the first one, where the file has several.

    Raises:
        DataError: The file does not exist, is not a picture, is cut off or damaged, is larger than
            OpenCV reads, or has values of other than 8 or 16 bits.
    """
    data = content if isinstance(content, bytes) else _read_file(content, name)
    if not data:
        raise DataError(f"'{name}': cannot be read as an image: it is empty")
    try:
        with strict_pillow(), Image.open(io.BytesIO(data)) as image:
            refuse_size(image.width, image.height, name)
            damage = damage_of_format(data)
            if damage is None:
                return _read(image, data, name)
    except DataError:
        raise
    except Image.UnidentifiedImageError:
        return _read_with_opencv(data, name)
    except Exception as error:  # the decoders of Pillow raise any type
        damage = str(error) or type(error).__name__
    raise DataError(f"'{name}': cannot be read as an image: it is damaged: {damage}")


def _read_file(path: str | os.PathLike[str], name: str) -> bytes:
    try:
        with open(path, 'rb') as file:
            return file.read()
    except FileNotFoundError as error:
        raise DataError(f"'{name}': no such file") from error
    except OSError as error:
        raise DataError(f"'{name}': cannot be read: {error.strerror}") from error


def refuse_size(width: int, height: int, name: str) -> None:
    """Raise if a picture is larger than OpenCV reads.

    Raises:
        DataError: It has too many pixels.
    """
    if width * height > _MAX_PIXELS or max(width, height) > _MAX_SIDE:
        raise DataError(
            f"'{name}': {height}×{width} pixels; OpenCV reads at most {_MAX_PIXELS} "
            f'(OPENCV_IO_MAX_IMAGE_PIXELS), and {_MAX_SIDE} on a side'
        )


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation that an opened image has, 1 (upright) to 8.

    A TIFF has been turned by Pillow, as by OpenCV, and is upright here.
    """
    if image.format == 'TIFF':
        return 1
    exif = Image.Exif()
    try:
        exif.load(image.info.get('exif') or b'')
        value = exif.get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block, which viewers ignore
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror pixels, (h, w) or (h, w, c), as an EXIF orientation from 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _read(image: Image.Image, data: bytes, name: str) -> Picture:
    """Read an opened picture, and raise any error where it is damaged."""
    image.load()  # some formats have their EXIF block and profile after the pixels
    profile = image.info.get('icc_profile') or _jpeg2000_profile(image, data)
    cmyk = None
    if image.mode == 'CMYK':
        pixels, cmyk = _read_cmyk(image, profile)
    elif image.format in _BY_OPENCV or _largest_in_file(image, data) > 255:
        pixels = _with_opencv(data, name)
        pixels = _stretch(pixels, _largest_in_file(image, data))
        pixels = _as_tiff_means(pixels, image, name)
        pixels = _with_transparent_color(pixels, image)
    else:
        _scale_transparent_grey(image, data)
        pixels = _with_pillow(image, name)
    orientation = orientation_of(image)
    return Picture(
        pixels=turn(pixels, orientation),
        profile=None if image.mode in ('CMYK', 'LAB') else profile,
        # The second picture of an MPO is a view for the other eye, or light for HDR displays.
        frames=1 if image.format == 'MPO' else getattr(image, 'n_frames', 1),
        is_grey=image.mode in _GREY or image.mode.startswith('I;16'),
        is_palette=image.mode in ('P', 'PA'),
        has_alpha=pixels.ndim == 3 and pixels.shape[2] == 4,
        cmyk=cmyk,
        orientation=orientation,
        format=image.format or '',
    )


def _largest_in_file(image: Image.Image, data: bytes) -> int:
    """Return the value of white in the file; Pillow reduces colours to 8 bits."""
    if image.format == 'PPM':
        header = _PNM_HEADER.match(data)
        largest = int(header[1]) if header else 255
        # OpenCV stretches the values of a PNM that is a text, but only those of 8 bits.
        return 255 if data[1:2] in b'23' and largest < 255 else largest
    return int(2 ** _bits_in_file(image, data) - 1)


def _bits_in_file(image: Image.Image, data: bytes) -> int:
    """Return how many bits a value has in the file."""
    if image.format == 'PNG':
        return data[24]  # of the chunk IHDR, which is the first one
    if image.format == 'TIFF':
        tags: Mapping[int, tuple[int, ...]] = image.tag_v2  # type: ignore[attr-defined]
        return max(tags.get(_TIFF_BITS, (1,)))
    if image.format == 'JPEG2000':
        position = data.find(_JPEG2000_HEAD)
        return (data[position + 42] & 0x7F) + 1
    return 8


def _jpeg2000_profile(image: Image.Image, data: bytes) -> bytes | None:
    """Return the ICC profile of a JPEG 2000 file, which Pillow does not read."""
    position = data.find(b'colr\x02')
    if image.format != 'JPEG2000' or position < 0:
        return None
    size = int.from_bytes(data[position - 4 : position], 'big')
    return data[position + 7 : position - 4 + size]


def _with_opencv(data: bytes, name: str) -> np.ndarray:
    """Decode all channels and bits, without turning anything but a TIFF.

    Raises:
        DataError: It is not a picture, or has values of another type.
    """
    pixels = decode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(f"'{name}': cannot be read as an image")
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[2:] not in ((), (3,), (4,)):
        raise DataError(
            f"'{name}': {pixels.shape} {pixels.dtype}; expected greyscale or colour, with or "
            'without transparency, of 8 or 16 bits'
        )
    return pixels


def _stretch(pixels: np.ndarray, largest: int) -> np.ndarray:
    """Extend values whose white is ``largest`` to the whole range of their type."""
    white = np.iinfo(pixels.dtype).max
    if largest >= white or (largest <= 255) != (white == 255):
        return pixels
    stretched: np.ndarray = np.round(pixels * (white / largest)).clip(0, white)
    return stretched.astype(pixels.dtype)


def _scale_transparent_grey(image: Image.Image, data: bytes) -> None:
    """Scale the transparent grey of a PNG of 2 or 4 bits as Pillow has scaled its pixels."""
    color = image.info.get('transparency')
    if image.format == 'PNG' and image.mode == 'L' and isinstance(color, int):
        # A value of n bits has become a multiple of 255 / (2ⁿ − 1).
        step = 255 // (2 ** _bits_in_file(image, data) - 1)
        image.info['transparency'] = step * color


def _with_transparent_color(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Add the transparency of a PNG of 16 bits that has one transparent colour (chunk tRNS)."""
    color = image.info.get('transparency')
    if color is None or pixels.dtype != np.uint16 or pixels.shape[2:] == (4,):
        return pixels
    colored = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
    opaque = (colored != np.broadcast_to(color, 3)[::-1]).any(2)
    return np.dstack([colored, np.where(opaque, np.uint16(65535), np.uint16(0))])


def _as_tiff_means(pixels: np.ndarray, image: Image.Image, name: str) -> np.ndarray:
    """Correct what OpenCV does with TIFFs of 16 bits.

    Raises:
        DataError: The colours are in separate planes, which OpenCV mixes up.
    """
    tags: Mapping[int, int] = getattr(image, 'tag_v2', {})
    if tags.get(_TIFF_PLANES) == 2 and pixels.ndim == 3:
        raise DataError(f"'{name}': a TIFF of 16 bits with separate planes; expected chunky pixels")
    return ~pixels if tags.get(_TIFF_COLOURS) == 0 else pixels


def _with_pillow(image: Image.Image, name: str) -> np.ndarray:
    """Convert a loaded image of at most 8 bits a value to grey, BGR or BGRA.

    Raises:
        DataError: It has a colour space that Pillow cannot convert.
    """
    transparent = image.mode.endswith(('A', 'a')) or 'transparency' in image.info
    wanted = 'RGBA' if transparent else 'L' if image.mode in ('1', 'L') else 'RGB'
    try:
        converted = image.convert(wanted)
    except ValueError as error:
        raise DataError(
            f"'{name}': its mode is {image.mode}; expected greyscale or RGB colours"
        ) from error
    pixels: np.ndarray = np.asarray(converted)
    if pixels.ndim == 3:
        pixels = np.take(pixels, (2, 1, 0, 3)[: pixels.shape[2]], axis=2)
    return pixels


def _read_cmyk(
    image: Image.Image, profile: bytes | None
) -> tuple[np.ndarray, Literal['profile', 'naive']]:
    """Convert CMYK to BGR: by its profile to sRGB, or as a screen without ink."""
    rgb = None
    if profile is not None:
        with contextlib.suppress(ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError):
            rgb = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile('sRGB'),
                outputMode='RGB',
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
    pixels = np.asarray(image.convert('RGB') if rgb is None else rgb)[..., ::-1]
    return pixels, 'naive' if rgb is None else 'profile'


def _read_with_opencv(data: bytes, name: str) -> Picture:
    """Read a picture that only OpenCV knows.

    Raises:
        DataError: It is not a picture, or a TIFF of a kind that OpenCV reads with wrong values.
    """
    if data.startswith(_TIFF_SIGNATURES):
        raise DataError(f"'{name}': cannot be read as an image: a TIFF that is cut off or unusual")
    pixels = _with_opencv(data, name)
    return Picture(
        pixels=pixels,
        profile=None,
        frames=1,
        is_grey=pixels.ndim == 2,
        is_palette=False,
        has_alpha=pixels.ndim == 3 and pixels.shape[2] == 4,
        cmyk=None,
        orientation=1,
        format='',
    )
