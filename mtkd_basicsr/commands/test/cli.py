"""``mtkd test``: its arguments."""

import argparse

from .._arguments import add_loop_arguments as add_arguments

HELP = "test by BasicSR's loop"
DESCRIPTION = 'Tests as ``python basicsr/test.py`` does; results/ goes into the current directory.'
NEEDS_BASICSR = True

__all__ = ['DESCRIPTION', 'HELP', 'NEEDS_BASICSR', 'add_arguments', 'run']


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    from ...checks.preflight import before_test
    from .._option_files import parse_like_basicsr
    from .run import test

    before_test(parse_like_basicsr('test', args, is_train=False))
    test(args)
