"""``mtkd train``: its arguments."""

import argparse

from .._arguments import add_loop_arguments as add_arguments
from .._arguments import loop_keywords
from .api import train

HELP = "train with BasicSR's pipeline"
DESCRIPTION = (
    'Train as "python basicsr/train.py" does; create experiments/ and tb_logger/ in the current '
    'directory.'
)

__all__ = ['DESCRIPTION', 'HELP', 'add_arguments', 'run']


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    train(args.opt, **loop_keywords(args))
