"""The pictures that ``mtkd data`` starts from: finding them, and reading them for a training."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ...errors import DataError
from ...utils.color_profile import is_srgb, profile_name
from ...utils.picture import Picture, read_picture
from ...utils.texts import is_unicode, listed

SUFFIXES = (
    '.png',
    '.jpg',
    '.jpeg',
    '.jpe',
    '.jfif',
    '.bmp',
    '.tif',
    '.tiff',
    '.webp',
    '.avif',
    '.jp2',
)
_MAX_LISTED = 3


class Note(NamedTuple):
    """Something about a picture that its user should know.

    Attributes:
        kind: What it is, the same for all pictures that have it.
        picture: Name of the picture, with what is particular about it.
    """

    kind: str
    picture: str


def read_image(path: Path) -> np.ndarray:
    """Read a picture for training: (h, w, 3), BGR, uint8; see :func:`read_source`.

    Raises:
        DataError: The file cannot be used.
    """
    return read_source(path)[0]


def read_source(path: Path) -> tuple[np.ndarray, list[Note]]:
    """Read a picture for training, turned as its EXIF orientation says.

    A greyscale picture gets three equal channels.

    Args:
        path: Path of the picture.

    Returns:
        (h, w, 3), BGR, uint8; notes about it.

    Raises:
        DataError: The file is not a picture, is damaged, or has transparency or more than 8 bits.
    """
    if not path.is_file():
        raise DataError(f"'{path}': cannot be read as an image")
    picture = read_picture(path, str(path))
    image = picture.pixels
    if picture.bits != 8:
        raise DataError(f"'{path}': {image.dtype} values; expected 8 bits for each channel")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, 2)
    if image.shape[2] == 4:
        if image[..., 3].min() < 255:
            raise DataError(
                f"'{path}': {image.shape[2]} channels; expected greyscale or three channels, "
                'without transparency'
            )
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return image, _notes(picture, path.name)


def _notes(picture: Picture, name: str) -> list[Note]:
    notes = []
    if picture.profile is not None and not is_srgb(picture.profile):
        notes.append(
            Note(
                'with a colour profile other than sRGB; their values were kept, and are taken for '
                'sRGB in a training',
                f'{name} ({profile_name(picture.profile)})',
            )
        )
    if picture.cmyk == 'naive':
        notes.append(Note('in CMYK without a usable profile; their colours may be too vivid', name))
    if picture.frames > 1:
        notes.append(
            Note(
                'with several frames or pages, of which the first was taken',
                f'{name} ({picture.frames})',
            )
        )
    return notes


def print_notes(notes: Iterable[Note]) -> None:
    """Print a warning for each kind of note, with the number and the first names of pictures."""
    pictures: dict[str, list[str]] = {}
    for note in notes:
        pictures.setdefault(note.kind, []).append(note.picture)
    for kind, names in pictures.items():
        print(f'Warning: {len(names)} images {kind}: {listed(names, _MAX_LISTED)}', file=sys.stderr)


def _print_left_out(paths: list[Path], folder: Path, out: Path | None) -> None:
    """Print how many files and folders in a folder are not used, and the first names."""
    others = [path for path in paths if path.suffix.lower() not in SUFFIXES]
    files = [path.name for path in others if path.is_file()]
    if files:
        print(
            f'{len(files)} files left out, by their endings: {listed(files, _MAX_LISTED)}',
            file=sys.stderr,
        )
    results = None if out is None else out.resolve()
    if results == folder.resolve():
        return  # its folders may be results of an earlier call
    folders = [path.name for path in paths if path.is_dir() and path.resolve() != results]
    if folders:
        print(
            f'{len(folders)} folders left out, with all that is in them: '
            f'{listed(folders, _MAX_LISTED)}',
            file=sys.stderr,
        )


def find_images(folder: Path, out: Path | None = None) -> list[Path]:
    """Return the images of a folder, sorted by name, and print the names of what else is there.

    Names that begin with a dot are left out, as BasicSR does: macOS writes ``._0001.png`` beside
    ``0001.png`` on drives of other systems.

    Args:
        folder: The folder; folders in it are not searched.
        out: Folder of the results, which is not named if it is inside.

    Raises:
        DataError: The folder does not exist or has no images, two of its images would have results
            of the same name, or a name has a dot or is not in UTF-8.
    """
    if not folder.is_dir():
        raise DataError(f"'{folder}': no such folder")
    files = sorted(path for path in folder.iterdir() if not path.name.startswith('.'))
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not paths:
        deeper = '; folders in it are not searched' if any(p.is_dir() for p in files) else ''
        raise DataError(
            f"'{folder}': no images; expected files that end with {', '.join(SUFFIXES)}{deeper}"
        )
    _print_left_out(files, folder, out)
    unwritable = [ascii(path.name) for path in paths if not is_unicode(path.name)]
    if unwritable:
        raise DataError(
            f"'{folder}': names that are not in UTF-8: {listed(unwritable, _MAX_LISTED)}; rename "
            'these images'
        )
    stems = [path.stem for path in paths]
    duplicates = sorted({stem for stem in stems if stems.count(stem) > 1})
    if duplicates:
        raise DataError(
            f"'{folder}': several files are named {', '.join(duplicates[:3])}, with different "
            'suffixes; their low-resolution images would have the same name'
        )
    dotted = next((stem for stem in stems if '.' in stem), None)
    if dotted is not None:
        raise DataError(
            f"'{folder}': '{dotted}' has a dot in its name; expected none, because BasicSR cuts "
            'the keys of an LMDB at the first dot'
        )
    return paths
