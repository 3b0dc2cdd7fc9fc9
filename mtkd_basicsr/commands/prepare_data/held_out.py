"""The images of a folder that are kept apart for validation."""

from pathlib import Path

from ...errors import OptionError
from ...utils.atomic import write_text
from .._arguments import make_folder
from .._validation import spelled


def held_out_names(paths: list[Path], out: Path, count: int) -> set[str]:
    """Return the names of the images that are kept apart for validation.

    The first call chooses them, spread over all images, and records them: images that are added
    later must not move one into the training images or out of them.

    Raises:
        OptionError: There are too few images, or an earlier call kept another number apart.
    """
    record = out / 'validation.txt'
    if record.is_file():
        names = record.read_text(encoding='utf-8').split('\n')[:-1]
        if len(names) != count:
            raise OptionError(
                f"{spelled('validation')}: {count}; '{record}' names {len(names)} images of an "
                'earlier call; choose the same number, or another folder'
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
