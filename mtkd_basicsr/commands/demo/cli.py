"""``mtkd demo``: its arguments."""

import argparse

from .api import demo

HELP = 'run both stages of MTKD on sample photographs, in minutes on a CPU'
DESCRIPTION = (
    'Train a fusion of three teachers and a student with and without MTKD on sample photographs, '
    'in minutes on a CPU, and compare them.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        '--out', metavar='DIR', help='output folder; default: mtkd_demo or mtkd_demo_quick'
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='take about a minute: shows that everything runs, not how well it works',
    )


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    demo(out=args.out, quick=args.quick)
