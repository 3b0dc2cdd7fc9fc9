"""DCKD: contrastive distillation in the feature space of a frozen encoder, and over its codes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn.functional import l1_loss

from ..config import KDOptions, choice
from ..errors import MTKDError, OptionError
from ..functional.dckd import (
    LEVEL_WEIGHTS,
    add_noise,
    code_cross_entropy,
    contrastive_distance,
)
from ..functional.dukd_augment import augment, random_flags, undo_augment
from .base import Method, Step
from .encoders import SOURCES, FrozenEncoder, missing_file
from .history import HistoryStudent
from .registry import register_method

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider

# Weight of |S(x) - F⁻¹(T(F(x)))|, which the paper does not have.
_AUGMENTED_WEIGHTS = {'paper': 0.0, 'code': 1.0}
_CODE_WEIGHT = 0.001
# Images that the history student makes for each image: of the image itself, and of noisy ones.
_NEGATIVES = 5
_PROBABILITY = 0.5


@register_method
class DCKD(Method):
    r"""Draw the student to the teacher, and away from its own past, in a frozen encoder's features.

    .. math::
        L = w_{dcl} \sum_{i=1}^{5} \lambda_i \frac{\overline{|f_i(S) - f_i(T)|}}
        {\sum_{j=0}^{4} \overline{|f_i(S) - f_i(N_j)|} + 10^{-7}} + w_{ce} L_{ce}
        \; [\, + \; w_{aug} \overline{|S(x) - F^{-1}(T(F(x)))|} \,]

    f_i is the output of the first residual block of level i of the encoder of a VQGAN, and λ is
    1/32, 1/16, 1/8, 1/4, 1. N_j are the images that a history student makes of x and of four noisy
    x. L_ce is the cross-entropy of the teacher's and the student's softmax of the negative squared
    distances to all codes of the VQGAN. With ``encoder: VGG19``, as in its predecessor CSD, f_i is
    the first activation of each resolution, and there is no L_ce. T(x) is the target of the
    training: with ``kd: {type: MTKD, also: [DCKD]}`` the fused output of all teachers.

    Zhou et al., AAAI 2025, https://arxiv.org/abs/2412.08939, added to |S - y| + |S - T|. ``form:
    code`` adds the last term, as the authors' option files do. F inverts colours, flips and
    transposes, each with probability 1/2.
    """

    @dataclass(frozen=True)
    class Options(KDOptions):
        """Keys of DCKD.

        Attributes:
            weight: Weight of the contrastive loss.
            code_weight: Weight of the loss over codes; ``~`` is 0.001, or 0 for ``VGG19``, which
                has no codes.
            form: ``paper``; or ``code`` for the loss of augmented inputs too, which the authors'
                option files have.
            augmented_weight: Weight of the loss of augmented inputs; ``~`` is 0 for ``form: paper``
                and 1 for ``form: code``.
            encoder: ``VQGAN``, or ``VGG19``.
            encoder_weights: File with the weights of the encoder: for ``VQGAN`` the checkpoint
                ``vqgan_imagenet_f16_1024`` of taming-transformers, for ``VGG19`` torchvision's
                ``vgg19-dcbb9e9d.pth``. It is needed, and not downloaded.
            history_every: Iterations between two updates of the history student, for each part of
                the training.
            history_milestones: Last iterations of all parts but the last one.
        """

        weight: float = 0.1
        code_weight: float | None = None
        form: str = 'paper'
        augmented_weight: float | None = None
        encoder: str = 'VQGAN'
        encoder_weights: str | None = None
        history_every: list = field(default_factory=lambda: [1000, 2000, 3000])
        history_milestones: list = field(default_factory=lambda: [100000, 200000])

    options: Options

    needs_target = True

    def __init__(self, options: Options, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        _check(options, key)
        self.teachers = teachers
        self.code_weight = _code_weight(options)
        self.augmented_weight = _augmented_weight(options)
        name = f'{key}.encoder_weights'
        self.encoder = FrozenEncoder(
            options.encoder, options.encoder_weights, name, teachers.device
        )
        if self.encoder.level_count != len(LEVEL_WEIGHTS):
            raise OptionError(
                f"{name}: '{options.encoder_weights}' has {self.encoder.level_count} levels; "
                f'expected {len(LEVEL_WEIGHTS)}: {SOURCES[options.encoder]}'
            )
        size = teachers.config.train_dataset.gt_size
        if size is not None and size < self.encoder.size_factor:
            raise OptionError(
                f'datasets.train.gt_size: {size}; expected at least {self.encoder.size_factor}, '
                f'because the encoder of DCKD reduces images by this factor'
            )
        self.history = HistoryStudent(teachers, options.history_every, options.history_milestones)

    @classmethod
    def asks_teacher(cls, options: KDOptions) -> bool:
        """Return whether augmented inputs are passed to the teacher."""
        return _augmented_weight(cast(DCKD.Options, options)) != 0

    @classmethod
    def weight_files(cls, options: KDOptions) -> list[str]:
        """Return the file of the encoder."""
        path = cast(DCKD.Options, options).encoder_weights
        return [] if path is None else [path]

    @classmethod
    def problems(cls, options: KDOptions, key: str) -> list[MTKDError]:
        """Return an error if the file of the encoder is missing."""
        own = cast(DCKD.Options, options)
        if own.encoder not in SOURCES:
            return []  # building the method reports it
        error = missing_file(own.encoder, own.encoder_weights, f'{key}.encoder_weights')
        return [] if error is None else [error]

    def describe(self) -> list[str]:
        """Return the encoder and the schedule of the history student."""
        every = ', '.join(str(period) for period in self.options.history_every)
        averaged = 'moving average' if self.teachers.config.ema_decay > 0 else 'student itself'
        return [
            f'DCKD: encoder {self.encoder.describe()}',
            f'DCKD: history student, updated from the {averaged} every {every} iterations',
        ]

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        target = cast(torch.Tensor, step.target)  # set because of `needs_target`
        with_codes = self.code_weight != 0
        with torch.no_grad():
            teacher = self.encoder(target, with_codes)
        student = self.encoder(step.output, with_codes)
        distance = contrastive_distance(student.features, teacher.features, self._negatives(step))
        losses = {'l_dcl': self.options.weight * distance}
        if with_codes:
            codes = cast(torch.Tensor, self.encoder.codes)
            own = cast(torch.Tensor, student.latents)
            other = cast(torch.Tensor, teacher.latents)
            losses['l_ce'] = self.code_weight * code_cross_entropy(own, other, codes)
        if self.augmented_weight:
            losses['l_aug'] = self.augmented_weight * self._augmented(step)
        return losses

    def _negatives(self, step: Step) -> Iterator[list[torch.Tensor]]:
        """Yield the features of each image of the history student, without gradients."""
        lq = step.batch.lq
        for i in range(_NEGATIVES):
            degraded = add_noise(lq, step.batch.generator) if i else lq
            with torch.no_grad():
                features = self.encoder(self.history(degraded)).features
            yield features

    def _augmented(self, step: Step) -> torch.Tensor:
        lq = step.batch.lq
        flags = random_flags(len(lq), _PROBABILITY, step.batch.generator)
        target = undo_augment(self.teachers.target(augment(lq, flags)), flags)
        return l1_loss(step.output, target)

    def after_step(self, iteration: int, averaged: nn.Module) -> None:
        """Update the history student if it is time to."""
        self.history.follow(iteration, averaged)

    def training_state(self) -> dict[str, Any]:
        """Return the history student and its schedule."""
        return self.history.state()

    def resume(
        self, state: dict[str, Any] | None, iteration: int, averaged: nn.Module
    ) -> str | None:
        """Restore the history student; without its state it begins with the moving average."""
        if state is not None:
            self.history.load_state(state)
            return None
        self.history.start_from(iteration, averaged)
        return (
            f'{self.key}: the training state has no history student; it begins with the student '
            f'of iteration {iteration}'
        )


def _code_weight(options: DCKD.Options) -> float:
    if options.code_weight is not None:
        return options.code_weight
    return _CODE_WEIGHT if options.encoder == 'VQGAN' else 0.0


def _augmented_weight(options: DCKD.Options) -> float:
    if options.augmented_weight is not None:
        return options.augmented_weight
    return _AUGMENTED_WEIGHTS.get(options.form, 0.0)


def _check(options: DCKD.Options, key: str) -> None:
    """Raise if a value cannot be used."""
    choice(options.form, _AUGMENTED_WEIGHTS, f'{key}.form')
    choice(options.encoder, SOURCES, f'{key}.encoder')
    if options.encoder == 'VGG19' and options.code_weight:
        raise OptionError(
            f'{key}.code_weight: {options.code_weight}, but VGG19 has no codes; expected 0, or '
            'nothing (~)'
        )
    for name in ('history_every', 'history_milestones'):
        values = getattr(options, name)
        numbers = [n for n in values if isinstance(n, int) and not isinstance(n, bool) and n > 0]
        if numbers != values:
            raise OptionError(f'{key}.{name}: {values}; expected numbers of iterations, from 1 on')
    every = options.history_every
    milestones = options.history_milestones
    if milestones != sorted(milestones) or len(every) != len(milestones) + 1:
        raise OptionError(
            f'{key}.history_milestones: {milestones}; expected rising iterations, one less than '
            f'in history_every, {every}'
        )
