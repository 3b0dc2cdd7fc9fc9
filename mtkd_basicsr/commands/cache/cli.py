"""``mtkd cache``: its arguments."""

import argparse

from ...utils.choices import CACHE_CONTENTS, PRECISIONS
from .._arguments import add_override_arguments, add_tile_arguments, number
from .api import cache

HELP = 'compute the targets of all training images once'
DESCRIPTION = (
    'Create or resume the target cache of an option file; with --verify, check a complete one.'
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
        help='fused target (stage 2) or output of each teacher (stage 1); '
        'default: what the option file needs',
    )
    parser.add_argument(
        '--self-ensemble',
        action='store_true',
        help='average over eight flips and rotations (eight times slower)',
    )
    add_tile_arguments(
        parser,
        'size of a tile, in low-resolution pixels; default: whole images, and smaller and '
        'smaller tiles when GPU memory runs out',
    )
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        help='auto: bf16 where the hardware supports it, else fp32; default: auto on a GPU, '
        'fp32 on a CPU; a resumed cache keeps its own',
    )
    parser.add_argument(
        '--workers',
        type=number(0),
        help='processes that decode images; default: up to 4, as cores and shared memory allow',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a cache made with other options, or recompute damaged and changed images',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='read a complete cache and compare it with its checksums and with all images',
    )
    parser.add_argument(
        '--from',
        dest='outputs_from',
        metavar='CACHE',
        help='fused targets: compute them from the outputs in this cache of stage 1, without '
        'running teachers (from outputs rounded to 8 bits)',
    )
    add_override_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
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
        outputs_from=args.outputs_from,
        overrides=args.force_yml or (),
        safe=args.safe,
    )
