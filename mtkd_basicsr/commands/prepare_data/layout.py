"""The folders that ``mtkd data`` writes, and the names of the files in them."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Part(NamedTuple):
    """A file of an image, in all folders, and where it lies in the image, in pixels.

    Attributes:
        name: Name of the file.
        y: Its first row.
        x: Its first column.
        height: Its height.
        width: Its width.
    """

    name: str
    y: int
    x: int
    height: int
    width: int


@dataclass(frozen=True)
class Layout:
    """The folders that are written.

    Attributes:
        out: Parent of the folders.
        scales: Scales of the low-resolution images.
        multiple: Number of pixels that sizes are cropped to multiples of.
        sub: Side of sub-images, in ground-truth pixels; 0 for whole images.
        step: Distance from one sub-image to the next, in ground-truth pixels.
    """

    out: Path
    scales: tuple[int, ...]
    multiple: int
    sub: int
    step: int

    def folders(self) -> dict[int, Path]:
        """Return the folder of each scale; the ground truth has scale 1."""
        end = self._end
        folders = {1: self.out / f'GTmod{self.multiple}{end}'}
        for scale in self.scales:
            folders[scale] = self.out / f'LRbicx{scale}{end}'
        return folders

    @property
    def _end(self) -> str:
        """What the names of the folders end with."""
        return '_sub' if self.sub else ''

    def _scale_of(self, folder: str) -> int | None:
        """Return the scale of a folder that a call may have written whose scales alone differ.

        Args:
            folder: Its name; the result is None for other folders.
        """
        if folder == f'GTmod{self.multiple}{self._end}':
            return 1
        found = re.fullmatch(f'LRbicx([2-9]|[1-9][0-9]+){self._end}', folder)
        if found is None or self.multiple % int(found[1]):
            return None
        return int(found[1])

    def folders_of(self, results: Iterable[str]) -> dict[int, Path]:
        """Return the folders, with those of other scales that have some of the results.

        Args:
            results: Paths of files below ``out``.
        """
        folders = self.folders()
        for name in sorted({result.split('/')[0] for result in results}):
            scale = self._scale_of(name)
            if scale is not None:
                folders[scale] = self.out / name
        return folders

    def files_by_image(self) -> dict[str, list[str]]:
        """Return the files that are in the folders, also in those of scales that are not written.

        Returns:
            Paths of files below ``out``, by the name of their image without suffix.
        """
        pattern = re.compile(r'([^.].*)_s\d{3,}\.png' if self.sub else r'([^.].*)\.png', re.DOTALL)
        files: dict[str, list[str]] = {}
        for folder in sorted(os.listdir(self.out)):
            if self._scale_of(folder) is None or not (self.out / folder).is_dir():
                continue
            for name in sorted(os.listdir(self.out / folder)):
                found = pattern.fullmatch(name)
                if found is not None:
                    files.setdefault(found[1], []).append(f'{folder}/{name}')
        return files


def corners(size: int, sub: int, step: int) -> list[int]:
    """Return where sub-images begin: at every step, and one more if they miss the border."""
    starts = list(range(0, size - sub + 1, step))
    if starts[-1] + sub < size:
        starts.append(size - sub)
    return starts


def parts_of(path: Path, h: int, w: int, layout: Layout) -> list[Part]:
    """Return the files of an image.

    Args:
        path: The image.
        h: Height of the cropped image, in pixels.
        w: Its width.
        layout: The folders.
    """
    if not layout.sub:
        return [Part(f'{path.stem}.png', 0, 0, h, w)]
    parts: list[Part] = []
    for y in corners(h, layout.sub, layout.step):
        for x in corners(w, layout.sub, layout.step):
            name = f'{path.stem}_s{len(parts) + 1:03d}.png'
            parts.append(Part(name, y, x, layout.sub, layout.sub))
    return parts
