"""Spatial affinity of feature maps, and the distance between two affinity maps.

The distance is computed without ever holding a whole affinity map.
"""

from typing import Any, cast

import torch

_EPS = 1e-8
# Size of a strip: on a CPU one that fits its caches; on a GPU, whose kernels are short beside the
# time to launch them, one of several whole maps.
_CPU_STRIP_BYTES = 1 << 20
_STRIP_BYTES = 256 << 20


def affinity(feature: torch.Tensor) -> torch.Tensor:
    r"""Compute the cosine similarity of every pair of pixels.

    .. math::
        A = \hat F^T \hat F, \quad \hat F_{:,p} = F_{:,p} / (\|F_{:,p}\|_2 + 10^{-8})

    He et al.: *FAKD: Feature-Affinity Based Knowledge Distillation for Efficient Image
    Super-Resolution*, ICIP 2020.

    Args:
        feature: (b, c, h, w).

    Returns:
        (b, h · w, h · w), in [-1, 1].
    """
    unit = normalize_pixels(feature)
    return unit.transpose(1, 2) @ unit


def normalize_pixels(feature: torch.Tensor) -> torch.Tensor:
    """Divide every pixel's vector by its L2 norm: (b, c, h, w) -> (b, c, h · w), float32."""
    flat = feature.float().flatten(2)
    # Not torch.norm: its gradient at a zero vector is not finite; that of the clamped sqrt is.
    norm = flat.square().sum(1, keepdim=True).clamp_min(1e-24).sqrt()
    return flat / (norm + _EPS)


def _by_values(x: torch.Tensor) -> torch.Tensor:
    """Add up magnitudes with a pass for each operation: a scalar, float64."""
    return x.abs().sum(dtype=torch.float64)


def _by_rows(x: torch.Tensor) -> torch.Tensor:
    """Add up magnitudes in a single pass over the values: a scalar, float64.

    Only the sums of rows are converted to float64; converting the values would write twice as much
    as there is to read.
    """
    row_sums: torch.Tensor = torch.linalg.vector_norm(x, 1, dim=-1)
    return row_sums.sum(dtype=torch.float64)


def _sum_of_magnitudes(x: torch.Tensor) -> torch.Tensor:
    # On a CPU, whose strips stay in its cache, the single pass is slower by 5 %.
    return _by_values(x) if x.device.type == 'cpu' else _by_rows(x)


class _AffinityDistance(torch.autograd.Function):
    """Mean |SᵀS − TᵀT| and its gradient with respect to S, by strips of rows of a few images.

    S and T are (c, n) for one image, D = SᵀS − TᵀT is (n, n) and symmetric, and the value is
    v = Σ |D_pq| / count. A strip holds the rows p in [start, end) and only the columns q ≥ start:
    what is left of it has been counted in earlier strips, as D_pq = D_qp. Its diagonal block
    (q < end) therefore counts once, and the rest (q ≥ end) twice.

    With G = sign(D), dv = Σ G_pq dD_pq / count, where dD = dSᵀ S + Sᵀ dS. As G is symmetric, both
    terms are equal, and ∂v/∂S = 2 S G / count. Column p of S G is Σ_q S_q G_qp: a strip adds the
    columns q ≥ start to the p inside of it and, mirrored, its own rows to the columns p ≥ end.
    So the gradient comes out of the same strips as the value: backward has nothing left to do, and
    no strip is kept.
    """

    @staticmethod
    def forward(
        ctx: Any, student: torch.Tensor, teacher: torch.Tensor, strip_bytes: int
    ) -> torch.Tensor:
        b, _, n = student.shape
        count = b * n * n
        # As many images at a time as whole maps fit into a strip, else the rows of one map.
        images = min(b, max(1, strip_bytes // (4 * n * n)))
        rows = max(1, strip_bytes // (4 * n * images))
        total = student.new_zeros((), dtype=torch.float64)
        gradient = torch.zeros_like(student) if ctx.needs_input_grad[0] else None
        for first in range(0, b, images):
            s = student[first : first + images]
            t = teacher[first : first + images]
            for start in range(0, n, rows):
                end = min(start + rows, n)
                width = end - start
                difference = s[:, :, start:end].transpose(1, 2) @ s[:, :, start:]
                t_rows = t[:, :, start:end].transpose(1, 2)
                difference.baddbmm_(t_rows, t[:, :, start:], alpha=-1)
                total += _sum_of_magnitudes(difference[:, :, :width])
                if end < n:
                    total += 2 * _sum_of_magnitudes(difference[:, :, width:])
                if gradient is not None:
                    sign = difference.sign_()
                    part = gradient[first : first + images]
                    part[:, :, start:end].baddbmm_(s[:, :, start:], sign.transpose(1, 2))
                    if end < n:
                        part[:, :, end:].baddbmm_(s[:, :, start:end], sign[:, :, width:])
        if gradient is not None:
            ctx.save_for_backward(gradient.mul_(2 / count))
        return (total / count).float()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output, None, None


def affinity_distance(
    student: torch.Tensor, teacher: torch.Tensor, strip_bytes: int | None = None
) -> torch.Tensor:
    """Compute the mean absolute difference of two affinity maps.

    It equals ``(affinity(student) - affinity(teacher)).abs().mean()``. A map has (h · w)² elements
    for each image, 324 MiB for 16 images of 48×48; it is computed in strips of rows, and so is the
    gradient.

    Args:
        student: (b, c, h, w); receives the gradient.
        teacher: (b, c', h, w); receives none. The numbers of channels may differ.
        strip_bytes: Size of a strip; about two of them are in memory at a time.
            None is 1 MiB on a CPU and 256 MiB elsewhere.

    Returns:
        Scalar, float32, from 0 to 2.
    """
    if strip_bytes is None:
        strip_bytes = _CPU_STRIP_BYTES if student.device.type == 'cpu' else _STRIP_BYTES
    with torch.autocast(student.device.type, enabled=False):
        distance = _AffinityDistance.apply(
            normalize_pixels(student), normalize_pixels(teacher.detach()), strip_bytes
        )
    return cast(torch.Tensor, distance)
