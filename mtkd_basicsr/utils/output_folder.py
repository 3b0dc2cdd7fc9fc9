"""Folders with the outputs of teachers that cannot be run here, in files of any kind."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import DataError
from .paths import expanded

# How many missing files a message lists.
_MAX_LISTED = 3


def _size_error(path: str, actual: Sequence[int], expected: Sequence[int], key: str) -> DataError:
    return DataError(
        f"{key}: '{path}' has {actual[0]}×{actual[1]} pixels; expected "
        f'{expected[0]}×{expected[1]}, the size of the ground truth'
    )


class OutputFolder:
    """Outputs of a teacher that are matched to ground truths by the names of their files.

    A class derived from it knows one kind of file.

    Args:
        path: A folder, in which a file has the name of its ground truth with one of ``endings``;
            or a pattern with ``{}`` in the place of that name: ``'RCAN/{}_x4_SR.png'``.
        key: Where it stands in the option file, for messages.
    """

    # The file extensions that are looked for, in this order.
    endings: ClassVar[tuple[str, ...]]
    # What a file holds, for messages, with its article.
    content: ClassVar[str]
    # Where height and width stand in the shape of what :meth:`load` returns.
    size_axes: ClassVar[slice] = slice(0, 2)

    def __init__(self, path: str, key: str) -> None:
        self.key = key
        self.path = expanded(path)
        if '{}' in path:
            self.patterns = [self.path]
            # The folder up to the name: for 'a/b/{}.png' and 'a/b/c_{}.png' alike 'a/b'.
            self.root = os.path.dirname(self.path.partition('{}')[0] + 'x')
        else:
            self.patterns = [os.path.join(self.path, '{}' + ending) for ending in self.endings]
            self.root = self.path

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
                size = self.size_of(path)
            except DataError as error:
                raise DataError(f'{self.key}: {error}') from error
            if size != (h, w):
                raise _size_error(path, size, (h, w), self.key)

    def read(self, name: str, size: Sequence[int]) -> np.ndarray:
        """Read the file that belongs to a ground truth.

        Args:
            name: As for :meth:`find`.
            size: The height and width that it must have.

        Returns:
            As :meth:`load`.

        Raises:
            DataError: If it is missing, unreadable, or of another size.
        """
        path = self.find(name)
        if path is None:
            raise DataError(f"{self.key}: '{self.path}' has no image for '{name}'")
        values = self.load(path)
        if values is None:
            raise DataError(f"{self.key}: '{path}' cannot be read as {self.content}")
        actual = values.shape[self.size_axes]
        if actual != tuple(size):
            raise _size_error(path, actual, size, self.key)
        return values

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
