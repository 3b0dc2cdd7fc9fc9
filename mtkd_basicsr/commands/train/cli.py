"""``mtkd train``: its arguments."""

import argparse

from .._arguments import add_loop_arguments as add_arguments

HELP = "train by BasicSR's loop"
DESCRIPTION = (
    'Trains as ``python basicsr/train.py`` does; experiments/ and tb_logger/ go into '
    'the current directory.'
)
NEEDS_BASICSR = True

__all__ = ['DESCRIPTION', 'HELP', 'NEEDS_BASICSR', 'add_arguments', 'run']


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    from ...checks.preflight import before_training
    from .._option_files import parse_like_basicsr
    from .run import train

    before_training(parse_like_basicsr('train', args, is_train=True))
    train(args)
