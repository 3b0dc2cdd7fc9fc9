"""``mtkd upscale``: its arguments."""

import argparse

from .._arguments import add_safe_argument, add_student_option_file, add_tile_arguments
from .api import upscale

HELP = 'upscale images with a trained student'
DESCRIPTION = (
    'Upscale images with a trained student; greyscale, transparency and 16-bit depth are kept.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image file')
    parser.add_argument('--weights', required=True, metavar='FILE', help='checkpoint of a student')
    add_student_option_file(parser)
    parser.add_argument(
        '--out',
        default='upscaled',
        metavar='DIR',
        help='folder for the results, NAME_x4.png; default: upscaled',
    )
    add_tile_arguments(
        parser, 'size of a tile, in low-resolution pixels, for images that do not fit into memory'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace existing results')
    add_safe_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    upscale(
        args.images,
        weights=args.weights,
        options_file=args.opt,
        out=args.out,
        tile=args.tile,
        tile_overlap=args.tile_overlap,
        device=args.device,
        overwrite=args.overwrite,
        safe=args.safe,
    )
