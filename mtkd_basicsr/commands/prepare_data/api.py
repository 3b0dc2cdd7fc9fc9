"""``mtkd data`` as a function."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import OptionError
from ...utils.choices import BICUBIC
from .._validation import StrPath, check_choice, check_path, check_whole, spelled


def prepare_data(
    folder: StrPath,
    out: StrPath,
    *,
    scales: Sequence[int] = (2, 3, 4),
    multiple: int | None = None,
    sub_image: int = 0,
    step: int | None = None,
    workers: int | None = None,
    verify: str | None = None,
) -> dict[int, Path]:
    """Make ground-truth and low-resolution folders for BasicSR out of a folder of images.

    Writes ``GTmod<m>/`` (cropped to a multiple m of all scales), ``LRbicx<scale>/`` (MATLAB-like
    bicubic) and ``meta_info.txt``. With ``sub_image`` they hold overlapping parts, and their names
    end with ``_sub``. A second call goes on where the first was stopped.

    A script that calls this with several workers does so below ``if __name__ == '__main__':``.

    Args:
        folder: High-resolution images.
        out: Where the folders go.
        scales: Of the low-resolution images, from 2 on.
        multiple: What sizes are cropped to multiples of, in pixels; None for the least common one
            of the scales.
        sub_image: Side of the parts that images are cut into, in pixels of the ground truth; 0 for
            whole images.
        step: From one part to the next, in the same pixels; None for half of a part.
        workers: Processes; None for as many as there are CPU cores.
        verify: Test set (``'Set5'``, ``'Set14'``, ``'B100'`` or ``'Urban100'``) whose published
            PSNR of bicubic enlargement is to be met.

    Returns:
        The folders by scale; that of the ground truth is at 1.

    Raises:
        DataError: Images cannot be used, all of them named (the others are done), or are not those
            of the test set.
        OptionError: Sizes do not fit together, or ``out`` was made otherwise.
    """
    check_path('folder', folder)
    check_path('out', out)
    if isinstance(scales, str) or not isinstance(scales, Sequence) or not scales:
        raise OptionError(f'{spelled("scales")}: {scales!r}; expected a list of whole numbers')
    for scale in scales:
        check_whole('scales', scale)
    if min(scales) < 2 or len(set(scales)) < len(scales):
        raise OptionError(
            f'{spelled("scales")}: {" ".join(map(str, scales))}; expected different numbers from 2 '
            'on'
        )
    if multiple is not None:
        check_whole('multiple', multiple, 1)
    check_whole('sub_image', sub_image, 0)
    if step is not None:
        check_whole('step', step, 0)
    if workers is not None:
        check_whole('workers', workers)
    if verify is not None:
        check_choice('verify', verify, BICUBIC)
    multiple = multiple or math.lcm(*scales)
    if any(multiple % scale for scale in scales):
        raise OptionError(
            f'{spelled("multiple")}: {multiple}; expected a multiple of all of '
            f'{spelled("scales")}, for example {math.lcm(*scales)}'
        )
    step = step or sub_image // 2
    if sub_image and (sub_image % multiple or step % multiple or not 0 < step <= sub_image):
        raise OptionError(
            f'{spelled("sub_image")} {sub_image} {spelled("step")} {step}: expected multiples of '
            f'{multiple}, the step not larger than the sub-image'
        )
    if verify and sub_image:
        raise OptionError(
            f'{spelled("verify")}: test sets are not cut; remove {spelled("sub_image")}'
        )
    from .run import Layout, prepare

    layout = Layout(Path(out), tuple(scales), multiple, sub_image, step)
    prepare(Path(folder), layout, os.cpu_count() or 1 if workers is None else workers, verify)
    return layout.folders()
