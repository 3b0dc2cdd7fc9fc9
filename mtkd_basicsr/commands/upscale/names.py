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


def _is_no_file(path: Path) -> bool:
    """Return whether something exists that is no file: a folder, a pipe, a device, a socket.

    To open a pipe waits for who writes into it.
    """
    return os.path.exists(path) and not os.path.isfile(path)


def _is_picture(path: Path) -> bool:
    """Return whether a file is a picture by its content, or by the ending of its name."""
    if _is_no_file(path):
        return False
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
        OptionError: An input is neither a file nor a folder, for example a pipe.
    """
    folders = [path for path in inputs if os.path.isdir(path)]
    sources: dict[Path, Source] = {}
    for path in inputs:
        if path not in folders:
            if _is_no_file(path):
                raise OptionError(
                    f"{spelled('images')}: '{path}' is no regular file; expected an image or a "
                    'folder'
                )
            sources.setdefault(_real(path), Source(path, Path()))
            continue
        top = Path(_real(path).name) if len(folders) > 1 else Path()
        for picture in _pictures_below(path, out):
            place = top / picture.relative_to(path).parent
            sources.setdefault(_real(picture), Source(picture, place))
    return list(sources.values())


def _with_kind(path: Path) -> str:
    """Return the name of a file with its ending as a part of it: ``photo_jpg``."""
    return f'{path.stem}_{path.suffix[1:]}' if path.suffix else path.stem


def _refuse_same_files(sources: list[Source], out: Path, ending: str) -> None:
    """Raise if files of one name would have their results in one folder; all are listed."""
    by_place: dict[Path, list[str]] = {}
    for source in sources:
        by_place.setdefault(source.folder / source.path.name, []).append(str(source.path))
    clashes = []
    for place, paths in by_place.items():
        if len(paths) > 1:
            name = out / place.parent / f'{_with_kind(place)}{ending}'
            clashes.append(f"'{name}' of {listed(paths, _MAX_LISTED)}")
    if clashes:
        raise OptionError(
            f'several pictures have one result: {listed(clashes, _MAX_LISTED)}; name a folder that '
            f'holds them all, whose structure is kept, or use several folders with {spelled("out")}'
        )


def name_results(sources: list[Source], out: Path, scale: int, format: str) -> list[Path]:
    """Name the result of each picture: ``NAME_x4.png``.

    Where that would be one name for several pictures, it has their endings: ``photo_jpg_x4.png``
    and ``photo_webp_x4.png``. If another result has that name too, a number follows:
    ``photo_jpg_2_x4.png``. The order of the pictures does not matter.

    Args:
        sources: The pictures.
        out: Folder of the results.
        scale: Factor.
        format: Of the results.

    Returns:
        A path for each picture; no two are equal, not even without regard to case.

    Raises:
        OptionError: Files from several folders have one name, and their results one folder; all of
            them are listed.
    """
    ending = f'_x{scale}{PICTURE_FORMATS[format][0]}'
    _refuse_same_files(sources, out, ending)
    names = [source.folder / f'{source.path.stem}{ending}' for source in sources]
    # Without regard to case, because some file systems have none.
    counts = Counter(str(name).casefold() for name in names)
    taken = {name for name, count in counts.items() if count == 1}
    clashing = [i for i, name in enumerate(names) if str(name).casefold() not in taken]
    for i in sorted(clashing, key=lambda i: (sources[i].folder, sources[i].path.name)):
        longer = _with_kind(sources[i].path)
        names[i] = names[i].with_name(f'{longer}{ending}')
        number = 1
        while str(names[i]).casefold() in taken:
            number += 1
            names[i] = names[i].with_name(f'{longer}_{number}{ending}')
        taken.add(str(names[i]).casefold())
    return [out / name for name in names]


def names_a_file(out: str) -> bool:
    """Return whether ``--out`` is a file: it has an image's ending, and is no folder."""
    path = Path(out)
    is_folder = os.path.isdir(path) or out.endswith(('/', os.sep))
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
    existing = [str(result) for result in results if os.path.exists(result)]
    if existing and not overwrite and not skip_existing:
        verb = 'exists' if len(existing) == 1 else 'exist'
        raise OptionError(
            f'{spelled("out")}: {listed(existing, _MAX_LISTED)} already {verb}; use another '
            f'folder, {spelled("skip_existing")} or {spelled("overwrite")}'
        )


def name_all_but_results(
    sources: list[Source], inputs: list[Path], out: Path, scale: int, format: str
) -> tuple[list[Source], list[Path]]:
    """Name results, and leave out the pictures of a folder that are results of an earlier call.

    Args:
        sources: The pictures.
        inputs: Files and folders as they were given; such a file is never left out.
        out: Folder of the results.
        scale: Factor.
        format: Of the results.

    Returns:
        The pictures that remain, and their results, which have the names of that call.
    """
    found = len(sources)
    while True:
        results = name_results(sources, out, scale, format)
        real = {_real(result) for result in results}
        kept = [each for each in sources if each.path in inputs or _real(each.path) not in real]
        if len(kept) == len(sources):
            break
        # Once more: the results of what is left out may have changed the names of others.
        sources = kept
    if len(sources) < found:
        say(f'{found - len(sources)} pictures are results of others, and are left out')
    return sources, results
