"""What the functions of the commands refuse: arguments of a wrong kind or value.

argparse refuses most of it before a function is called; a script calls the function itself. These
checks import nothing heavy, so that a wrong argument is refused at once.
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

# Keywords that the command line calls otherwise than `--` and the keyword.
_OPTIONS = {
    'options_file': '-opt',
    'plan_file': '-opt',
    'contents': '--what',
    'overrides': '--force_yml',
    'students': '--student',
    'scales': '--scale',
    'methods': '--method',
    'list_commands': '--list',
    'images': 'PICTURE',
    'folder': 'folder',
}
_on_command_line: ContextVar[bool] = ContextVar('_on_command_line', default=False)


@contextmanager
def spelled_as_options() -> Iterator[None]:
    """Let errors name an argument as the command line does, ``--tile-overlap``."""
    token = _on_command_line.set(True)
    try:
        yield
    finally:
        _on_command_line.reset(token)


def option_of(keyword: str) -> str:
    """Return how the command line spells a keyword: ``'--tile-overlap'`` for ``tile_overlap``."""
    return _OPTIONS.get(keyword, f'--{keyword.replace("_", "-")}')


def spelled(keyword: str) -> str:
    """Return how messages name an argument: by its keyword, or as the command line has it."""
    return option_of(keyword) if _on_command_line.get() else keyword


def _refuse(keyword: str, value: object, expected: str) -> OptionError:
    return OptionError(f'{spelled(keyword)}: {value!r}; expected {expected}')


def check_flags(**flags: object) -> None:
    """Refuse what is neither True nor False.

    Args:
        **flags: Values by their keywords.

    Raises:
        OptionError: One of them is of another kind, for example the text ``'no'``.
    """
    for keyword, value in flags.items():
        if not isinstance(value, bool):
            raise _refuse(keyword, value, 'True or False')


def check_whole(keyword: str, value: object, least: int | None = None) -> None:
    """Refuse what is no whole number, or too small.

    Args:
        keyword: Of the argument.
        value: Its value.
        least: The smallest number that can be used; None for any.

    Raises:
        OptionError: Not of that kind.
    """
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits or (least is not None and value < least):  # type: ignore[operator]
        more = '' if least is None else f' from {least} on'
        raise _refuse(keyword, value, f'a whole number{more}')


def check_choice(keyword: str, value: object, known: Iterable[object]) -> None:
    """Refuse what is not among the values that an argument can have.

    Args:
        keyword: Of the argument.
        value: Its value.
        known: What it can be.

    Raises:
        OptionError: It is something else; names what is known, and the nearest of it.
    """
    choices = list(known)
    if value not in choices:
        raise OptionError(f'{spelled(keyword)}: {value!r}; {did_you_mean(value, choices)}')


def check_choices(keyword: str, values: object, known: Iterable[object]) -> None:
    """Refuse what is no list of values that an argument can have; see :func:`check_choice`."""
    choices = list(known)
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise _refuse(keyword, values, f'a list of some of {", ".join(map(str, choices))}')
    for value in values:
        check_choice(keyword, value, choices)


def check_path(keyword: str, value: object) -> None:
    """Refuse what is no name of a file or folder.

    Raises:
        OptionError: Neither a string nor a path.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise _refuse(keyword, value, 'a path')


def check_file(keyword: str, value: object) -> None:
    """Refuse what is no file that is there.

    Raises:
        OptionError: Not a path, or there is no such file.
    """
    check_path(keyword, value)
    if not os.path.isfile(value):  # type: ignore[arg-type]  # a path, as was just seen
        raise OptionError(f"{spelled(keyword)}: no file '{value}'")


def check_tile(tile: object, tile_overlap: object) -> None:
    """Refuse tiles that would share as many pixels as they have.

    Args:
        tile: Low-resolution pixels of a side; None for whole images.
        tile_overlap: What neighbouring tiles share, in low-resolution pixels.

    Raises:
        OptionError: They are no whole numbers, or the overlap is negative, or not smaller than the
            tile.
    """
    if tile is not None:
        check_whole('tile', tile, 1)
    check_whole('tile_overlap', tile_overlap)
    assert isinstance(tile_overlap, int)
    too_large = isinstance(tile, int) and tile <= tile_overlap
    if tile_overlap < 0 or too_large:
        raise OptionError(
            f'{spelled("tile_overlap")}: {tile_overlap}; expected from 0 on, less than '
            f'{spelled("tile")}, {tile}'
        )


def check_device(device: object) -> None:
    """Refuse what cannot be the name of a device; whether it is there is seen later."""
    if not isinstance(device, str):
        raise _refuse('device', device, "a string: 'auto', 'cpu', 'cuda', 'cuda:1', …")


def check_overrides(overrides: object) -> None:
    """Refuse what is neither a mapping of option keys to values nor a list of texts.

    Raises:
        OptionError: Of another kind.
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
