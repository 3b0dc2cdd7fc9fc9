"""Spatial affinity of feature maps, and the distance between two of them.

The distance is computed without holding a whole affinity map.
"""

from typing import Any, cast

import torch

_EPS = 1e-8


def affinity(feature: torch.Tensor) -> torch.Tensor:
    r"""Compute the cosine similarity of every two pixels.

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
    # Not torch.norm: its gradient at a zero vector is not finite where sqrt's is.
    norm = flat.square().sum(1, keepdim=True).clamp_min(1e-24).sqrt()
    return flat / (norm + _EPS)


class _AffinityDistance(torch.autograd.Function):
    """Mean |SᵀS − TᵀT| and its gradient with respect to S, by strips of rows of some images.

    The difference D is symmetric: of each strip only what is right of the diagonal is computed, and
    counts twice. With the sign matrix G of D the gradient is 2 S G / n, which comes out of the same
    strips, so that backward has nothing left to do and no strip outlives its turn.
    """

    @staticmethod
    def forward(
        ctx: Any, student: torch.Tensor, teacher: torch.Tensor, strip_bytes: int
    ) -> torch.Tensor:
        b, _, n = student.shape
        count = b * n * n
        images = min(b, max(1, strip_bytes // (4 * n * n)))
        rows = max(1, strip_bytes // (4 * n * images))
        total = student.new_zeros((), dtype=torch.float64)
        gradient = torch.zeros_like(student) if ctx.needs_input_grad[0] else None
        for first, start in (
            (first, start) for first in range(0, b, images) for start in range(0, n, rows)
        ):
            s = student[first : first + images]
            t = teacher[first : first + images]
            end = min(start + rows, n)
            difference = s[:, :, start:end].transpose(1, 2) @ s[:, :, start:]
            difference -= t[:, :, start:end].transpose(1, 2) @ t[:, :, start:]
            width = end - start
            total += difference[:, :, :width].abs().sum(dtype=torch.float64)
            total += 2 * difference[:, :, width:].abs().sum(dtype=torch.float64)
            if gradient is not None:
                sign = difference.sign_()
                part = gradient[first : first + images]
                part[:, :, start:end] += s[:, :, start:] @ sign.transpose(1, 2)
                part[:, :, end:] += s[:, :, start:end] @ sign[:, :, width:]
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

    It is ``(affinity(student) - affinity(teacher)).abs().mean()``. The maps have (h · w)² elements
    for each image, 324 MiB for 16 images of 48×48. They are computed by strips of rows, and so is
    the gradient.

    Args:
        student: (b, c, h, w); the gradient goes here.
        teacher: (b, c', h, w); no gradient. The numbers of channels may differ.
        strip_bytes: Size of a strip; about three of them are in memory at a time.
            None is 64 MiB, and on a CPU 1 MiB, which its caches hold.

    Returns:
        Scalar, float32, from 0 to 2.
    """
    if strip_bytes is None:
        strip_bytes = 1 << 20 if student.device.type == 'cpu' else 64 << 20
    with torch.autocast(student.device.type, enabled=False):
        distance = _AffinityDistance.apply(
            normalize_pixels(student), normalize_pixels(teacher.detach()), strip_bytes
        )
    return cast(torch.Tensor, distance)
