"""``mtkd upscale``: its arguments."""

import argparse

from .._arguments import add_safe_argument, add_tile_arguments
from .api import upscale

HELP = 'enlarge pictures with a trained student'
DESCRIPTION = (
    'Enlarges pictures with a trained network; grey, transparent and 16-bit ones stay '
    'what they are.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('images', nargs='+', metavar='PICTURE', help='what to enlarge')
    parser.add_argument('--weights', required=True, metavar='FILE', help='checkpoint of a student')
    parser.add_argument(
        '-opt',
        '--opt',
        metavar='FILE',
        help='option file with its network_g; not needed for checkpoints of mtkd train',
    )
    parser.add_argument(
        '--out',
        default='upscaled',
        metavar='DIR',
        help='where results go, as NAME_x4.png (upscaled)',
    )
    add_tile_arguments(
        parser,
        'pixels of a tile, for pictures that do not fit into memory',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace results that are there')
    add_safe_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
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
