"""``mtkd check`` as a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._process import basicsr_ready
from .._validation import Overrides, StrPath, check_file, check_flags, check_overrides

if TYPE_CHECKING:
    from ...checks.findings import Findings  # whose package imports torch


def check(
    options_file: StrPath,
    *,
    steps: bool = True,
    overrides: Overrides = (),
    safe: bool = False,
) -> Findings:
    """Look at everything that an option file for training names, and report all findings.

    Keys, files, sizes of images, weights, PSNR of teachers and fusion network on a few validation
    images, the protocol of the metrics, disk space, and an estimate of time and memory.

    Args:
        options_file: Option file (YAML) for training.
        steps: Whether to do two real steps, which time and memory are estimated from.
        overrides: Options that replace those of the file: values by keys such as
            ``'train:total_iter'``, or texts such as ``'train:total_iter=100'``.
        safe: Whether to execute nothing that the option file names: Python tags are refused.

    Returns:
        A list of findings, each with a ``level`` (``'ERROR'``, ``'WARNING'`` or ``'ok'``) and a
        ``text``; its ``failed`` says whether training would fail, and ``str`` of it is what the
        command prints.

    Raises:
        OptionError: An argument cannot be used, or the file cannot be read.
    """
    check_overrides(overrides)
    check_flags(steps=steps, safe=safe)
    check_file('options_file', options_file)
    with basicsr_ready():
        from .run import find

        return find(options_file, steps, overrides, safe)
