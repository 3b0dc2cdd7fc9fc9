"""AT: attention transfer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..config import choice
from ..functional.attention_map import FORMS, attention_distance
from .base import FeatureMethod, FeatureOptions, Step

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider


class AT(FeatureMethod):
    r"""Attention maps of the student learn from those of the teacher.

    .. math::
        L_{AT} = w \, \mathrm{mean}_l \, d(Q(F_l^S), Q(F_l^T)), \quad Q(F) = \sum_c F_c^2 / \|
        \sum_c F_c^2 \|_2

    Zagoruyko, Komodakis: *Paying More Attention to Attention*, ICLR 2017,
    https://arxiv.org/abs/1612.03928. ``form`` says what d is:
    ``mean_l1`` the mean of \|D\|, as codes for super-resolution have it; ``paper`` the L2 norm;
    ``authors`` the mean of D², as the authors' code has it. Maps are about 1/√(HW), so that
    the three need other weights: the default is for ``mean_l1``. There are no adapters: a map has
    no channels.
    """

    @dataclass(frozen=True)
    class Options(FeatureOptions):
        """Keys of AT.

        Attributes:
            weight: Of the loss of the attention maps.
            form: Distance of two maps: ``mean_l1``, ``paper`` or ``authors``; the three need
                different weights.
        """

        weight: float = 10.0
        form: str = 'mean_l1'

    options: Options

    def __init__(self, options: Options, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        choice(options.form, FORMS, f'{key}.form')

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        return {
            'l_at': self.options.weight
            * self.mean_distance(step, lambda s, t: attention_distance(s, t, self.options.form))
        }
