"""The Haar wavelet transform, and the L1 distance of two images over its bands."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

# Horizontal edges (LH), vertical edges (HL) and diagonals (HH).
HighBands = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

# Weights of the high bands: each counts by its own mean, as the low band does, or the three of a
# level by one mean over all of their values, which is a third of the sum of their means.
BAND_MEANS = {'each': 1.0, 'joint': 1 / 3}

# Values that the closed-form gradient works on at a time on a CPU: 1 MiB in fp32, which fits the
# cache of a core.
CHUNK_VALUES = 2**18


def haar_dwt(x: torch.Tensor) -> tuple[torch.Tensor, HighBands]:
    r"""Apply one level of the 2-D Haar transform.

    With a, b / c, d the four pixels of a 2×2 block (a b in the upper row):

    .. math::
        LL = (a + b + c + d) / 2,\quad LH = (a + b - c - d) / 2,\quad HL = (a - b + c - d) / 2,\quad
        HH = (a - b - c + d) / 2

    An odd height or width is completed by a row or column of zeros, as ``pytorch_wavelets`` does
    with ``mode='zero'``.

    Args:
        x: (b, c, h, w).

    Returns:
        LL and (LH, HL, HH), each (b, c, ⌈h/2⌉, ⌈w/2⌉).
    """
    h, w = x.shape[-2:]
    if h % 2 or w % 2:
        x = F.pad(x, (0, w % 2, 0, h % 2))
    upper = x[..., 0::2, :]
    lower = x[..., 1::2, :]
    # First the two rows of a block, (a + c) / 2, (b + d) / 2 and (a - c) / 2, (b - d) / 2; then its
    # two columns.
    total = (upper + lower) * 0.5
    difference = (upper - lower) * 0.5
    left_total = total[..., 0::2]
    right_total = total[..., 1::2]
    left_difference = difference[..., 0::2]
    right_difference = difference[..., 1::2]
    ll = left_total + right_total
    lh = left_difference + right_difference
    hl = left_total - right_total
    hh = left_difference - right_difference
    return ll, (lh, hl, hh)


def haar_bands(x: torch.Tensor, level: int) -> list[torch.Tensor]:
    """Compute all bands of a Haar transform that the MTKD loss compares.

    Args:
        x: (b, c, h, w).
        level: Number of levels, K in the paper: how many times the low band is transformed.

    Returns:
        3 · level + 1 bands: three high bands of each level, and the last low band.
    """
    bands: list[torch.Tensor] = []
    for _ in range(level):
        x, high = haar_dwt(x)
        bands.extend(high)
    return bands + [x]


def high_weight(band_mean: str, reduction: str) -> float:
    """Return the weight of a high band in a sum over bands, in which the low band has 1.

    Args:
        band_mean: A key of :data:`BAND_MEANS`.
        reduction: ``'mean'`` or ``'sum'``; a sum over three bands is that of their values.
    """
    return BAND_MEANS[band_mean] if reduction == 'mean' else 1.0


def band_l1(
    bands: Iterable[torch.Tensor],
    reduction: str = 'mean',
    weights: Sequence[float] | None = None,
) -> torch.Tensor:
    """Add up the L1 norms of bands, each averaged or summed over the values of the band.

    Args:
        bands: Tensors of any shapes, at least one.
        reduction: ``'mean'`` or ``'sum'``.
        weights: A weight for each band; None for 1.

    Returns:
        A scalar.
    """
    total: torch.Tensor | int = 0
    for i, band in enumerate(bands):
        magnitude = band.abs()
        norm = magnitude.sum() if reduction == 'sum' else magnitude.mean()
        total = total + (norm if weights is None else weights[i] * norm)
    return cast(torch.Tensor, total)


def _half(size: int) -> int:
    """Return the size of a band: half of the image's, rounded up."""
    return (size + 1) // 2


