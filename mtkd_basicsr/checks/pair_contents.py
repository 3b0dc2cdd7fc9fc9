"""Whether a low-resolution image shows its ground truth, by comparing reduced images.

Degraded images must pass: blur, noise, compression and other brightness hardly change an image that
is reduced to a few thousand pixels.
"""

from typing import NamedTuple

import cv2
import numpy as np

from ..utils.picture import turn

# Images are compared at this length of their longer side, and shifts in this many pixels.
_SIDE = 48
_SHIFT_SIDE = 256
# Least standard deviation, of 255, that something can be seen in.
_MIN_CONTRAST = 10
# Correlations: of images of something else, and of images of the same.
_OTHER = 0.5
_DOUBTFUL = 0.7
_SAME = 0.9
# A shift, in low-resolution pixels, that no way of reducing images makes; and its peak.
_MIN_SHIFT = 0.75
_MIN_RESPONSE = 0.2
_MIN_SHIFT_SIDE = 16
_BETTER = 0.3
_BORDER = 4
_TURNS = {
    2: 'mirrored',
    3: 'turned by 180°',
    4: 'mirrored upside down',
    5: 'turned by 90° and mirrored',
    6: 'turned by 90°',
    7: 'turned by 90° and mirrored',
    8: 'turned by 90°',
}


class Mismatch(NamedTuple):
    """How a low-resolution image does not belong to its ground truth.

    Attributes:
        kind: ``'turned'``, which is certain; ``'other'`` or ``'shifted'``, which a strange
            degradation could be.
        text: In a few words.
    """

    kind: str
    text: str


def _reduced(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return brightness at a size of (width, height), float32 with a mean of zero."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    centred: np.ndarray = small - small.mean()
    return centred


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a = a - a.mean()
    b = b - b.mean()
    return float((a * b).sum() / (np.sqrt((a * a).sum() * (b * b).sum()) + 1e-6))


def find_mismatch(gt: np.ndarray, lq: np.ndarray, scale: int) -> Mismatch | None:
    """Compare a low-resolution image with its ground truth.

    Args:
        gt: (h, w, 3), BGR, uint8, at least ``scale`` times as large as ``lq``; what is more is cut
            off.
        lq: (h, w, 3), BGR, uint8.
        scale: Upscaling factor.

    Returns:
        How they differ; None if they fit, or if too little can be seen in them.
    """
    h, w = lq.shape[:2]
    gt = gt[: h * scale, : w * scale]
    ratio = min(1, _SIDE / max(h, w))
    size = max(1, round(w * ratio)), max(1, round(h * ratio))
    small_gt = _reduced(gt, size)
    small_lq = _reduced(lq, size)
    if min(small_gt.std(), small_lq.std()) < _MIN_CONTRAST:
        return None
    fit = _correlation(small_gt, small_lq)
    if fit < _DOUBTFUL:
        fits = {}
        for orientation in _TURNS:
            turned = turn(small_gt, orientation)
            if turned.shape == small_lq.shape:
                fits[orientation] = _correlation(turned, small_lq)
        best = max(fits, key=fits.__getitem__)
        if fits[best] > _SAME:
            return Mismatch('turned', _TURNS[best])
    if fit < _OTHER:
        return Mismatch('other', f'correlation {fit:.2f}')
    shift = _shift(gt, lq)
    return None if shift is None else Mismatch('shifted', f'by {shift[0]:.1f}, {shift[1]:.1f}')


def _shift(gt: np.ndarray, lq: np.ndarray) -> tuple[float, float] | None:
    """Return by how many low-resolution pixels an image is shifted; None if it is not."""
    h, w = lq.shape[:2]
    if min(h, w) < _MIN_SHIFT_SIDE:
        return None
    y = max((h - _SHIFT_SIDE) // 2, 0)
    x = max((w - _SHIFT_SIDE) // 2, 0)
    part = slice(y, y + _SHIFT_SIDE), slice(x, x + _SHIFT_SIDE)
    a = _reduced(gt, (w, h))[part]
    b = _reduced(lq, (w, h))[part]
    window = cv2.createHanningWindow((a.shape[1], a.shape[0]), cv2.CV_32F)
    (dx, dy), response = cv2.phaseCorrelate(a, b, window)
    if max(abs(dx), abs(dy)) < _MIN_SHIFT or response < _MIN_RESPONSE:
        return None
    moved = cv2.warpAffine(a, np.array([[1, 0, dx], [0, 1, dy]]), (a.shape[1], a.shape[0]))
    # Blur along a line has such a peak too, but moving the image makes it fit no better.
    inner = slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER)
    before = _correlation(a[inner], b[inner])
    after = _correlation(moved[inner], b[inner])
    return (dx, dy) if 1 - after < _BETTER * (1 - before) else None
