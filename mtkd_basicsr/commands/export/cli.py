"""``mtkd export``: its arguments."""

import argparse

from ...utils.choices import EXPORT_FORMATS
from .._arguments import add_safe_argument
from .api import export

HELP = 'a trained student as an ONNX, TorchScript or safetensors file'
DESCRIPTION = (
    'Writes a trained student as one ONNX, TorchScript or safetensors file, after a '
    'comparison with PyTorch on a photograph.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument('--format', required=True, choices=EXPORT_FORMATS, help='of the file')
    parser.add_argument(
        '-opt',
        '--opt',
        metavar='FILE',
        help='option file with its network_g; not needed for checkpoints of mtkd train',
    )
    parser.add_argument(
        '--weights',
        metavar='FILE',
        help='checkpoint of a student (path.pretrain_network_g of the option file)',
    )
    parser.add_argument('--out', metavar='FILE', help='where it goes (beside the weights)')
    parser.add_argument(
        '--half',
        action='store_true',
        help='weights of 16 bits, for a safetensors file of half the size',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a file that is there')
    add_safe_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line."""
    export(
        args.weights,
        format=args.format,
        options_file=args.opt,
        out=args.out,
        half=args.half,
        overwrite=args.overwrite,
        safe=args.safe,
    )
