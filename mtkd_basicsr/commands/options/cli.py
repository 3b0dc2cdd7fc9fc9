"""``mtkd options``: its arguments."""

import argparse

from .api import METHOD_NAMES, option_reference, write_options
from .network_templates import STUDENTS
from .paper_files import SCALES

HELP = 'write option files, or print the option reference'
DESCRIPTION = (
    'Write the option files of the paper (both stages of MTKD, baselines, testing), those for '
    'photographs of yours (reference/), comparisons (compare/), the training of teachers '
    '(teachers/) and the demo (demo/), or print the reference of all option keys.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument('--out', metavar='DIR', help='folder for the option files')
    action.add_argument(
        '--reference',
        action='store_true',
        help='print every option key with its meaning (docs/options.md)',
    )
    parser.add_argument(
        '--student',
        nargs='+',
        choices=tuple(STUDENTS),
        default=tuple(STUDENTS),
        help='write only the files of these students; default: all',
    )
    parser.add_argument(
        '--scale',
        nargs='+',
        type=int,
        choices=SCALES,
        default=SCALES,
        help='write only the files of these scales; default: all',
    )
    parser.add_argument(
        '--method',
        nargs='+',
        choices=METHOD_NAMES,
        default=METHOD_NAMES,
        help='write only the files of these methods',
    )
    parser.add_argument(
        '--reference-teachers',
        action='store_true',
        help='write only the files that train and compare with the teachers of the package',
    )
    parser.add_argument(
        '--data',
        metavar='DIR',
        help='folder of mtkd data --validation N for the files with the reference teachers; '
        'default: datasets/mine',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace existing files with different content',
    )


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    if args.reference:
        print(option_reference(), end='')
        return
    paths = write_options(
        args.out,
        students=args.student,
        scales=args.scale,
        methods=args.method,
        reference_teachers=args.reference_teachers,
        data=args.data,
        overwrite=args.overwrite,
    )
    print(f"{len(paths)} option files in '{args.out}'")
