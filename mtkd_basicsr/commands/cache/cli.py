"""``mtkd cache``: its arguments."""

import argparse

from ...utils.choices import CACHE_CONTENTS, PRECISIONS
from .._arguments import add_override_arguments, add_tile_arguments, number
from .api import cache

HELP = 'run the teachers once over all training images, and keep the targets'
DESCRIPTION = (
    'Makes the target cache of an option file, or goes on making it; with '
    '``--verify`` reads all of one that is complete.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        '-opt',
        '--opt',
        required=True,
        metavar='FILE',
        help='option file; names the cache as datasets.train.target_cache',
    )
    parser.add_argument(
        '--what',
        choices=CACHE_CONTENTS,
        help='the fused target (stage 2), or the output of each teacher (stage 1); '
        'what the option file needs by default',
    )
    parser.add_argument(
        '--self-ensemble',
        action='store_true',
        help='mean over eight flips and rotations, eight times slower',
    )
    add_tile_arguments(
        parser,
        'low-resolution pixels; by default whole images, and smaller '
        'and smaller tiles where they do not fit into GPU memory',
    )
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        help='auto: bf16 where it is native, else fp32; by default auto on a GPU, fp32 on '
        'a CPU, and that of the cache where one is gone on with',
    )
    parser.add_argument('--workers', type=number(0), default=1, help='processes that decode images')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a cache of other options, and what is damaged in one of the same',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='read all of a complete cache, and compare it with its checksums',
    )
    add_override_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    cache(
        args.opt,
        contents=args.what,
        self_ensemble=args.self_ensemble,
        tile=args.tile,
        tile_overlap=args.tile_overlap,
        device=args.device,
        precision=args.precision,
        workers=args.workers,
        overwrite=args.overwrite,
        verify=args.verify,
        overrides=args.force_yml or (),
        safe=args.safe,
    )
