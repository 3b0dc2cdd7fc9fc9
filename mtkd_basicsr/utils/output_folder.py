"""Folders with the outputs of teachers that cannot be run here, in files of any kind."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import DataError
from .output_files import OutputFiles
from .texts import begun

# How many missing files a message lists.
_MAX_LISTED = 3


def _size_error(path: str, actual: Sequence[int], expected: Sequence[int], key: str) -> DataError:
    return DataError(
        f"{key}: '{path}' has {actual[0]}×{actual[1]} pixels; expected "
        f'{expected[0]}×{expected[1]}, the size of the ground truth'
    )


class OutputFolder:
    """Outputs of a teacher, read from files with the names of their ground truths.

    A class derived from it knows one kind of file.

    Args:
        files: The files.
    """

    # What a file holds, for messages, with its article.
    content: ClassVar[str]
    # Where height and width stand in the shape of what :meth:`load` returns.
    size_axes: ClassVar[slice] = slice(0, 2)

    def __init__(self, files: OutputFiles) -> None:
        self.files = files

    def size_of(self, path: str) -> tuple[int, int]:
        """Return height and width in pixels of what a file holds, from its head.

        Raises:
            DataError: It is not a file of this kind.
        """
        raise NotImplementedError

    def load(self, path: str) -> np.ndarray | None:
        """Return what a file holds; None if it cannot be read.

        Returns:
            Of the shape, type and range that the kind of file has.
        """
        raise NotImplementedError

    def check(self, images: Sequence[Sequence[Any]]) -> None:
        """Raise if an image is missing or has another size than its ground truth; decodes none.

        Args:
            images: ``(name, height, width)`` of each ground truth.

        Raises:
            DataError: If images are missing, unreadable, or of another size; names the first ones.
        """
        files = self.files
        if not files.exists():
            raise DataError(f"{files.key}: no folder '{files.root}'")
        found = {name: files.find(name) for name, _, _ in images}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise DataError(
                f"{files.key}: '{files.path}' has no image for {len(missing)} of {len(images)} "
                f'ground truths ({begun(missing, _MAX_LISTED)}); expected their names '
                "with any file extension, or a pattern such as 'FOLDER/{}_SR.png'"
            )
        for name, h, w in images:
            path = found[name]
            assert path is not None  # none is missing
            try:
                size = self.size_of(path)
            except DataError as error:
                raise DataError(f'{files.key}: {error}') from error
            if size != (h, w):
                raise _size_error(path, size, (h, w), files.key)

    def read(self, name: str, size: Sequence[int]) -> np.ndarray:
        """Read the file that belongs to a ground truth.

        Args:
            name: As for :meth:`OutputFiles.find`.
            size: The height and width that it must have.

        Returns:
            As :meth:`load`.

        Raises:
            DataError: If it is missing, unreadable, or of another size.
        """
        path = self.files.find(name)
        if path is None:
            raise DataError(f"{self.files.key}: '{self.files.path}' has no image for '{name}'")
        values = self.load(path)
        if values is None:
            raise DataError(f"{self.files.key}: '{path}' cannot be read as {self.content}")
        actual = values.shape[self.size_axes]
        if actual != tuple(size):
            raise _size_error(path, actual, size, self.files.key)
        return values
