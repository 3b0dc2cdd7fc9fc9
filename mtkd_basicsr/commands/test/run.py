"""``mtkd test``: BasicSR's own test loop with the current directory as root."""

import argparse
import os

from ...checks.preflight import check_options
from ...host.scripts import test_pipeline
from .._option_files import basicsr_arguments, command_line


def test(args: argparse.Namespace) -> None:
    """Test as ``python basicsr/test.py`` does; results/ goes into the current directory.

    Args:
        args: What :func:`add_arguments` has parsed.
    """
    with command_line('test', basicsr_arguments(args), args.safe):
        test_pipeline(os.getcwd(), check_options)
