"""Headers of image files, and folders with the outputs of teachers that cannot be run here."""

import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..errors import DataError
from .images import decode
from .output_folder import OutputFolder

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


class ImageFolder(OutputFolder):
    """Outputs of a teacher as images of 8 bits."""

    content = 'an image'

    def size_of(self, path: str) -> tuple[int, int]:
        """Return height and width of an image, from its header.

        Raises:
            DataError: It is not an image.
        """
        return read_head(path, path)[:2]

    def load(self, path: str) -> np.ndarray | None:
        """Return an image, (h, w, 3), BGR, uint8; None if it cannot be read."""
        with open(path, 'rb') as file:
            return decode(file.read())
