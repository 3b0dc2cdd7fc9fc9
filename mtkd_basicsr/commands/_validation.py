"""Checks of the arguments of the command functions.

argparse refuses most wrong arguments before a function is called, but a script calls the function
directly. These checks import nothing heavy, so that they fail at once.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from ..errors import OptionError, did_you_mean

StrPath: TypeAlias = str | os.PathLike[str]
# Values by keys such as 'train:total_iter', or texts such as 'train:total_iter=100'.
Overrides: TypeAlias = Mapping[str, Any] | Sequence[str]

# Keywords whose command-line option is not `--` and the keyword.
_OPTIONS = {
    'options_file': '-opt',
    'plan_file': '-opt',
    'contents': '--what',
    'outputs_from': '--from',
    'overrides': '--force_yml',
    'students': '--student',
    'scales': '--scale',
    'methods': '--method',
    'list_commands': '--list',
    'images': 'IMAGE',
    'folder': 'folder',
}
_on_command_line: ContextVar[bool] = ContextVar('_on_command_line', default=False)


@contextmanager
def spelled_as_options() -> Iterator[None]:
    """Make error texts name arguments as the command line does: ``--tile-overlap``."""
    token = _on_command_line.set(True)
    try:
        yield
    finally:
        _on_command_line.reset(token)


def option_of(keyword: str) -> str:
    """Return how the command line spells a keyword: ``'--tile-overlap'`` for ``tile_overlap``."""
    return _OPTIONS.get(keyword, f'--{keyword.replace("_", "-")}')


def spelled(keyword: str) -> str:
    """Return how messages name an argument: by its keyword, or by its command-line option."""
    return option_of(keyword) if _on_command_line.get() else keyword


def _refuse(keyword: str, value: object, expected: str) -> OptionError:
    return OptionError(f'{spelled(keyword)}: {value!r}; expected {expected}')


def check_flags(**flags: object) -> None:
    """Check that flags are True or False.

    Args:
        **flags: Values by keyword.

    Raises:
        OptionError: A value is not a bool, for example the text ``'no'``.
    """
    for keyword, value in flags.items():
        if not isinstance(value, bool):
            raise _refuse(keyword, value, 'True or False')


def check_whole(keyword: str, value: object, least: int | None = None) -> None:
    """Check that an argument is a whole number.

    Args:
        keyword: Keyword of the argument.
        value: Its value.
        least: Smallest valid number; None for no limit.

    Raises:
        OptionError: The value is not a whole number, or is too small.
    """
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits or (least is not None and value < least):  # type: ignore[operator]
        more = '' if least is None else f' from {least} on'
        raise _refuse(keyword, value, f'a whole number{more}')


def check_choice(keyword: str, value: object, known: Iterable[object]) -> None:
    """Check that an argument has one of its known values.

    Args:
        keyword: Keyword of the argument.
        value: Its value.
        known: The known values.

    Raises:
        OptionError: The value is unknown; names the known values and the nearest one.
    """
    choices = list(known)
    if value not in choices:
        raise OptionError(f'{spelled(keyword)}: {value!r}; {did_you_mean(value, choices)}')


def check_choices(keyword: str, values: object, known: Iterable[object]) -> None:
    """Check that an argument is a list of known values; see :func:`check_choice`."""
    choices = list(known)
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise _refuse(keyword, values, f'a list of some of {", ".join(map(str, choices))}')
    for value in values:
        check_choice(keyword, value, choices)


def check_path(keyword: str, value: object) -> str:
    """Check that an argument can name a file or folder, and return it without ``~``.

    A shell replaces ``~`` only where a word begins: not in ``--out=~/results``.

    Raises:
        OptionError: The value is neither a string nor a path.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise _refuse(keyword, value, 'a path')
    return os.path.expanduser(os.fspath(value))


def check_file(keyword: str, value: object) -> str:
    """Check that an argument names an existing file, and return it without ``~``.

    Raises:
        OptionError: The value is not a path, or the file does not exist.
    """
    path = check_path(keyword, value)
    if not os.path.isfile(path):
        raise OptionError(f"{spelled(keyword)}: no file '{value}'")
    return path


def check_tile(tile: object, tile_overlap: object) -> None:
    """Check that the overlap of tiles is smaller than a tile.

    Args:
        tile: Side of a tile, in low-resolution pixels; None for whole images.
        tile_overlap: Overlap of neighbouring tiles, in low-resolution pixels.

    Raises:
        OptionError: A value is not a whole number, or the overlap is negative or not smaller than
            the tile.
    """
    if tile is not None:
        check_whole('tile', tile, 1)
    check_whole('tile_overlap', tile_overlap)
    assert isinstance(tile_overlap, int)
    too_large = isinstance(tile, int) and tile <= tile_overlap
    if tile_overlap < 0 or too_large:
        limit = '' if tile is None else f', less than {spelled("tile")} ({tile})'
        raise OptionError(
            f'{spelled("tile_overlap")}: {tile_overlap}; expected a whole number from 0 on{limit}'
        )


def check_device(device: object) -> None:
    """Check that an argument can name a device; whether it exists is checked later."""
    if not isinstance(device, str):
        raise _refuse('device', device, "a string: 'auto', 'cpu', 'cuda', 'cuda:1', …")


def check_overrides(overrides: object) -> None:
    """Check that overrides are a mapping from option keys to values, or a list of texts.

    Raises:
        OptionError: They are neither.
    """
    fits = not isinstance(overrides, str) and isinstance(overrides, (Mapping, Sequence))
    # mypy does not narrow by a named condition.
    entries: Any = overrides
    if not fits or not all(isinstance(entry, str) for entry in entries):
        raise _refuse(
            'overrides',
            overrides,
            "a mapping such as {'train:total_iter': 100}, or a list such as "
            "['train:total_iter=100']",
        )
