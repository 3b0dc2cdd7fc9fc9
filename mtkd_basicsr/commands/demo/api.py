"""``mtkd demo`` as a function."""

from pathlib import Path

from .._process import basicsr_ready
from .._validation import StrPath, check_flags, check_path


def demo(*, out: StrPath | None = None, quick: bool = False) -> tuple[Path, Path]:
    """Train a fusion of three teachers, and a student with and without MTKD; show their results.

    Caches and trainings have processes of their own. A second call goes on where the first one was
    stopped, and repeats nothing that is finished.

    Args:
        out: Folder that everything goes into; None for ``mtkd_demo``, or ``mtkd_demo_quick``.
        quick: Whether it is to take about a minute: it shows that it runs, not what it reaches.

    Returns:
        The table of the results (Markdown), and a picture of them.

    Raises:
        MTKDError: An argument cannot be used, or a cache or a training failed; names its log.
    """
    check_flags(quick=quick)
    if out is not None:
        check_path('out', out)
    with basicsr_ready():
        from .run import run

        return run(Path(out or ('mtkd_demo_quick' if quick else 'mtkd_demo')).resolve(), quick)
