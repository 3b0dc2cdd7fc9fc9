"""Reading the option file that a command was given, and BasicSR's command line."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..config import apply_overrides
from ..errors import OptionError
from ..host.option_schema import structure_errors
from ..host.yaml_loader import basicsr_options, basicsr_reads_safely, read_options, value_of_text
from ._loop import LoopArguments
from ._validation import Overrides, StrPath, spelled


@dataclass(frozen=True)
class OptionFile:
    """An option file as a command was given it.

    Attributes:
        path: Of the file.
        forced: What replaces options of the file, each as ``--force_yml`` takes it:
            ``'train:total_iter=100'``.
        safe: Execute nothing that the file names.
    """

    path: str
    forced: tuple[str, ...] = ()
    safe: bool = False

    @classmethod
    def of(cls, path: StrPath, overrides: Overrides, safe: bool) -> 'OptionFile':
        """Return an option file as the functions of the commands are given it.

        Raises:
            OptionError: BasicSR cannot be given one of the values.
        """
        if isinstance(overrides, Mapping):
            overrides = [f'{key}={_text_of(key, value)}' for key, value in overrides.items()]
        return cls(os.fspath(path), tuple(overrides), safe)

    def arguments(self) -> list[str]:
        """Return the file and what is forced, as BasicSR's command line takes them."""
        forced = ['--force_yml', *self.forced] if self.forced else []
        return ['-opt', self.path, *forced]


def _text_of(key: str, value: object) -> str:
    """Write a value so that BasicSR reads it back from its command line.

    Raises:
        OptionError: That cannot be done.
    """
    if value is None:
        text = '~'
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, float) or (isinstance(value, int) and value < 0):
        text = f'!!float{value!r}'  # without it 1e-4 and -1 are texts
    elif isinstance(value, (list, tuple)):
        value = list(value)
        text = repr(value)
    else:
        text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
        value = text if isinstance(value, os.PathLike) else value
    try:
        found = value_of_text(text)
    except Exception:  # whatever BasicSR's evaluation of a list raises
        found = text
    if found != value or '=' in text or text != text.strip():
        raise OptionError(
            f'{spelled("overrides")}: {key!r}: {value!r} cannot be given in this way; expected a '
            'text, a number, True, False, None, or a list of these; write it into the option file'
        )
    return text


@contextmanager
def command_line(command: str, argv: list[str], safe: bool) -> Iterator[None]:
    """Give BasicSR a command line of ours.

    Args:
        command: Name of our command.
        argv: Arguments of BasicSR.
        safe: Execute nothing that the option file names.
    """
    # BasicSR reads sys.argv itself, and writes it into the copy of the option file that it keeps.
    before = sys.argv
    sys.argv = [f'mtkd {command}', *argv]
    try:
        with basicsr_reads_safely(safe):
            yield
    finally:
        sys.argv = before


def basicsr_arguments(file: OptionFile, loop: LoopArguments) -> list[str]:
    """Return the arguments of ``mtkd train`` and ``mtkd test`` as BasicSR takes them."""
    argv = ['--launcher', loop.launcher, '--local_rank', str(loop.local_rank)]
    argv += ['--auto_resume'] if loop.auto_resume else []
    argv += ['--debug'] if loop.debug else []
    return argv + file.arguments()


def read_forced(file: OptionFile) -> dict[str, Any]:
    """Read an option file, apply what is forced, and return all options.

    BasicSR has not seen them yet.

    Args:
        file: Of the command.

    Returns:
        All options of the file.

    Raises:
        OptionError: the file cannot be read, or what is forced cannot be used.
    """
    return apply_overrides(read_options(file.path, file.safe), file.forced, value_of_text)


def parse_like_basicsr(
    command: str,
    file: OptionFile,
    is_train: bool = True,
    debug: bool = False,
    root: str | None = None,
) -> dict[str, Any]:
    """Return all options of a training or a test, as BasicSR parses them; create nothing.

    Args:
        command: Name of our command, for messages.
        file: Of the command.
        is_train: For a training; else for a test.
        debug: In BasicSR's debug mode, which renames experiments.
        root: Where experiments/ or results/ go; None for the current directory.

    Returns:
        All options.

    Raises:
        OptionError: the file cannot be read, what is forced cannot be used, or what BasicSR
            takes for granted is missing or of another kind; all of that at once.
    """
    wrong = structure_errors(read_forced(file), is_train)
    if wrong:
        raise OptionError('\n'.join(wrong))
    argv = file.arguments()
    with command_line(command, ['--debug', *argv] if debug else argv, file.safe):
        return basicsr_options.parse_options(root or os.getcwd(), is_train)[0]
