"""``mtkd train``: BasicSR's own training loop with the current directory as root."""

import argparse
import os

from ...checks.preflight import check_options
from ...host.scripts import train_pipeline
from .._option_files import basicsr_arguments, command_line


def train(args: argparse.Namespace, root: str | None = None) -> None:
    """Train as ``python basicsr/train.py`` does.

    experiments/ and tb_logger/ go into the current directory.

    Args:
        args: What :func:`add_arguments` has parsed.
        root: Where experiments/ and tb_logger/ go instead.
    """
    with command_line('train', basicsr_arguments(args), args.safe):
        train_pipeline(root or os.getcwd(), check_options)
