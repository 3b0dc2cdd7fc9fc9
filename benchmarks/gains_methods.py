"""Methods and losses that were tried beside MTKD and are not part of the package: the search of
benchmarks/plans/gains.yml.

    PYTHONPATH=benchmarks mtkd compare -opt benchmarks/plans/gains.yml

Each is written from the formula of its publication, with MTKD's fused target as its teacher.
"""

from dataclasses import dataclass

import torch
from basicsr.utils.matlab_functions import imresize
from basicsr.utils.registry import LOSS_REGISTRY
from torch import nn
from torch.nn import functional as F  # noqa: N812

from mtkd_basicsr import WaveletLoss
from mtkd_basicsr.config import TargetSource
from mtkd_basicsr.distillers import Method, register_method
from mtkd_basicsr.functional.wavelet import haar_bands, haar_dwt


def confidence(error, slope=10.0, lowest=0.1, highest=0.75):
    """Weights of pixels by an error of the target: (b, 1, h, w) -> the same shape."""
    return torch.exp(-slope * error).clamp(lowest, highest)


def weighted_l1(output, target, weights, in_bands):
    """The mean of weighted differences, of pixels or summed over the bands of a Haar transform."""
    if not in_bands:
        return (weights * (output - target).abs()).mean()
    weights = F.avg_pool2d(weights, 2)
    return sum((weights * band.abs()).mean() for band in haar_bands(output - target, 1))


@register_method
class ConfidenceKD(Method):
    """Weigh the difference to the target by how near the target is to the ground truth.

    Confidence-weighted distillation, 2026, arXiv 2604.20291: exp(−10 e) between 0.1 and 0.75,
    where e is the error of the target, averaged over the channels.
    """

    @dataclass(frozen=True)
    class Options(Method.Options):
        bands: bool = False

    target_source = TargetSource.FUSED
    needs_target = True

    def losses(self, step):
        error = (step.target - step.batch.gt).abs().mean(1, keepdim=True)
        weights = confidence(error)
        loss = weighted_l1(step.output, step.target, weights, self.options.bands)
        return {'l_confidence': loss}


@register_method
class AdvantageKD(Method):
    """Learn a Haar coefficient where the target is nearer to the ground truth than the student.

    Teacher-advantage masks, 2026: two levels, a mask for the three high bands of a level together
    and one for the low band, and a quarter of the unmasked loss beside.
    """

    @dataclass(frozen=True)
    class Options(Method.Options):
        level: int = 2
        power: int = 1

    target_source = TargetSource.FUSED
    needs_target = True

    def losses(self, step):
        student, target, truth = step.output, step.target, step.batch.gt
        power = self.options.power
        masked = 0.0
        for level in range(self.options.level):
            (student, of_student), (target, of_target), (truth, of_truth) = map(
                haar_dwt, (student, target, truth)
            )
            own = sum((s - y) ** 2 for s, y in zip(of_student, of_truth))
            others = sum((t - y) ** 2 for t, y in zip(of_target, of_truth))
            mask = (others < own).float().detach()
            for s, t in zip(of_student, of_target):
                masked = masked + (mask * (s - t).abs() ** power).mean()
            if level == self.options.level - 1:
                mask = ((target - truth) ** 2 < (student - truth) ** 2).float().detach()
                masked = masked + (mask * (student - target).abs() ** power).mean()
        if power == 2:
            # Squares are about a hundredth of the absolute values.
            unmasked = ((step.output - step.target) ** 2).mean()
            return {'l_advantage': 100 * (masked + 0.25 * unmasked)}
        bands = haar_bands(step.output - step.target, self.options.level)
        return {'l_advantage': masked + 0.25 * sum(band.abs().mean() for band in bands)}


@register_method
class MeanOfTeachersKD(Method):
    """MTKD's loss on the mean of the teachers' outputs out of their cache.

    With ``rounded`` the mean is rounded to 8 bits, as a cache of targets holds it. With
    ``disagreement`` pixels are weighed by how near the teachers are to each other.
    """

    @dataclass(frozen=True)
    class Options(Method.Options):
        rounded: bool = False
        disagreement: bool = False

    needs_target = True

    def __init__(self, options, teachers, key):
        super().__init__(options, teachers, key)
        self.loss = WaveletLoss()

    def losses(self, step):
        outputs = torch.stack(step.batch.target.split(3, 1))
        target = outputs.mean(0)
        if self.options.rounded:
            target = (255 * target).round() / 255
        if not self.options.disagreement:
            return {'l_mean': self.loss(step.output, target)}
        apart = (outputs - target).abs().mean((0, 2))[:, None]
        # The teachers are about a third as far from their mean as from the ground truth.
        weights = confidence(apart, slope=30.0)
        return {'l_mean': weighted_l1(step.output, target, weights, True)}


def bicubic_matrix(size, scale):
    """MATLAB's imresize of one axis as a matrix, (size / scale, size)."""
    images = torch.eye(size)[:, :, None].expand(size, size, 4 * scale).contiguous()
    return imresize(images, 1 / scale)[:, :, 0].T.contiguous()


@register_method
class EcoKD(Method):
    """Go from the target to the ground truth in the course of the training.

    ECO, Lee & Heo, AAAI 2024, arXiv 2312.17526: a = min(1, t / (0.75 total)); the student learns
    (1 − a) T(x) + a y, with ``full`` from the input (1 − a) bicubic(T(x)) + a x.
    """

    @dataclass(frozen=True)
    class Options(Method.Options):
        total: int = 4000
        full: bool = False

    target_source = TargetSource.FUSED
    needs_target = True

    def __init__(self, options, teachers, key):
        super().__init__(options, teachers, key)
        self.loss = WaveletLoss()
        self.iteration = 0
        self.matrices = {}

    def after_step(self, iteration, averaged):
        self.iteration = iteration

    def resume(self, state, iteration, averaged):
        self.iteration = iteration

    def _smaller(self, images, size):
        scale = images.shape[-1] // size[-1]
        for n in images.shape[-2:]:
            if n not in self.matrices:
                self.matrices[n] = bicubic_matrix(n, scale).to(images)
        h, w = images.shape[-2:]
        return self.matrices[h] @ images @ self.matrices[w].T

    def losses(self, step):
        a = min(1.0, self.iteration / (0.75 * self.options.total))
        target = torch.lerp(step.target, step.batch.gt, a)
        if not self.options.full or a == 1:
            return {'l_eco': self.loss(step.output, target)}
        smaller = self._smaller(step.target, step.batch.lq.shape[-2:])
        output = step.student(torch.lerp(smaller, step.batch.lq, a))
        return {'l_eco': self.loss(output, target)}


@LOSS_REGISTRY.register()
class CharbonnierWaveletLoss(nn.Module):
    """sqrt(d² + eps²) in the place of the absolute value over the bands of a Haar transform."""

    def __init__(self, loss_weight=1.0, eps=1e-3):
        super().__init__()
        self.loss_weight = loss_weight
        self.eps = eps

    def forward(self, pred, target):
        bands = haar_bands(pred - target, 1)
        distances = [(band**2 + self.eps**2).sqrt().mean() for band in bands]
        return self.loss_weight * sum(distances)
