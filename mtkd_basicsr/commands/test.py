"""``mtkd test``: its arguments."""

import argparse

from .train import add_arguments

HELP = "test by BasicSR's loop"
DESCRIPTION = ('Tests as ``python basicsr/test.py`` does; results/ goes into the current '
               'directory.')
NEEDS_BASICSR = True

__all__ = ['DESCRIPTION', 'HELP', 'NEEDS_BASICSR', 'add_arguments', 'run']


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Args:
        args: What its parser has made of the command line.

    Raises:
        MTKDError: something of the user's making is wrong.
    """
    from ..checks import before_test
    from ..train import parse_like_basicsr, test
    before_test(parse_like_basicsr('test', args, is_train=False))
    test(args)
