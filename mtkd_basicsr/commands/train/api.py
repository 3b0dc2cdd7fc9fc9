"""``mtkd train`` as a function."""

from pathlib import Path

from ...utils.launchers import check_launched
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
    """Train with BasicSR's pipeline, as ``python basicsr/train.py`` does.

    Everything that would stop the training is checked before the first folder is created.

    Args:
        options_file: Training option file (YAML).
        overrides: Options that replace those of the file: values by keys such as
            ``'train:total_iter'``, or texts such as ``'train:total_iter=100'``.
        auto_resume: Whether to resume from the newest training state of the experiment.
        debug: BasicSR's debug mode: validate and save after 8 iterations.
        launcher: Job launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.
        local_rank: Local rank of this process, as launchers set it.
        safe: Whether to refuse Python tags in the option file, so that no code is executed.
        root: Parent of ``experiments/`` and ``tb_logger/``; None for the current directory.

    Returns:
        Folder of the experiment, with ``models/``, ``training_states/`` and the log.

    Raises:
        MTKDError: An argument, an option, weights or images are invalid, or the training cannot
            continue.
    """
    arguments = LoopArguments(
        options_file, overrides, auto_resume, debug, launcher, local_rank, safe, root
    )
    if launcher != 'slurm':  # which needs a GPU first
        check_launched(launcher)
    with basicsr_ready():
        from .run import run

        return run(arguments)
