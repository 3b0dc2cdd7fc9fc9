"""``mtkd compare``: its arguments."""

import argparse
import sys

from .._arguments import add_safe_argument
from .api import compare

HELP = 'many trainings side by side, and a report over them'
DESCRIPTION = 'Does all trainings of a plan, tests every student, and writes a report.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('-opt', '--opt', required=True, metavar='PLAN', help='plan file (YAML)')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder of the results (compare/NAME, with the name of the plan or of its base)',
    )
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='how many runs at once')
    add_safe_argument(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '--report-only', action='store_true', help='rebuild the report of what is finished'
    )
    what.add_argument(
        '--list', action='store_true', help='print a command for each run, for schedulers'
    )
    what.add_argument('--only', metavar='RUN', help='do this one run')


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
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
