"""AT: attention transfer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..config import choice
from ..functional.attention_map import FORMS, attention_distance
from .base import FeatureMethod, FeatureOptions, Step
from .registry import register_method

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider


@register_method
class AT(FeatureMethod):
    r"""Match the attention maps of student and teacher.

    .. math::
        L_{AT} = w \, \mathrm{mean}_l \, d(Q(F_l^S), Q(F_l^T)), \quad Q(F) = \sum_c F_c^2 / \|
        \sum_c F_c^2 \|_2

    Zagoruyko, Komodakis: *Paying More Attention to Attention*, ICLR 2017,
    https://arxiv.org/abs/1612.03928. ``form`` selects the distance d: ``mean_l1`` is the mean of
    \|D\|, as in implementations for super-resolution; ``paper`` the L2 norm; ``authors`` the mean
    of D², as in the authors' code. The values of a map are about 1/√(HW), so the three forms need
    different weights: the default is for ``mean_l1``. No adapters are needed, because a map has no
    channels.
    """

    @dataclass(frozen=True)
    class Options(FeatureOptions):
        """Keys of AT.

        Attributes:
            weight: Weight of the attention loss.
            form: Distance of two maps: ``mean_l1``, ``paper`` or ``authors``. Each form needs
                a different weight.
        """

        weight: float = 10.0
        form: str = 'mean_l1'

    options: Options

    def __init__(self, options: Options, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        choice(options.form, FORMS, f'{key}.form')

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        def distance(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
            return attention_distance(student, teacher, self.options.form)

        return {'l_at': self.options.weight * self.mean_distance(step, distance)}
