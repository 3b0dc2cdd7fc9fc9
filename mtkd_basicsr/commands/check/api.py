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
    all_images: bool = False,
    overrides: Overrides = (),
    safe: bool = False,
) -> Findings:
    """Check everything that a training option file names, and report all findings.

    The check covers keys, files, image sizes, the contents of a sample of the images, weights, the
    PSNR of teachers and fusion network on a few validation images, the protocol of the metrics, and
    disk space; it also estimates the time of the training, of ``mtkd cache`` and of validations,
    and the memory, from a little of each.

    Args:
        options_file: Training option file (YAML).
        steps: Whether to measure a few steps and images, to estimate time and memory. On a CPU
            steps of seconds are measured with fewer and smaller patches.
        all_images: Whether to decode all images of the training and the validation, in several
            processes, instead of a sample: a damaged file, or a low-resolution image of another
            ground truth, is then found wherever it is.
        overrides: Options that replace those of the file: values by keys such as
            ``'train:total_iter'``, or texts such as ``'train:total_iter=100'``.
        safe: Whether to refuse Python tags in the option file, so that no code is executed.

    Returns:
        A list of findings, each with a ``level`` (``'ERROR'``, ``'WARNING'`` or ``'ok'``) and a
        ``text``. Its attribute ``failed`` is true if training would fail; ``str()`` of it is what
        the command prints.

    Raises:
        OptionError: An argument is invalid, or the file cannot be read.
    """
    check_overrides(overrides)
    check_flags(steps=steps, all_images=all_images, safe=safe)
    check_file('options_file', options_file)
    with basicsr_ready():
        from .run import find

        return find(options_file, steps, all_images, overrides, safe)
