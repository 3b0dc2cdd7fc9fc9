"""``mtkd train``: BasicSR's own training pipeline."""

import os
from pathlib import Path

from ...checks.preflight import before_training, check_options
from ...host.resume import without_replaced_weights
from ...host.scripts import train_pipeline
from ...utils.launchers import local_rank
from .._loop import LoopArguments
from .._option_files import OptionFile, basicsr_arguments, command_line, parse_like_basicsr


def run(arguments: LoopArguments) -> Path:
    """Check the option file, then train; see :func:`mtkd_basicsr.commands.train`."""
    file = OptionFile.of(arguments.options_file, arguments.overrides, arguments.safe)
    root = os.path.abspath(os.path.expanduser(arguments.root or os.getcwd()))
    opt = parse_like_basicsr('train', file, is_train=True, debug=arguments.debug, root=root)
    # Otherwise each process would have all teachers in memory, and the cores for one of them.
    checked = without_replaced_weights(opt, arguments.auto_resume)
    before_training(checked, is_first=arguments.launcher == 'none' or local_rank() == 0)
    with command_line('train', basicsr_arguments(file, arguments), file.safe):
        train_pipeline(root, check_options)
    return Path(opt['path']['experiments_root'])
