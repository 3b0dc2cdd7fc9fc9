"""``mtkd test``: BasicSR's own test pipeline."""

import os
from pathlib import Path

from ...checks.preflight import add_network, before_test, check_options
from ...host.scripts import test_pipeline
from .._loop import LoopArguments
from .._option_files import OptionFile, basicsr_arguments, command_line, parse_like_basicsr


def run(arguments: LoopArguments) -> Path:
    """Check the option file, then test; see :func:`mtkd_basicsr.commands.test`."""
    file = OptionFile.of(arguments.options_file, arguments.overrides, arguments.safe)
    root = os.path.abspath(os.path.expanduser(arguments.root or os.getcwd()))
    opt = parse_like_basicsr('test', file, False, arguments.debug, root, add_network)
    before_test(opt)
    with command_line('test', basicsr_arguments(file, arguments), file.safe):
        test_pipeline(root, check_options)
    return Path(opt['path']['results_root'])
