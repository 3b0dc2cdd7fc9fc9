"""``mtkd train``: its arguments."""

import argparse

from ..arguments import add_safe_argument

HELP = "train by BasicSR's loop"
DESCRIPTION = (
    'Trains as ``python basicsr/train.py`` does; experiments/ and tb_logger/ go into '
    'the current directory.'
)
NEEDS_BASICSR = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('-opt', '--opt', required=True, metavar='FILE', help='option file (YAML)')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help='how processes are started',
    )
    parser.add_argument(
        '--auto_resume', '--auto-resume', action='store_true', help='go on from the newest state'
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help="BasicSR's debug mode: validate and save after 8 iterations",
    )
    # torch.distributed.launch passes --local-rank since torch 2.0, --local_rank before.
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by launchers'
    )
    parser.add_argument(
        '--force_yml',
        '--force-yml',
        nargs='+',
        metavar='KEY=VALUE',
        help='override options, for example train:total_iter=100 path:pretrain_network_g=net.pth',
    )
    add_safe_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    from ..checks import before_training
    from ..train import parse_like_basicsr, train

    before_training(parse_like_basicsr('train', args, is_train=True))
    train(args)
