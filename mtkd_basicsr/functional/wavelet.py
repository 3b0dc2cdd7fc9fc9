"""The Haar wavelet transform in a few additions, and the distance of two images over its bands."""

from torch.nn import functional as F


def haar_dwt(x):
    r"""One level of the 2-D Haar transform.

    With a, b / c, d the four pixels of a 2×2 block (a b in the upper row):

    .. math::
        LL = (a + b + c + d) / 2,\quad LH = (a + b - c - d) / 2,\quad HL = (a - b + c - d) / 2,\quad
        HH = (a - b - c + d) / 2

    An odd height or width is completed by a row or column of zeros, as ``pytorch_wavelets`` does with ``mode='zero'``.

    Args:
        x (Tensor): (b, c, h, w).

    Returns:
        tuple[Tensor, tuple[Tensor, Tensor, Tensor]]: LL and (LH, HL, HH), each (b, c, ⌈h/2⌉, ⌈w/2⌉).
    """
    h, w = x.shape[-2:]
    if h % 2 or w % 2:
        x = F.pad(x, (0, w % 2, 0, h % 2))
    upper, lower = x[..., 0::2, :], x[..., 1::2, :]
    total, difference = (upper + lower) * 0.5, (upper - lower) * 0.5
    left, right = total[..., 0::2], total[..., 1::2]
    left_d, right_d = difference[..., 0::2], difference[..., 1::2]
    return left + right, (left_d + right_d, left - right, left_d - right_d)


def haar_bands(x, level):
    """All bands of a Haar transform that the MTKD loss compares: the last low band and three high bands of each level.

    Args:
        x (Tensor): (b, c, h, w).
        level (int): How often the low band is transformed again, K in the paper.

    Returns:
        list[Tensor]: 3 · level + 1 bands.
    """
    bands = []
    for _ in range(level):
        x, high = haar_dwt(x)
        bands.extend(high)
    return bands + [x]


def mean_absolute(bands, reduction='mean'):
    """Sum over bands of the mean (or the sum) of absolute values within the band.

    Args:
        bands (list[Tensor]): Tensors of any shapes.
        reduction (str): ``'mean'`` or ``'sum'``.

    Returns:
        Tensor: A scalar.
    """
    return sum(getattr(band.abs(), reduction)() for band in bands)
