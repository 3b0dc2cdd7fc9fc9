"""Folders with the outputs of teachers that cannot be run here."""

import numpy as np

from ..errors import DataError
from .image_damage import find_damage
from .image_head import Head as Head
from .image_head import read_head as read_head
from .images import decode
from .output_folder import OutputFolder

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


class ImageFolder(OutputFolder):
    """Outputs of a teacher as images of 8 bits, in files of any usual extension."""

    endings = _ENDINGS
    content = 'an image'

    def size_of(self, path: str) -> tuple[int, int]:
        """Return height and width of an image, from its header.

        Raises:
            DataError: It is not an image.
        """
        return read_head(path, path).size

    def load(self, path: str) -> np.ndarray | None:
        """Return an image, (h, w, 3), BGR, uint8; None if it cannot be read.

        Raises:
            DataError: It is damaged.
        """
        with open(path, 'rb') as file:
            content = file.read()
        damage = find_damage(content)
        if damage is not None:
            raise DataError(f"{self.key}: '{path}' is damaged: {damage}")
        return decode(content)
