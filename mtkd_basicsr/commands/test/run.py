"""``mtkd test``: BasicSR's own test pipeline."""

import os
import sys
from pathlib import Path

from ...checks.preflight import add_network, before_test, check_options
from ...config import model_of
from ...host.scripts import test_pipeline
from ...weights.reading import read_weights
from ...weights.state_dicts import average_left_out
from .._loop import LoopArguments
from .._option_files import OptionFile, basicsr_arguments, command_line, parse_like_basicsr


def _warn_of_average(weights: str) -> None:
    """Print what the log of a test says of a model of this package alone, about a moving average.

    Args:
        weights: The weights that are tested.
    """
    text = average_left_out(read_weights(weights, 'path.pretrain_network_g'), weights)
    if text is not None:
        print(f'WARNING: {text}', file=sys.stderr)


def run(arguments: LoopArguments) -> Path:
    """Check the option file, then test; see :func:`mtkd_basicsr.commands.test`."""
    file = OptionFile.of(arguments.options_file, arguments.overrides, arguments.safe)
    root = os.path.abspath(os.path.expanduser(arguments.root or os.getcwd()))
    opt = parse_like_basicsr('test', file, False, arguments.debug, root, add_network)
    before_test(opt)
    weights = opt['path'].get('pretrain_network_g')
    is_ours = model_of(opt['model_type']) is not None
    if weights is not None and not is_ours and 'param_key_g' not in opt['path']:
        _warn_of_average(weights)
    with command_line('test', basicsr_arguments(file, arguments), file.safe):
        test_pipeline(root, check_options)
    return Path(opt['path']['results_root'])
