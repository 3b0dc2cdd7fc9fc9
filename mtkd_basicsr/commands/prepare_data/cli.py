"""``mtkd data``: its arguments."""

import argparse
import os

from ...utils.choices import BICUBIC
from .._arguments import number
from .api import prepare_data

HELP = 'create BasicSR dataset folders from a folder of images'
DESCRIPTION = (
    'Create the ground-truth and low-resolution folders of a BasicSR dataset from a folder of '
    'images.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('folder', help='high-resolution images')
    parser.add_argument('--out', required=True, metavar='DIR', help='parent of the new folders')
    parser.add_argument(
        '--scale',
        nargs='+',
        type=int,
        default=[2, 3, 4],
        metavar='N',
        help='scales of the low-resolution images; default: 2 3 4',
    )
    parser.add_argument(
        '--multiple',
        type=number(1),
        metavar='N',
        help='crop sizes to multiples of N; default: the least common multiple of the scales',
    )
    parser.add_argument(
        '--sub-image',
        type=number(0),
        default=0,
        metavar='N',
        help='cut images into overlapping parts of N×N pixels, which are faster to read in a '
        'training without a cache; N is a multiple of --multiple, that is, of 12 for the '
        'scales 2 3 4',
    )
    parser.add_argument(
        '--step',
        type=number(0),
        metavar='N',
        help='distance from one part to the next, in pixels, a multiple as for --sub-image; '
        'default: half of a part',
    )
    parser.add_argument(
        '--validation',
        type=number(0),
        default=0,
        metavar='N',
        help='keep N of the images apart for validation: folders go to DIR/train and DIR/val',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        metavar='N',
        help='number of processes; default: one per CPU core',
    )
    parser.add_argument(
        '--verify',
        choices=tuple(BICUBIC),
        help='compare the PSNR of bicubic enlargement with the published one of this test set',
    )


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    prepare_data(
        args.folder,
        args.out,
        scales=args.scale,
        multiple=args.multiple,
        sub_image=args.sub_image,
        step=args.step,
        validation=args.validation,
        workers=args.workers,
        verify=args.verify,
    )
