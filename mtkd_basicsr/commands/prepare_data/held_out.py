"""The images of a folder that are kept apart for validation."""

import sys
from pathlib import Path

from ...errors import OptionError
from ...utils.atomic import write_text
from ...utils.texts import listed
from .._validation import spelled
from .files import naming, read_result

# The file that names them, in the folder of the results.
_RECORD = 'validation.txt'
_MAX_LISTED = 3


def _recorded(record: Path) -> list[str]:
    """Return the names in the file, which an editor may have saved in its own way since.

    Raises:
        OptionError: It is not in UTF-8.
    """
    try:
        text = read_result(record).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise OptionError(
            f"{spelled('validation')}: '{record}' is not in UTF-8; expected one name on each line, "
            'saved in UTF-8'
        ) from error
    # Not splitlines: a name may have other separators, such as U+2028.
    lines = text.replace('\r\n', '\n').split('\n')
    return [line.rstrip() for line in lines if line.strip()]


def recorded_count(out: Path) -> int | None:
    """Return how many images an earlier call kept apart; None if there was none."""
    record = out / _RECORD
    return len(_recorded(record)) if record.is_file() else None


def check_count(paths: list[Path], out: Path, count: int) -> None:
    """Check that a first call leaves images for training; it has written nothing yet.

    Raises:
        OptionError: There are too few images.
    """
    if not (out / _RECORD).is_file() and count >= len(paths):
        raise OptionError(
            f'{spelled("validation")}: {count}; expected fewer than the {len(paths)} images'
        )


def held_out_stems(paths: list[Path], out: Path, count: int) -> set[str]:
    """Return the names, without suffixes, of the images that are kept apart for validation.

    The first call chooses them, spread over all images, and records them: images that are added
    later must not move one into the training images or out of them. Nor must one that is replaced
    by a file of another format: results have the name of their image without its suffix.

    Args:
        paths: All images; see :func:`check_count`.
        out: Parent of all folders, which exists.
        count: Number of images to keep apart.

    Raises:
        OptionError: An earlier call kept another number apart, or those that it kept apart are
            gone.
        OutputError: The record cannot be read or written.
    """
    record = out / _RECORD
    if not record.is_file():
        chosen = [paths[(2 * i + 1) * len(paths) // (2 * count)] for i in range(count)]
        with naming(record):
            write_text(record, ''.join(f'{path.name}\n' for path in chosen))
        return {path.stem for path in chosen}
    names = _recorded(record)
    if len(names) != count:
        raise OptionError(
            f"{spelled('validation')}: {count}; '{record}' names {len(names)} images of an "
            'earlier call; choose the same number, or another folder'
        )
    present = {path.stem for path in paths}
    gone = [name for name in names if Path(name).stem not in present]
    if len(gone) == len(names):
        raise OptionError(
            f"{spelled('validation')}: {count}; '{record}' names {listed(names, _MAX_LISTED)}, "
            'which are not there any more; expected these images, or another output folder, for '
            'which others are chosen'
        )
    if gone:
        print(
            f"Warning: {len(gone)} of {count} images that '{record}' names are not there any more: "
            f'{listed(gone, _MAX_LISTED)}; if they were renamed, write their new names into it, '
            'because they are taken for training images now',
            file=sys.stderr,
        )
    return {Path(name).stem for name in names}
