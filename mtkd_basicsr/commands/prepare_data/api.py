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
    """Create the folders of a BasicSR dataset from a folder of images.

    Writes ``GTmod<m>/`` (cropped to a multiple m of all scales), ``LRbicx<scale>/`` (MATLAB-like
    bicubic) and ``meta_info.txt``. With ``sub_image`` the folders hold overlapping parts of the
    images, and their names end with ``_sub``. A second call resumes the first one.

    A script that calls this function with several workers needs an ``if __name__ == '__main__':``
    guard.

    Args:
        folder: Folder of high-resolution images.
        out: Parent of the new folders.
        scales: Scales of the low-resolution images, at least 2.
        multiple: Number of pixels that sizes are cropped to multiples of; None for the least
            common multiple of the scales.
        sub_image: Side of the parts that images are cut into, in ground-truth pixels, a multiple
            of ``multiple``; 0 for whole images.
        step: Distance from one part to the next, in ground-truth pixels, a multiple as well; None
            for half of a part.
        workers: Number of processes; None for one per CPU core.
        verify: Test set (``'Set5'``, ``'Set14'``, ``'B100'`` or ``'Urban100'``) whose published
            PSNR of bicubic enlargement the images must reproduce.

    Returns:
        The folders by scale; the ground truth has scale 1.

    Raises:
        DataError: Some images are invalid (all of them are named, the others are processed), or
            the images are not those of the test set.
        OptionError: The sizes contradict each other, or ``out`` was created with other settings.
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
            f'{spelled("sub_image")} {sub_image} {spelled("step")} {step}; expected multiples of '
            f'{multiple}, with a step not larger than the sub-image'
        )
    if verify and sub_image:
        raise OptionError(
            f'{spelled("verify")}: not allowed with {spelled("sub_image")}; test sets consist of '
            'whole images'
        )
    from .run import Layout, prepare

    layout = Layout(Path(out), tuple(scales), multiple, sub_image, step)
    prepare(Path(folder), layout, os.cpu_count() or 1 if workers is None else workers, verify)
    return layout.folders()
