"""``mtkd compare``: its arguments."""

import argparse
import sys

from .._arguments import add_safe_argument
from .api import compare

HELP = 'train and compare many students'
DESCRIPTION = 'Run all trainings of a plan, test every student, and write a report.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('-opt', '--opt', required=True, metavar='PLAN', help='plan file (YAML)')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder of the results; default: compare/NAME, with the name of the plan or of its '
        'base',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        metavar='N',
        help='number of runs at the same time; default: %(default)s',
    )
    add_safe_argument(parser)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        '--report-only', action='store_true', help='rebuild the report from finished runs'
    )
    mode.add_argument(
        '--list', action='store_true', help='print one command per run, for a scheduler'
    )
    mode.add_argument('--only', metavar='RUN', help='execute this run alone, without a report')


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    files = compare(
        args.opt,
        out=args.out,
        jobs=args.jobs,
        report_only=args.report_only,
        list_commands=args.list,
        only=args.only,
        safe=args.safe,
    )
    if not (args.list or args.only):
        print(files[0].read_text(encoding='utf-8'))
        print('\n'.join(map(str, files)), file=sys.stderr)
