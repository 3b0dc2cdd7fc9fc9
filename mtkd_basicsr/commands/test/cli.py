"""``mtkd test``: its arguments."""

import argparse

from .._arguments import add_loop_arguments as add_arguments
from .._arguments import loop_keywords
from .api import test

HELP = "test with BasicSR's pipeline"
DESCRIPTION = 'Test as "python basicsr/test.py" does; create results/ in the current directory.'

__all__ = ['DESCRIPTION', 'HELP', 'add_arguments', 'run']


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    test(args.opt, **loop_keywords(args))
