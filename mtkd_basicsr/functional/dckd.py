"""The parts of DCKD: noisy inputs for negatives, a contrastive distance, and a loss over codes.

Zhou et al., AAAI 2025, https://arxiv.org/abs/2412.08939.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch.nn.functional import l1_loss, log_softmax

# Weights of the five levels of an encoder, λ, from full resolution to the smallest.
LEVEL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
# Standard deviation of the noise, and how often it is grey.
_SIGMA = (1 / 255, 30 / 255)
_GREY_PROBABILITY = 0.5
_EPSILON = 1e-7


def add_noise(x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Add Gaussian noise to each image, of a random strength, in colour or grey.

    σ is uniform in [1, 30] / 255. The result is clamped to the range of images.

    Args:
        x: (b, 3, h, w), [0, 1].
        generator: Generator on the CPU.

    Returns:
        (b, 3, h, w), [0, 1].
    """
    b = len(x)
    smallest, largest = _SIGMA
    sigma = smallest + (largest - smallest) * torch.rand(b, 1, 1, 1, generator=generator)
    is_grey = torch.rand(b, 1, 1, 1, generator=generator) < _GREY_PROBABILITY
    noise = torch.randn(x.shape, generator=generator)
    noise = torch.where(is_grey, noise[:, :1], noise) * sigma
    return (x + noise.to(x)).clamp(0, 1)


def contrastive_distance(
    student: Sequence[torch.Tensor],
    teacher: Sequence[torch.Tensor],
    negatives: Iterable[Sequence[torch.Tensor]],
) -> torch.Tensor:
    r"""Compute how near the student is to the teacher, relative to worse images.

    .. math::
        L_{dcl} = \sum_i \lambda_i
        \frac{\overline{|f_i(S) - f_i(T)|}}{\sum_j \overline{|f_i(S) - f_i(N_j)|} + 10^{-7}}

    Args:
        student: Features of the student's image, one tensor for each of the five levels.
        teacher: Features of the teacher's image, the same shapes.
        negatives: Features of each negative, the same shapes.

    Returns:
        A scalar.
    """
    to_negatives: list[torch.Tensor | float] = [0.0] * len(LEVEL_WEIGHTS)
    for negative in negatives:
        for i, (own, other) in enumerate(zip(student, negative, strict=True)):
            to_negatives[i] = to_negatives[i] + l1_loss(own, other)
    total: torch.Tensor | float = 0.0
    for i, weight in enumerate(LEVEL_WEIGHTS):
        distance = l1_loss(student[i], teacher[i])
        total = total + weight * distance / (to_negatives[i] + _EPSILON)
    return cast(torch.Tensor, total)


def _log_code_probabilities(latents: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the softmax of the negative squared distances to all codes.

    |z|² is the same for all codes, and drops out of the softmax.

    Args:
        latents: (b, d, h, w).
        codes: (k, d).

    Returns:
        (b, h, w, k).
    """
    products = latents.movedim(1, -1) @ codes.T
    return log_softmax(2 * products - codes.square().sum(1), -1)


def code_cross_entropy(
    student: torch.Tensor, teacher: torch.Tensor, codes: torch.Tensor
) -> torch.Tensor:
    r"""Compute the cross-entropy of two images over the codes of a codebook.

    .. math::
        L_{ce} = -\overline{\sum_k p_k(T) \log p_k(S)}, \quad
        p(I) = \mathrm{softmax}_k(-\|z(I) - e_k\|^2)

    with the mean over images and positions.

    Args:
        student: Latents of the student's image, (b, d, h, w).
        teacher: Latents of the teacher's image, (b, d, h, w).
        codes: The codebook, (k, d).

    Returns:
        A scalar.
    """
    log_student = _log_code_probabilities(student, codes)
    log_teacher = _log_code_probabilities(teacher, codes)
    return -(log_teacher.exp() * log_student).sum(-1).mean()