def _butterfly(x: torch.Tensor, factor: complex) -> torch.Tensor:
    """Transform each 2×2 block in its place: the Haar transform, or its adjoint, up to signs.

    Neighbours in a row are taken as one complex number, because slicing every second column would
    read memory in strides. First the rows of a block, a b over c d, become their sum a + c, b + d
    and their difference a - c, b - d. Then each row p + qi is multiplied by the factor: the product
    (p + qi) · (1 - i) is (p + q) + (q - p)i, the sum and the difference of the columns at once.
    With the factor (1 - i) / 2 a block of the result is

    .. code-block:: text

        LL  -HL
        LH  -HH

    with the bands of :func:`haar_dwt`. This map is orthogonal; the conjugate factor, (1 + i) / 2,
    gives its adjoint, which is its inverse.

    Args:
        x: (n, h, w), h and w even.
        factor: The number that multiplies the complex numbers.

    Returns:
        (n, h, w).
    """
    n, h, w = x.shape
    rows = x.view(n, h // 2, 2, w)
    out = torch.empty_like(rows)
    torch.add(rows[:, :, 0], rows[:, :, 1], out=out[:, :, 0])
    torch.sub(rows[:, :, 0], rows[:, :, 1], out=out[:, :, 1])
    torch.view_as_complex(out.view(n, h, w // 2, 2)).mul_(factor)
    return out.view(n, h, w)


def _band_gradient(
    x: torch.Tensor, level: int, scale: float, mean: bool, high: float
) -> torch.Tensor:
    """Compute the gradient of ``scale`` · Σ |bands of x| with respect to x.

    The transform W is linear, so that the gradient of Σ |W x| is Wᵀ sign(W x). A low band that is
    transformed again contributes, in the place of its signs, the gradient of the levels below.

    Args:
        x: (n, h, w).
        level: Levels of the transform.
        scale: Weight of the bands of this level and all below.
        mean: Whether each band counts by its mean, not its sum: then the bands of the next
            level, which are smaller, weigh more by the ratio of the sizes.
        high: Weight of the high bands, relative to the low band.

    Returns:
        (n, h, w).
    """
    h, w = x.shape[-2:]
    if h % 2 or w % 2:
        x = F.pad(x, (0, w % 2, 0, h % 2))
    bands = _butterfly(x, 0.5 - 0.5j)
    signs = bands.sign()
    if high != 1:
        # The weights of two rows, as the bands lie in them, rather than slices of every second
        # column. They are those of the low band (1) and of the three high bands.
        weights = x.new_full((2, signs.shape[-1]), high)
        weights[0, 0::2] = 1
        signs.view(len(signs), -1, 2, signs.shape[-1]).mul_(weights)
    if level > 1:
        low = bands[:, 0::2, 0::2].contiguous()
        h2, w2 = low.shape[-2:]
        ratio = h2 * w2 / (_half(h2) * _half(w2)) if mean else 1.0
        signs[:, 0::2, 0::2] = _band_gradient(low, level - 1, ratio, mean, high)
    # The adjoint. Where a band has the opposite sign in _butterfly, it cancels in Wᵀ sign(W x).
    return _butterfly(signs, (0.5 + 0.5j) * scale)[:, :h, :w]


class _HaarL1(torch.autograd.Function):
    """See :func:`haar_l1`."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, y: torch.Tensor, level: int, reduction: str, high: float
    ) -> torch.Tensor:
        b, c, h, w = x.shape
        gradient = torch.empty((b * c, h, w), dtype=x.dtype, device=x.device)
        mean = reduction == 'mean'
        scale = 1 / (b * c * _half(h) * _half(w)) if mean else 1.0
        planes = max(1, CHUNK_VALUES // (h * w)) if x.device.type == 'cpu' else b * c
        x_planes = x.reshape(b * c, h, w).split(planes)
        y_planes = y.reshape(b * c, h, w).split(planes)
        gradient_planes = gradient.split(planes)
        value = x.new_zeros(())
        for x_i, y_i, gradient_i in zip(x_planes, y_planes, gradient_planes, strict=True):
            difference = torch.sub(x_i, y_i).contiguous()
            gradient_i.copy_(_band_gradient(difference, level, scale, mean, high))
            # The value f = Σ |bands| is homogeneous of degree 1 in the difference d, f(td) = t f(d)
            # for t > 0; so f(d) is the scalar product of d and the gradient (Euler).
            value += difference.mul_(gradient_i).sum()
        ctx.save_for_backward(gradient.view(b, c, h, w))
        return value

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (
            gradient * grad if ctx.needs_input_grad[0] else None,
            gradient * -grad if ctx.needs_input_grad[1] else None,
            None,
            None,
            None,
        )


def haar_l1(
    x: torch.Tensor,
    y: torch.Tensor,
    level: int,
    reduction: str = 'mean',
    band_mean: str = 'each',
) -> torch.Tensor:
    """Compute the distance of two images over their bands, with its gradient in closed form.

    The value is that of ``band_l1(haar_bands(x - y, level), reduction)``, with the high bands
    weighted by :func:`high_weight`. The gradient is the signs of the bands, transformed back; a
    coefficient of 0 adds nothing to it. It is computed together with the value, on a CPU a few
    planes at a time, so that intermediate results stay in the cache.

    Args:
        x, y: (b, c, h, w), the same shape, fp32 or fp64.
        level: Levels of the transform.
        reduction: ``'mean'`` or ``'sum'`` within each band.
        band_mean: ``'each'``, or ``'joint'`` for one mean over the high bands of a level.

    Returns:
        A scalar.

    Raises:
        RuntimeError: In the backward pass, if a second derivative is asked for.
    """
    high = high_weight(band_mean, reduction)
    return cast(torch.Tensor, _HaarL1.apply(x, y, level, reduction, high))
