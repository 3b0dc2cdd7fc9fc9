"""``mtkd train`` and ``mtkd test``: BasicSR's own loops with the current directory as root."""

import os
import sys
from contextlib import contextmanager

from .basicsr_scripts import repair
from .errors import OptionError
from .options import force, structure_errors
from .yaml_files import basicsr_reads_safely, read_options


@contextmanager
def _command_line(command, argv, safe):
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


def _basicsr_arguments(args):
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
    return force(read_options(args.opt, args.safe), args.force_yml)


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
    from basicsr.utils.options import parse_options

    wrong = structure_errors(read_forced(args), is_train)
    if wrong:
        raise OptionError('\n'.join(wrong))
    with _command_line(command, _file_arguments(args), args.safe):
        return parse_options(os.getcwd(), is_train)[0]


def train(args, root=None):
    """Trains as ``python basicsr/train.py`` does; experiments/ and tb_logger/ go into the current
    directory.

    Args:
        args (argparse.Namespace): What :func:`add_arguments` has parsed.
        root (str | None): Where experiments/ and tb_logger/ go instead.
    """
    import basicsr.train

    repair(basicsr.train)
    with _command_line('train', _basicsr_arguments(args), args.safe):
        basicsr.train.train_pipeline(root or os.getcwd())


def test(args):
    """Tests as ``python basicsr/test.py`` does; results/ goes into the current directory.

    Args:
        args (argparse.Namespace): What :func:`add_arguments` has parsed.
    """
    import basicsr.test

    repair(basicsr.test)
    with _command_line('test', _basicsr_arguments(args), args.safe):
        basicsr.test.test_pipeline(os.getcwd())
