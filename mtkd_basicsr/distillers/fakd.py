"""FAKD: feature affinity."""

from dataclasses import dataclass
from typing import cast

import torch

from ..functional.affinity import affinity_distance
from .base import FeatureMethod, FeatureOptions, Step
from .registry import register_method


@register_method
class FAKD(FeatureMethod):
    r"""Match the similarities between the pixels of a feature of student and teacher.

    .. math::
        L_{FA} = \beta \sum_l \overline{|A_l^S - A_l^T|}, \quad A = \hat F^T \hat F

    He, Dai, Lu, Jiang, Xia: *FAKD: Feature-Affinity Based Knowledge Distillation for Efficient
    Image Super-Resolution*, ICIP 2020. The paper adds this loss to 0.5 |S - y| + 0.5 |S - T|
    (``train.pixel_opt``, ``train.distill_opt``). Its β is 10 for images in [0, 255], where pixel
    losses are 255 times as large, so ``weight`` is 10 / 255 by default. No adapters are needed,
    because an affinity matrix has no channels.
    """

    @dataclass(frozen=True)
    class Options(FeatureOptions):
        """Keys of FAKD.

        Attributes:
            weight: Weight of the affinity loss. The default, 10 / 255, corresponds to 10 for images
                in [0, 255].
        """

        weight: float = 10 / 255

    options: Options

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        distances = [
            affinity_distance(student, teacher) for student, teacher in self.feature_pairs(step)
        ]
        return {'l_fakd': self.options.weight * cast(torch.Tensor, sum(distances))}
