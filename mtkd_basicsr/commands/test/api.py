"""``mtkd test`` as a function."""

from pathlib import Path

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
    """Test by BasicSR's loop, as ``python basicsr/test.py`` does.

    Args:
        options_file: Option file (YAML) for testing.
        overrides: Options that replace those of the file: values by keys such as
            ``'path:pretrain_network_g'``, or texts such as ``'path:pretrain_network_g=net.pth'``.
        auto_resume: Taken by BasicSR's parser; a test does not use it.
        debug: BasicSR's debug mode: results go into a folder whose name begins with ``debug_``.
        launcher: How processes are started: ``'none'``, ``'pytorch'`` or ``'slurm'``.
        local_rank: Number of this process on its machine, as launchers set it.
        safe: Whether to execute nothing that the option file names: Python tags are refused.
        root: Folder that ``results/`` goes into; None for the current one.

    Returns:
        Folder of the results, with the log and, where they are saved, the images.

    Raises:
        MTKDError: An argument, an option, weights or images cannot be used.
    """
    arguments = LoopArguments(
        options_file, overrides, auto_resume, debug, launcher, local_rank, safe, root
    )
    with basicsr_ready():
        from .run import run

        return run(arguments)
