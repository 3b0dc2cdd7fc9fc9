"""The Haar wavelet transform in a few additions, and the distance of two images over its bands."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

# Horizontal edges (LH), vertical edges (HL) and diagonals (HH).
HighBands = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

# Values that the closed-form gradient works on at a time on a CPU: 1 MiB in fp32, which stays in a
# core's cache.
CHUNK = 2**18


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
    total = (upper + lower) * 0.5
    difference = (upper - lower) * 0.5
    left = total[..., 0::2]
    right = total[..., 1::2]
    left_d = difference[..., 0::2]
    right_d = difference[..., 1::2]
    return left + right, (left_d + right_d, left - right, left_d - right_d)


def inverse_haar_dwt(
    low: torch.Tensor, high: Iterable[torch.Tensor], size: Sequence[int]
) -> torch.Tensor:
    """Put the image together from the bands of one level of the transform.

    Args:
        low, high: As :func:`haar_dwt` gives them.
        size: Height and width of the image.

    Returns:
        (b, c, h, w).
    """
    lh, hl, hh = high
    upper = low + lh
    lower = low - lh
    columns = hl + hh
    more = hl - hh
    blocks = torch.stack([upper + columns, upper - columns, lower + more, lower - more], 2) / 2
    return F.pixel_shuffle(blocks.flatten(1, 2), 2)[..., : size[0], : size[1]]


@torch.no_grad()
def where_nearer(output: torch.Tensor, target: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Take the target where it is nearer to the ground truth, and the student's output elsewhere.

    Chosen for each Haar coefficient of one level: a loss over them has no gradient where the
    student is the better one already.

    Args:
        output, target, truth: (b, c, h, w), the same shape.

    Returns:
        (b, c, h, w), without gradients.
    """
    own, others, wanted = (
        torch.stack((low, *high)) for low, high in map(haar_dwt, (output, target, truth))
    )
    low, *high = torch.where((others - wanted).abs() < (own - wanted).abs(), others, own)
    return inverse_haar_dwt(low, high, output.shape[-2:])


def haar_bands(x: torch.Tensor, level: int) -> list[torch.Tensor]:
    """Compute all bands of a Haar transform that the MTKD loss compares.

    Args:
        x: (b, c, h, w).
        level: How often the low band is transformed again, K in the paper.

    Returns:
        3 · level + 1 bands: three high bands of each level, and the last low band.
    """
    bands: list[torch.Tensor] = []
    for _ in range(level):
        x, high = haar_dwt(x)
        bands.extend(high)
    return bands + [x]


def mean_absolute(bands: Iterable[torch.Tensor], reduction: str = 'mean') -> torch.Tensor:
    """Add up the means (or the sums) of the absolute values within each band.

    Args:
        bands: Tensors of any shapes, at least one.
        reduction: ``'mean'`` or ``'sum'``.

    Returns:
        A scalar.
    """
    return cast(torch.Tensor, sum(getattr(band.abs(), reduction)() for band in bands))


def _butterfly(x: torch.Tensor, factor: complex) -> torch.Tensor:
    """Apply the Haar transform, up to ``factor`` and signs, and keep each 2×2 block in its place.

    A block of the result is LL, HL above LH, HH. Neighbours in a row are taken as one complex
    number: the product (a + bi) · (1 - i) is a + b and b - a at once, where slicing every second
    column would read memory in strides.

    Args:
        x: (n, h, w), h and w even.
        factor: What the complex numbers are multiplied by.

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


def _band_gradient(x: torch.Tensor, level: int, scale: float, mean: bool) -> torch.Tensor:
    """Compute the gradient of ``scale`` · Σ |bands of x|, x and gradient (n, h, w).

    With ``mean`` the next level weighs more, as its bands are smaller and each counts by its mean.
    """
    h, w = x.shape[-2:]
    if h % 2 or w % 2:
        x = F.pad(x, (0, w % 2, 0, h % 2))
    bands = _butterfly(x, 0.5 - 0.5j)
    signs = bands.sign()
    if level > 1:
        low = bands[:, 0::2, 0::2].contiguous()
        h2, w2 = low.shape[-2:]
        ratio = h2 * w2 / (-(-h2 // 2) * -(-w2 // 2)) if mean else 1.0
        signs[:, 0::2, 0::2] = _band_gradient(low, level - 1, ratio, mean)
    # The transform is orthogonal: its adjoint, with the conjugate factor, is its inverse.
    return _butterfly(signs, (0.5 + 0.5j) * scale)[:, :h, :w]


class _HaarL1(torch.autograd.Function):
    """See :func:`haar_l1`."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, y: torch.Tensor, level: int, reduction: str
    ) -> torch.Tensor:
        b, c, h, w = x.shape
        gradient = torch.empty((b * c, h, w), dtype=x.dtype, device=x.device)
        scale = 1 / (b * c * -(-h // 2) * -(-w // 2)) if reduction == 'mean' else 1.0
        planes = max(1, CHUNK // (h * w)) if x.device.type == 'cpu' else b * c
        value = x.new_zeros(())
        for x_i, y_i, gradient_i in zip(
            *(t.reshape(b * c, h, w).split(planes) for t in (x, y, gradient)), strict=True
        ):
            difference = torch.sub(x_i, y_i).contiguous()
            gradient_i.copy_(_band_gradient(difference, level, scale, reduction == 'mean'))
            # Σ |band| has degree 1 in the difference: it is the scalar product of difference and
            # gradient.
            value += difference.mul_(gradient_i).sum()
        ctx.save_for_backward(gradient.view(b, c, h, w))
        return value

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (
            gradient * grad if ctx.needs_input_grad[0] else None,
            gradient * -grad if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


def haar_l1(x: torch.Tensor, y: torch.Tensor, level: int, reduction: str = 'mean') -> torch.Tensor:
    """Compute the distance of two images over their bands, with its gradient in closed form.

    The value is that of ``mean_absolute(haar_bands(x - y, level), reduction)``. The signs of the
    bands, transformed back, are the gradient; a band that is 0 adds nothing to it. It is computed
    together with the value, on a CPU a few planes at a time, so that what lies between stays in the
    cache. A second derivative raises RuntimeError.

    Args:
        x, y: (b, c, h, w), the same shape, fp32 or fp64.
        level: Levels of the transform.
        reduction: ``'mean'`` or ``'sum'`` within each band.

    Returns:
        A scalar.
    """
    return cast(torch.Tensor, _HaarL1.apply(x, y, level, reduction))
