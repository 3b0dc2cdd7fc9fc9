"""DUKD: data upcycling."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import l1_loss

from ..config import KDOptions, choice
from ..errors import OptionError
from ..functional.dukd_augment import ORDERS, augment, random_flags, undo_augment, zoom_in
from ..functional.padding import run_padded
from ..host.resize import resize_bicubic
from ..weights.networks import size_multiple
from .base import Method, Step
from .registry import register_method

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider


@register_method
class DUKD(Method):
    r"""Train the student on the teacher's outputs for inputs derived from the training images.

    .. math::
        L_{up} = w \, \overline{|T(u) - F^{-1}(S(F(u)))|}
        \; [\, + \; l_p(S(x'), x) + l_d(S(x'), T(x')) \,]

    u is a tile of the ground truth, as large as the low-resolution image (zoom-in). F is a random
    combination of colour inversion, flips and transpose, each with ``probability``. x' is the
    input, reduced bicubically (``zoom_out``); its losses are ``train.pixel_opt`` and
    ``train.distill_opt``. T is the target of the training: with ``kd: {type: MTKD, also: [DUKD]}``
    the fused output of all teachers.

    Zhang et al.: *Data Upcycling Knowledge Distillation for Image Super-Resolution*,
    https://arxiv.org/abs/2309.14162. In the paper the pixel and distillation weights are 5 and 1
    for EDSR and SwinIR, 1 and 1 for RCAN (2 and 1 at ×3); zoom-out is used for EDSR, and for RCAN
    at ×3. ``inverse: authors`` undoes the operations of F in their original order, as the authors'
    code does; for 12.6 % of the images this is not the inverse.
    """

    @dataclass(frozen=True)
    class Options(KDOptions):
        """Keys of DUKD.

        Attributes:
            weight: Weight of the zoom-in loss.
            probability: Probability of each of colour inversion, horizontal flip, vertical flip
                and transpose, per image.
            zoom_out: Add the losses of the reduced input.
            inverse: ``exact``, or ``authors`` for the order of operations in the authors' code.
        """

        weight: float = 1.0
        probability: float = 0.3
        zoom_out: bool = False
        inverse: str = 'exact'

    options: Options

    queries_teacher = True

    def __init__(self, options: Options, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        choice(options.inverse, ORDERS, f'{key}.inverse')
        if not 0 <= options.probability <= 1:
            raise OptionError(
                f'{key}.probability: {options.probability}; expected a number from 0 to 1'
            )
        size, scale = teachers.config.train_dataset.gt_size, teachers.scale
        if options.zoom_out and size is not None and size < scale**2:
            raise OptionError(
                f'datasets.train.gt_size: {size}; expected at least {scale**2}, because '
                f'{key}.zoom_out reduces inputs of {size // scale} by {size // scale} pixels '
                f'{scale} times'
            )
        self.teachers = teachers
        self.multiple = size_multiple(teachers.student_tap.net)

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        generator = step.batch.generator
        u = zoom_in(step.batch.gt, self.teachers.scale, generator)
        flags = random_flags(len(u), self.options.probability, generator)
        output = step.student(augment(u, flags))
        restored = undo_augment(output, flags, self.options.inverse)
        losses = {'l_zoom_in': self.options.weight * l1_loss(restored, self.teachers.target(u))}
        if self.options.zoom_out:
            losses['l_zoom_out'] = self._zoom_out(step)
        return losses

    def _zoom_out(self, step: Step) -> torch.Tensor:
        scale = self.teachers.scale
        h, w = (n // scale * scale for n in step.batch.lq.shape[-2:])
        x = step.batch.lq[..., :h, :w]
        reduced = resize_bicubic(x, 1 / scale)
        output = run_padded(step.student, reduced, self.multiple, scale)
        loss = step.pixel_loss(output, x)
        if step.distill_loss is not None:
            loss = loss + step.distill_loss(output, self.teachers.target(reduced))
        return loss
