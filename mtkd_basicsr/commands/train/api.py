"""``mtkd train`` as a function."""

from pathlib import Path

from .._loop import LoopArguments
from .._process import basicsr_ready
from .._validation import Overrides, StrPath


def train(
    options_file: StrPath,
    *,
    overrides: Overrides = (),
    auto_resume: bool = False,
    debug: bool = False,
    launcher: str = 'none',
    local_rank: int = 0,
    safe: bool = False,
    root: StrPath | None = None,
) -> Path:
    """Train by BasicSR's loop, as ``python basicsr/train.py`` does.

    What would end the training is refused before the first folder is made.

    Args:
        options_file: Option file (YAML) for training.
        overrides: Options that replace those of the file: values by keys such as
            ``'train:total_iter'``, or texts such as ``'train:total_iter=100'``.
        auto_resume: Whether to go on from the newest state of the experiment.
        debug: BasicSR's debug mode: validate and save after 8 iterations.
        launcher: How processes are started: ``'none'``, ``'pytorch'`` or ``'slurm'``.
        local_rank: Number of this process on its machine, as launchers set it.
        safe: Whether to execute nothing that the option file names: Python tags are refused.
        root: Folder that ``experiments/`` and ``tb_logger/`` go into; None for the current one.

    Returns:
        Folder of the experiment, with ``models/``, ``training_states/`` and the log.

    Raises:
        MTKDError: An argument, an option, weights or images cannot be used, or the training cannot
            go on.
    """
    arguments = LoopArguments(
        options_file, overrides, auto_resume, debug, launcher, local_rank, safe, root
    )
    with basicsr_ready():
        from .run import run

        return run(arguments)
