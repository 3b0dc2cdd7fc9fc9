"""``mtkd data``: its arguments."""

import argparse
import os

from ...utils.choices import BICUBIC
from .._arguments import number
from .api import prepare_data

HELP = 'folders as BasicSR wants them, out of a folder of images'
DESCRIPTION = 'Makes ground-truth and low-resolution folders for BasicSR out of a folder of images.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('folder', help='high-resolution images')
    parser.add_argument('--out', required=True, metavar='DIR', help='where the folders go')
    parser.add_argument(
        '--scale',
        nargs='+',
        type=int,
        default=[2, 3, 4],
        metavar='N',
        help='scales of the low-resolution images',
    )
    parser.add_argument(
        '--multiple',
        type=number(1),
        metavar='N',
        help='sizes are cropped to multiples of it (least common one of the scales)',
    )
    parser.add_argument(
        '--sub-image',
        type=number(0),
        default=0,
        metavar='N',
        help='cut parts of N×N pixels, which are read faster in training',
    )
    parser.add_argument(
        '--step', type=number(0), metavar='N', help='from one part to the next (half of the part)'
    )
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, metavar='N', help='processes'
    )
    parser.add_argument(
        '--verify',
        choices=tuple(BICUBIC),
        help='compare with the PSNR of bicubic that papers give for this test set',
    )


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    prepare_data(
        args.folder,
        args.out,
        scales=args.scale,
        multiple=args.multiple,
        sub_image=args.sub_image,
        step=args.step,
        workers=args.workers,
        verify=args.verify,
    )
