"""Which pictures ``mtkd upscale`` takes, and what their results are called."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
from PIL import Image

from ...errors import DataError, OptionError
from ...utils.choices import PICTURE_FORMATS
from ...utils.progress import say
from ...utils.texts import listed
from .._validation import spelled

# Files of a folder with these endings are pictures even if they cannot be read, which is said.
_ENDINGS = (
    *('.png', '.jpg', '.jpeg', '.jpe', '.jfif', '.webp', '.tif', '.tiff', '.bmp', '.gif', '.avif'),
    *('.heic', '.jp2', '.ppm', '.pgm'),
)
_MAX_LISTED = 5  # in a message


class Source(NamedTuple):
    """A picture to upscale.

    Attributes:
        path: Its file.
        folder: Folder of its result, below that of all results.
    """

    path: Path
    folder: Path


def _real(path: Path) -> Path:
    """Return a path without links; a link to itself, which ``resolve`` refuses, as it is."""
    return Path(os.path.realpath(path))


def _is_picture(path: Path) -> bool:
    """Return whether a file is a picture by its content, or by the ending of its name."""
    if path.suffix.lower() in _ENDINGS:
        return True
    try:
        with Image.open(path):
            return True
    except Exception:  # Pillow's plug-ins raise any type for what is no picture
        return bool(cv2.haveImageReader(str(path)))


def _pictures_below(folder: Path, out: Path | None) -> list[Path]:
    """List the pictures in a folder and its folders, sorted; hidden ones are left out.

    Args:
        folder: The folder.
        out: Folder of the results, which is left out if it is inside.

    Raises:
        DataError: There is no picture.
    """
    pictures: list[Path] = []
    others: list[Path] = []
    results = None if out is None else _real(out)
    for name, folders, files in os.walk(folder):
        here = Path(name)
        for entry in list(folders):
            is_results = _real(here / entry) == results
            if is_results:
                say(f"'{here / entry}': left out, because results go there")
            is_link = (here / entry).is_symlink()
            if is_link and not is_results:
                say(f"'{here / entry}': left out, because it is a link to a folder")
            if is_results or is_link or entry.startswith('.'):
                folders.remove(entry)
        folders.sort()
        for file in sorted(files):
            path = here / file
            if not file.startswith('.'):
                (pictures if _is_picture(path) else others).append(path)
    if not pictures:
        raise DataError(f"'{folder}': no pictures in this folder")
    if others:
        names = listed([str(path) for path in others], _MAX_LISTED)
        say(f"'{folder}': left out, because they are no pictures: {names}")
    return pictures


def find_sources(inputs: list[Path], out: Path | None) -> list[Source]:
    """List the pictures that files and folders stand for, each once.

    Args:
        inputs: Files and folders. Folders are searched with all that is below them.
        out: Folder of the results; None if it can hold other pictures too.

    Returns:
        Files as they are, even if they do not exist. What is below a folder keeps its place: of a
        single folder directly below ``out``, of several below ``out`` and their names.

    Raises:
        DataError: A folder has no pictures.
    """
    folders = [path for path in inputs if path.is_dir()]
    sources: dict[Path, Source] = {}
    for path in inputs:
        if path not in folders:
            sources.setdefault(_real(path), Source(path, Path()))
            continue
        top = Path(_real(path).name) if len(folders) > 1 else Path()
        for picture in _pictures_below(path, out):
            place = top / picture.relative_to(path).parent
            sources.setdefault(_real(picture), Source(picture, place))
    return list(sources.values())


def _refuse_same_names(sources: list[Source], names: list[Path]) -> None:
    """Raise if results have one name; all of them are listed."""
    by_name: dict[Path, list[str]] = {}
    for source, name in zip(sources, names, strict=True):
        by_name.setdefault(name, []).append(str(source.path))
    clashes = []
    for name, paths in by_name.items():
        if len(paths) > 1:
            clashes.append(f"'{name}' of {listed(paths, _MAX_LISTED)}")
    if clashes:
        raise OptionError(
            f'several pictures have one result: {listed(clashes, _MAX_LISTED)}; name a folder that '
            f'holds them all, whose structure is kept, or use several folders with {spelled("out")}'
        )


def name_results(sources: list[Source], out: Path, scale: int, format: str) -> list[Path]:
    """Name the result of each picture: ``NAME_x4.png``.

    Where that would be one name for several pictures, it has their endings: ``photo_jpg_x4.png``
    and ``photo_webp_x4.png``.

    Args:
        sources: The pictures.
        out: Folder of the results.
        scale: Factor.
        format: Of the results.

    Returns:
        A path for each picture.

    Raises:
        OptionError: Several pictures have one result nevertheless; all of them are listed.
    """
    ending = PICTURE_FORMATS[format][0]
    names = [out / source.folder / f'{source.path.stem}_x{scale}{ending}' for source in sources]
    # Without regard to case, because some file systems have none.
    counts = Counter(str(name).casefold() for name in names)
    for i, source in enumerate(sources):
        if counts[str(names[i]).casefold()] > 1 and source.path.suffix:
            kind = source.path.suffix[1:]
            names[i] = names[i].with_name(f'{source.path.stem}_{kind}_x{scale}{ending}')
    _refuse_same_names(sources, names)
    return names


def names_a_file(out: str) -> bool:
    """Return whether ``--out`` is a file: it has an image's ending, and is no folder."""
    path = Path(out)
    is_folder = path.is_dir() or out.endswith(('/', os.sep))
    return path.suffix.lower() in _ENDINGS and not is_folder


def format_of(out: Path, is_file: bool, format: str | None) -> str:
    """Return the format of the results: of ``--format``, or of the file that ``--out`` names.

    Raises:
        OptionError: The file has another format, or one that is not written.
    """
    if not is_file:
        return format or 'png'
    ending = out.suffix.lower()
    for name, endings in PICTURE_FORMATS.items():
        if ending in endings and format in (None, name):
            return name
    known = PICTURE_FORMATS[format] if format else sum(PICTURE_FORMATS.values(), ())
    raise OptionError(f"{spelled('out')}: '{out}'; expected {', '.join(known)}, or a folder")


def check_results(
    sources: list[Source], results: list[Path], overwrite: bool, skip_existing: bool
) -> None:
    """Check that nothing is overwritten that should not be.

    Raises:
        OptionError: Results exist, and are neither overwritten nor skipped, or they are pictures
            that are to be upscaled.
    """
    originals = {_real(source.path) for source in sources}
    same = [str(result) for result in results if _real(result) in originals]
    if same and not skip_existing:
        raise OptionError(
            f'{spelled("out")}: {listed(same, _MAX_LISTED)}: also among the pictures to upscale; '
            'use another folder'
        )
    existing = [str(result) for result in results if result.exists()]
    if existing and not overwrite and not skip_existing:
        verb = 'exists' if len(existing) == 1 else 'exist'
        raise OptionError(
            f'{spelled("out")}: {listed(existing, _MAX_LISTED)} already {verb}; use another '
            f'folder, {spelled("skip_existing")} or {spelled("overwrite")}'
        )


def without_results(pairs: list[tuple[Path, Path]], inputs: list[Path]) -> list[tuple[Path, Path]]:
    """Leave out the pictures of a folder that are results of others, from an earlier call.

    Args:
        pairs: Pictures with their results.
        inputs: Files and folders as they were given; such a file is never left out.
    """
    results = {_real(result) for _, result in pairs}
    kept = [pair for pair in pairs if pair[0] in inputs or _real(pair[0]) not in results]
    if len(kept) < len(pairs):
        say(f'{len(pairs) - len(kept)} pictures are results of others, and are left out')
    return kept
