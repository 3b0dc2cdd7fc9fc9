"""Reading the option file of a command, and BasicSR's command line."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..config import apply_overrides
from ..errors import OptionError
from ..host.option_schema import structure_errors
from ..host.yaml_loader import basicsr_options, basicsr_reads_safely, read_options, value_of_text
from ._file_kinds import refuse_other_kind
from ._loop import LoopArguments
from ._validation import Overrides, StrPath, spelled


@dataclass(frozen=True)
class OptionFile:
    """An option file, and how a command reads it.

    Attributes:
        path: Path of the file.
        overrides: Options that replace those of the file, in the syntax of ``--force_yml``:
            ``'train:total_iter=100'``.
        safe: Whether to refuse Python tags, so that no code is executed.
    """

    path: str
    overrides: tuple[str, ...] = ()
    safe: bool = False

    @classmethod
    def of(cls, path: StrPath, overrides: Overrides, safe: bool) -> 'OptionFile':
        """Return an option file from the arguments of a command function.

        Raises:
            OptionError: An override has a value that BasicSR's command line cannot hold.
        """
        if isinstance(overrides, Mapping):
            overrides = [f'{key}={_text_of(key, value)}' for key, value in overrides.items()]
        return cls(os.path.expanduser(path), tuple(overrides), safe)

    def arguments(self) -> list[str]:
        """Return the file and its overrides as arguments of BasicSR's command line."""
        overrides = ['--force_yml', *self.overrides] if self.overrides else []
        return ['-opt', self.path, *overrides]


def _text_of(key: str, value: object) -> str:
    """Return a value as a text that BasicSR's command line reads back as the same value.

    Raises:
        OptionError: There is no such text.
    """
    if value is None:
        text = '~'
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, float):
        text = f'!!float{value!r}'  # without the tag, 1e-4 is read as a text
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
            f'{spelled("overrides")}: {key!r}: {value!r}; expected a text, a number, True, False, '
            'None, or a list of these; write other values into the option file'
        )
    return text


@contextmanager
def command_line(command: str, argv: list[str], safe: bool) -> Iterator[None]:
    """Replace ``sys.argv``, which BasicSR parses.

    Args:
        command: Name of our command.
        argv: Arguments of BasicSR's command line.
        safe: Whether BasicSR refuses Python tags in the option file.
    """
    # BasicSR also writes sys.argv into its copy of the option file.
    saved = sys.argv
    sys.argv = [f'mtkd {command}', *argv]
    try:
        with basicsr_reads_safely(safe):
            yield
    finally:
        sys.argv = saved


def basicsr_arguments(file: OptionFile, loop: LoopArguments) -> list[str]:
    """Return the arguments of ``mtkd train`` and ``mtkd test`` for BasicSR's command line."""
    argv = ['--launcher', loop.launcher, '--local_rank', str(loop.local_rank)]
    argv += ['--auto_resume'] if loop.auto_resume else []
    argv += ['--debug'] if loop.debug else []
    return argv + file.arguments()


def read_with_overrides(command: str, file: OptionFile) -> dict[str, Any]:
    """Read an option file and apply its overrides, without BasicSR's parser.

    Args:
        command: Name of our command.
        file: Option file of the command.

    Returns:
        All options of the file.

    Raises:
        OptionError: The file cannot be read or is for another command, or an override is invalid.
    """
    content = read_options(file.path, file.safe)
    refuse_other_kind(content, file.path, command)
    return apply_overrides(content, file.overrides, value_of_text)


def parse_like_basicsr(
    command: str,
    file: OptionFile,
    is_train: bool = True,
    debug: bool = False,
    root: str | None = None,
    complete: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Return the options of a training or a test as BasicSR parses them; create no folder.

    Args:
        command: Name of our command, for messages.
        file: Option file of the command.
        is_train: Whether the options are for a training, not for a test.
        debug: Whether to use BasicSR's debug mode, which renames experiments.
        root: Folder of experiments/ or results/; None for the current directory.
        complete: Adds options that the file may leave out.

    Returns:
        All options.

    Raises:
        OptionError: The file cannot be read, an override is invalid, or options that BasicSR
            requires are missing or have a wrong type; one line for each of them.
    """
    complete = complete or (lambda opt: None)
    content = read_with_overrides(command, file)
    complete(content)
    errors = structure_errors(content, is_train)
    is_debug = debug or 'debug' in str(content.get('name'))
    if is_train and is_debug and content.get('val', {}) is None:
        errors.append(
            "val: None; expected a mapping, or no such key: BasicSR's debug mode sets val.val_freq"
        )
    if errors:
        raise OptionError('\n'.join(errors))
    argv = file.arguments()
    if debug:
        argv = ['--debug', *argv]
    with command_line(command, argv, file.safe):
        opt = basicsr_options.parse_options(root or os.getcwd(), is_train)[0]
    complete(opt)
    return opt
