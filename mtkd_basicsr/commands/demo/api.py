"""``mtkd demo`` as a function."""

from pathlib import Path

from .._process import basicsr_ready
from .._validation import StrPath, check_flags, check_path


def demo(*, out: StrPath | None = None, quick: bool = False) -> tuple[Path, Path]:
    """Train a fusion of three teachers and a student with and without MTKD, and compare them.

    Caches and trainings run in separate processes. A second call resumes the first one and repeats
    no finished step.

    Args:
        out: Output folder; None for ``mtkd_demo`` or ``mtkd_demo_quick``.
        quick: Whether to take about a minute: shows that everything runs, not how well it works.

    Returns:
        The table of the results (Markdown) and a figure with crops.

    Raises:
        MTKDError: An argument is invalid, or a cache or a training failed; names its log.
    """
    check_flags(quick=quick)
    if out is not None:
        out = check_path('out', out)
    with basicsr_ready():
        from .run import run

        return run(Path(out or ('mtkd_demo_quick' if quick else 'mtkd_demo')).resolve(), quick)
