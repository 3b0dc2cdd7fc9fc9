"""The Haar wavelet transform in a few additions, and the distance of two images over its bands."""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Values that the closed-form gradient works on at a time on a CPU: 1 MiB in fp32, which stays in a
# core's cache.
_CHUNK = 2**18


def haar_dwt(x):
    r"""One level of the 2-D Haar transform.

    With a, b / c, d the four pixels of a 2×2 block (a b in the upper row):

    .. math::
        LL = (a + b + c + d) / 2,\quad LH = (a + b - c - d) / 2,\quad HL = (a - b + c - d) / 2,\quad
        HH = (a - b - c + d) / 2

    An odd height or width is completed by a row or column of zeros, as ``pytorch_wavelets`` does
    with ``mode='zero'``.

    Args:
        x (Tensor): (b, c, h, w).

    Returns:
        tuple[Tensor, tuple[Tensor, Tensor, Tensor]]: LL and (LH, HL, HH), each (b, c, ⌈h/2⌉,
        ⌈w/2⌉).
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


def inverse_haar_dwt(low, high, size):
    """The image of one level of the transform.

    Args:
        low (Tensor), high (tuple[Tensor, Tensor, Tensor]): As :func:`haar_dwt` gives them.
        size (tuple[int, int]): Height and width of the image.

    Returns:
        Tensor: (b, c, h, w).
    """
    lh, hl, hh = high
    upper = low + lh
    lower = low - lh
    columns = hl + hh
    more = hl - hh
    blocks = torch.stack([upper + columns, upper - columns, lower + more, lower - more], 2) / 2
    return F.pixel_shuffle(blocks.flatten(1, 2), 2)[..., : size[0], : size[1]]


@torch.no_grad()
def where_nearer(output, target, truth):
    """The target where it is nearer to the ground truth than the output of a student, and that
    output elsewhere.

    Chosen for each Haar coefficient of one level: a loss over them has no gradient where the
    student is the better one already.

    Args:
        output, target, truth (Tensor): (b, c, h, w), the same shape.

    Returns:
        Tensor: (b, c, h, w), without gradients.
    """
    own, others, wanted = (
        torch.stack((low, *high)) for low, high in map(haar_dwt, (output, target, truth))
    )
    low, *high = torch.where((others - wanted).abs() < (own - wanted).abs(), others, own)
    return inverse_haar_dwt(low, high, output.shape[-2:])


def haar_bands(x, level):
    """All bands of a Haar transform that the MTKD loss compares: the last low band and three high
    bands of each level.

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


def _butterfly(x, factor):
    """The Haar transform of (n, h, w), h and w even, up to ``factor`` and signs, each 2×2 block
    kept in its place.

    A block of the result is LL, HL above LH, HH. Neighbours in a row are taken as one complex
    number: the product (a + bi) · (1 - i) is a + b and b - a at once, where slicing every
        second column would read memory in strides.
    """
    n, h, w = x.shape
    rows = x.view(n, h // 2, 2, w)
    out = torch.empty_like(rows)
    torch.add(rows[:, :, 0], rows[:, :, 1], out=out[:, :, 0])
    torch.sub(rows[:, :, 0], rows[:, :, 1], out=out[:, :, 1])
    torch.view_as_complex(out.view(n, h, w // 2, 2)).mul_(factor)
    return out.view(n, h, w)


def _band_gradient(x, level, scale, mean):
    """Gradient of ``scale`` · Σ |bands of x|, x and gradient (n, h, w).

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
    def forward(ctx, x, y, level, reduction):
        b, c, h, w = x.shape
        gradient = torch.empty((b * c, h, w), dtype=x.dtype, device=x.device)
        scale = 1 / (b * c * -(-h // 2) * -(-w // 2)) if reduction == 'mean' else 1.0
        planes = max(1, _CHUNK // (h * w)) if x.device.type == 'cpu' else b * c
        value = x.new_zeros(())
        for x_i, y_i, gradient_i in zip(
            *(t.reshape(b * c, h, w).split(planes) for t in (x, y, gradient))
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
    def backward(ctx, grad):
        (gradient,) = ctx.saved_tensors
        return (
            gradient * grad if ctx.needs_input_grad[0] else None,
            gradient * -grad if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


def haar_l1(x, y, level, reduction='mean'):
    """``mean_absolute(haar_bands(x - y, level), reduction)`` with its gradient in closed form.

    The signs of the bands, transformed back, are the gradient; a band that is 0 adds nothing to it.
    It is computed together with the value, on a CPU a few planes at a time, so that what lies
    between stays in the cache. A second derivative raises RuntimeError.

    Args:
        x, y (Tensor): (b, c, h, w), the same shape, fp32 or fp64.
        level (int): Levels of the transform.
        reduction (str): ``'mean'`` or ``'sum'`` within each band.

    Returns:
        Tensor: A scalar.
    """
    return _HaarL1.apply(x, y, level, reduction)
