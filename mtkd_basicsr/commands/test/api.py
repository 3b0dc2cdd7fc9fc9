"""``mtkd test`` as a function."""

from pathlib import Path

from ...utils.launchers import check_launched
from .._loop import LoopArguments
from .._process import basicsr_ready
from .._validation import Overrides, StrPath


def test(
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
    """Test with BasicSR's pipeline, as ``python basicsr/test.py`` does.

    Args:
        options_file: Test option file (YAML).
        overrides: Options that replace those of the file: values by keys such as
            ``'path:pretrain_network_g'``, or texts such as ``'path:pretrain_network_g=net.pth'``.
        auto_resume: Accepted by BasicSR's parser; has no effect on a test.
        debug: BasicSR's debug mode: the name of the results folder begins with ``debug_``.
        launcher: Job launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.
        local_rank: Local rank of this process, as launchers set it.
        safe: Whether to refuse Python tags in the option file, so that no code is executed.
        root: Parent of ``results/``; None for the current directory.

    Returns:
        Folder of the results, with the log and, if they are saved, the images.

    Raises:
        MTKDError: An argument, an option, weights or images are invalid.
    """
    arguments = LoopArguments(
        options_file, overrides, auto_resume, debug, launcher, local_rank, safe, root
    )
    if launcher != 'slurm':  # which needs a GPU first
        check_launched(launcher)
    with basicsr_ready():
        from .run import run

        return run(arguments)
