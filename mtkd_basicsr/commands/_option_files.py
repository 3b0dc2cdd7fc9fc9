"""Reading the option file that a command was given, and BasicSR's command line."""

import os
import sys
from contextlib import contextmanager

from ..config import apply_overrides
from ..errors import OptionError
from ..host.option_schema import structure_errors
from ..host.yaml_loader import basicsr_options, basicsr_reads_safely, read_options, value_of_text


@contextmanager
def command_line(command, argv, safe):
    # BasicSR reads sys.argv itself, and writes it into the copy of the option file that it keeps.
    before = sys.argv
    sys.argv = [f'mtkd {command}', *argv]
    try:
        with basicsr_reads_safely(safe):
            yield
    finally:
        sys.argv = before


def _file_arguments(args):
    return ['-opt', args.opt, *(['--force_yml', *args.force_yml] if args.force_yml else [])]


def basicsr_arguments(args):
    argv = ['--launcher', args.launcher, '--local_rank', str(args.local_rank)]
    argv += ['--auto_resume'] if args.auto_resume else []
    argv += ['--debug'] if args.debug else []
    return argv + _file_arguments(args)


def read_forced(args):
    """The option file of a command, with ``--force_yml`` in it, before BasicSR sees it.

    Args:
        args (argparse.Namespace): ``opt``, ``force_yml`` and ``safe``.

    Returns:
        dict: All options.

    Raises:
        OptionError: the file cannot be read, or ``--force_yml`` cannot be used.
    """
    return apply_overrides(read_options(args.opt, args.safe), args.force_yml, value_of_text)


def parse_like_basicsr(command, args, is_train=True):
    """All options of a training or a test, as BasicSR parses them; nothing is created.

    Args:
        command (str): Name of our command, for messages.
        args (argparse.Namespace): ``opt``, ``force_yml`` and ``safe``.
        is_train (bool): For a training; else for a test.

    Returns:
        dict: Options.

    Raises:
        OptionError: the file cannot be read, ``--force_yml`` cannot be used, or what BasicSR
            takes for granted is missing or of another kind; all of that at once.
    """
    wrong = structure_errors(read_forced(args), is_train)
    if wrong:
        raise OptionError('\n'.join(wrong))
    with command_line(command, _file_arguments(args), args.safe):
        return basicsr_options.parse_options(os.getcwd(), is_train)[0]
