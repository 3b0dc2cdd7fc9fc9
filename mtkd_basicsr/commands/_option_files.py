"""Reading the option file that a command was given, and BasicSR's command line."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..config import apply_overrides
from ..errors import OptionError
from ..host.option_schema import structure_errors
from ..host.yaml_loader import basicsr_options, basicsr_reads_safely, read_options, value_of_text


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


def _file_arguments(args: argparse.Namespace) -> list[str]:
    return ['-opt', args.opt, *(['--force_yml', *args.force_yml] if args.force_yml else [])]


def basicsr_arguments(args: argparse.Namespace) -> list[str]:
    """Return the arguments of ``mtkd train`` and ``mtkd test`` as BasicSR takes them."""
    argv = ['--launcher', args.launcher, '--local_rank', str(args.local_rank)]
    argv += ['--auto_resume'] if args.auto_resume else []
    argv += ['--debug'] if args.debug else []
    return argv + _file_arguments(args)


def read_forced(args: argparse.Namespace) -> dict[str, Any]:
    """Read the option file of a command, apply ``--force_yml``, and return all options.

    BasicSR has not seen them yet.

    Args:
        args: ``opt``, ``force_yml`` and ``safe``.

    Returns:
        All options of the file.

    Raises:
        OptionError: the file cannot be read, or ``--force_yml`` cannot be used.
    """
    return apply_overrides(read_options(args.opt, args.safe), args.force_yml, value_of_text)


def parse_like_basicsr(
    command: str, args: argparse.Namespace, is_train: bool = True
) -> dict[str, Any]:
    """Return all options of a training or a test, as BasicSR parses them; create nothing.

    Args:
        command: Name of our command, for messages.
        args: ``opt``, ``force_yml`` and ``safe``.
        is_train: For a training; else for a test.

    Returns:
        All options.

    Raises:
        OptionError: the file cannot be read, ``--force_yml`` cannot be used, or what BasicSR
            takes for granted is missing or of another kind; all of that at once.
    """
    wrong = structure_errors(read_forced(args), is_train)
    if wrong:
        raise OptionError('\n'.join(wrong))
    with command_line(command, _file_arguments(args), args.safe):
        return basicsr_options.parse_options(os.getcwd(), is_train)[0]
