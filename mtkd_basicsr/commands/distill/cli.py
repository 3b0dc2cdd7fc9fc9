"""``mtkd distill``: its arguments."""

import argparse

from .._arguments import number
from ..options.network_templates import STUDENTS
from ..options.paper_files import SCALES
from .api import distill

HELP = 'from a folder of photographs to a trained student, in one command'
DESCRIPTION = (
    'Prepare a folder of photographs, write the option files of both stages, run the teachers '
    'once, fit their mix, train a student against it, compare it on photographs that were kept '
    'apart, and export it. Call it again to go on after it was stopped.'
)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < 1e6:
        raise argparse.ArgumentTypeError(f"'{text}'; expected a number above 0")
    return hours


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('folder', help='folder of high-resolution photographs')
    parser.add_argument('--out', required=True, metavar='DIR', help='output folder')
    parser.add_argument(
        '--student',
        choices=list(STUDENTS),
        default='edsr',
        help='the student; default: %(default)s',
    )
    parser.add_argument(
        '--scale', type=int, choices=SCALES, default=4, help='scale; default: %(default)s'
    )
    parser.add_argument(
        '--teachers',
        nargs='+',
        default=(),
        metavar='FILE',
        help='weights that record their network, or that spandrel recognizes; default: the '
        'reference teachers, which are for scale 4',
    )
    parser.add_argument(
        '--hours',
        type=_hours,
        default=2.0,
        metavar='H',
        help='what all of it may take; the number of iterations follows from it; default: '
        '%(default)g',
    )
    parser.add_argument(
        '--validation',
        type=number(1),
        metavar='N',
        help='number of photographs to keep apart; default: a tenth of them, 1 to 8',
    )


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    distill(
        args.folder,
        args.out,
        student=args.student,
        scale=args.scale,
        teachers=args.teachers,
        hours=args.hours,
        validation=args.validation,
    )
