"""``mtkd options``: its arguments."""

import argparse

from .api import METHOD_NAMES, option_reference, write_options
from .network_templates import STUDENTS
from .paper_files import SCALES

HELP = 'write the option files of the paper, or what their keys mean'
DESCRIPTION = (
    'Writes the option files of the paper: both stages of MTKD, the baselines, and '
    'testing. Or prints what their keys mean.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--out', metavar='DIR', help='where they go')
    what.add_argument(
        '--reference',
        action='store_true',
        help='print every option key with its meaning instead (docs/options.md)',
    )
    parser.add_argument(
        '--student',
        nargs='+',
        choices=tuple(STUDENTS),
        default=tuple(STUDENTS),
        help='for these students alone',
    )
    parser.add_argument(
        '--scale',
        nargs='+',
        type=int,
        choices=SCALES,
        default=SCALES,
        help='for these scales alone',
    )
    parser.add_argument(
        '--method',
        nargs='+',
        choices=METHOD_NAMES,
        default=METHOD_NAMES,
        help='for these methods alone',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace files of the same names that say something else',
    )


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    if args.reference:
        print(option_reference(), end='')
        return
    paths = write_options(
        args.out,
        students=args.student,
        scales=args.scale,
        methods=args.method,
        overwrite=args.overwrite,
    )
    print(f"{len(paths)} option files in '{args.out}'")
