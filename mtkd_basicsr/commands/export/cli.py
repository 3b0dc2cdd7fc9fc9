"""``mtkd export``: its arguments."""

import argparse

from ...utils.choices import EXPORT_FORMATS
from .._arguments import add_safe_argument, add_student_option_file
from .api import export

HELP = 'export a trained student to ONNX, TorchScript, safetensors or .pth'
DESCRIPTION = (
    'Export a trained student to one ONNX, TorchScript, safetensors or .pth file, and compare the '
    'file with PyTorch on a photograph. A .pth file has the names of weights that spandrel and the '
    'authors of the network use.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        '--format',
        choices=list(EXPORT_FORMATS),
        help=f'file format; default: by the ending of --out, {", ".join(EXPORT_FORMATS.values())}',
    )
    add_student_option_file(parser)
    parser.add_argument(
        '--weights',
        metavar='FILE',
        help='checkpoint of a student; default: path.pretrain_network_g of the option file',
    )
    parser.add_argument('--out', metavar='FILE', help='new file; default: next to the weights')
    parser.add_argument(
        '--half',
        action='store_true',
        help='store 16-bit weights, for a file of half the size; not for torchscript',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an existing file')
    add_safe_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    export(
        args.weights,
        format=args.format,
        options_file=args.opt,
        out=args.out,
        half=args.half,
        overwrite=args.overwrite,
        safe=args.safe,
    )
