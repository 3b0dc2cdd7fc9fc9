"""``mtkd train``: its arguments."""

import argparse

from .._arguments import add_loop_arguments, loop_keywords
from .api import train

HELP = "train with BasicSR's pipeline"
DESCRIPTION = (
    'Train as "python basicsr/train.py" does; create experiments/ and tb_logger/ in the current '
    'directory.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    add_loop_arguments(
        parser,
        auto_resume='resume from the newest training state',
        debug="BasicSR's debug mode: validate and save after 8 iterations",
    )


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    train(args.opt, **loop_keywords(args))
