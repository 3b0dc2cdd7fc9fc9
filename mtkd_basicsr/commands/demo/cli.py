"""``mtkd demo``: its arguments."""

import argparse

from .api import demo

HELP = 'the whole of MTKD on photographs, in minutes, on a CPU'
DESCRIPTION = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        '--out', metavar='DIR', help='where everything goes (mtkd_demo, or mtkd_demo_quick)'
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='about a minute: shows that it runs, not what it reaches',
    )


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    demo(out=args.out, quick=args.quick)
