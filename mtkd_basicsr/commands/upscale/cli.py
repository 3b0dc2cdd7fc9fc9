"""``mtkd upscale``: its arguments."""

import argparse

from ...utils.choices import PICTURE_FORMATS
from ...utils.resources import reference_names
from .._arguments import add_safe_argument, add_student_option_file, add_tile_arguments
from .api import upscale

HELP = 'upscale images with a trained network'
DESCRIPTION = (
    'Upscale images with a trained student, or with any network that spandrel knows. Orientation '
    'is applied; greyscale, transparency, 16-bit depth and colour profile are kept. Without '
    '--weights, the best student that comes with the package upscales them by 4.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image file, or folder')
    parser.add_argument(
        '--weights',
        metavar='FILE',
        help='checkpoint of a student, weights that spandrel knows, or one '
        f'that comes with the package: {", ".join(reference_names())}; default: the best '
        'student of the package',
    )
    add_student_option_file(parser)
    parser.add_argument(
        '--out',
        default='upscaled',
        metavar='DIR',
        help='folder for the results, NAME_x4.png, which keeps the structure of folders; for one '
        'image also a file; default: upscaled',
    )
    parser.add_argument(
        '--format',
        choices=list(PICTURE_FORMATS),
        help='format of the results; default: that of --out FILE, else png',
    )
    add_tile_arguments(
        parser,
        'size of a tile, in low-resolution pixels; default: at most 512, less if memory is short',
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument('--overwrite', action='store_true', help='replace existing results')
    existing.add_argument(
        '--skip-existing',
        action='store_true',
        help='leave existing results as they are, and do the others',
    )
    add_safe_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    upscale(
        args.images,
        weights=args.weights,
        options_file=args.opt,
        out=args.out,
        format=args.format,
        tile=args.tile,
        tile_overlap=args.tile_overlap,
        device=args.device,
        overwrite=args.overwrite,
        skip_existing=args.skip_existing,
        safe=args.safe,
    )
