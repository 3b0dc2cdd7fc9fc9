"""The images of a folder that are kept apart for validation."""

from pathlib import Path

from ...errors import OptionError
from ...utils.atomic import write_text
from ...utils.texts import listed
from .._arguments import make_folder
from .._validation import spelled

# The file that names them, in the folder of the results.
_RECORD = 'validation.txt'


def _recorded(record: Path) -> list[str]:
    return record.read_text(encoding='utf-8').split('\n')[:-1]


def recorded_count(out: Path) -> int | None:
    """Return how many images an earlier call kept apart; None if there was none."""
    record = out / _RECORD
    return len(_recorded(record)) if record.is_file() else None


def held_out_names(paths: list[Path], out: Path, count: int) -> set[str]:
    """Return the names of the images that are kept apart for validation.

    The first call chooses them, spread over all images, and records them: images that are added
    later must not move one into the training images or out of them.

    Raises:
        OptionError: There are too few images, an earlier call kept another number apart, or those
            that it kept apart are gone.
    """
    record = out / _RECORD
    if record.is_file():
        names = _recorded(record)
        if len(names) != count:
            raise OptionError(
                f"{spelled('validation')}: {count}; '{record}' names {len(names)} images of an "
                'earlier call; choose the same number, or another folder'
            )
        if not set(names) & {path.name for path in paths}:
            raise OptionError(
                f"{spelled('validation')}: {count}; '{record}' names {listed(names, 3)}, which are "
                'not there any more; expected these images, or another output folder, for which '
                'others are chosen'
            )
        return set(names)
    if count >= len(paths):
        raise OptionError(
            f'{spelled("validation")}: {count}; expected fewer than the {len(paths)} images'
        )
    chosen = [paths[(2 * i + 1) * len(paths) // (2 * count)].name for i in range(count)]
    make_folder(out)
    write_text(record, ''.join(f'{name}\n' for name in chosen))
    return set(chosen)
