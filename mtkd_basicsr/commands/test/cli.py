"""``mtkd test``: its arguments."""

import argparse

from .._arguments import add_loop_arguments, loop_keywords
from .api import test

HELP = "test with BasicSR's pipeline"
DESCRIPTION = 'Test as "python basicsr/test.py" does; create results/ in the current directory.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    add_loop_arguments(
        parser,
        auto_resume='as in basicsr/test.py, where it has no effect',
        debug="BasicSR's debug mode: the name of the results folder begins with debug_",
    )


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    test(args.opt, **loop_keywords(args))
