"""FitNet: hints."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from ..config import choice
from .base import FeatureMethod, FeatureOptions, Step, adapters
from .registry import register_method

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider

FORMS = ('l1', 'paper', 'channel_mean')


@register_method
class FitNet(FeatureMethod):
    r"""Match the features of student and teacher.

    .. math::
        L_{hint} = w \, \mathrm{mean}_l \, d(r_l(F_l^S), F_l^T)

    Romero, Ballas, Kahou, Chassang, Gatta, Bengio: *FitNets: Hints for Thin Deep Nets*, ICLR 2015,
    https://arxiv.org/abs/1412.6550. r is a 1×1 convolution, trained with the student, or the
    identity if the widths are equal. ``form`` selects the distance d: ``l1`` is the mean absolute
    difference; ``paper`` half the mean squared difference; ``channel_mean`` the mean absolute
    difference of the means over the channels, without r. Features are divided by the image range
    of their network.
    """

    @dataclass(frozen=True)
    class Options(FeatureOptions):
        """Keys of FitNet.

        Attributes:
            weight: Weight of the feature loss.
            form: Distance of two features: ``l1``, ``paper`` or ``channel_mean``.
        """

        weight: float = 1.0
        form: str = 'l1'

    options: Options

    def __init__(self, options: Options, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        choice(options.form, FORMS, f'{key}.form')
        self.adapters = None if options.form == 'channel_mean' else adapters(self, teachers)

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        distances = []
        for i, (student, teacher) in enumerate(self.feature_pairs(step)):
            if self.adapters is None:
                distances.append((student.mean(1) - teacher.mean(1)).abs().mean())
                continue
            difference = self.adapters[i](student) - teacher
            if self.options.form == 'l1':
                distances.append(difference.abs().mean())
            else:
                distances.append(difference.square().mean() / 2)
        total = cast(torch.Tensor, sum(distances))
        return {'l_fitnet': self.options.weight * total / len(distances)}
