"""``mtkd check``: its arguments."""

import argparse

from .._arguments import add_override_arguments

HELP = 'what is wrong with an option file, before an hour is spent on it'
DESCRIPTION = (
    'Looks at everything that an option file for training names, and reports all findings at once.'
)
NEEDS_BASICSR = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        '-opt', '--opt', required=True, metavar='FILE', help='option file for training'
    )
    parser.add_argument(
        '--no-steps',
        action='store_true',
        help='without the two steps that time and memory are estimated from',
    )
    add_override_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    from .run import check

    check(args)
