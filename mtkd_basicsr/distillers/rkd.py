"""RKD: relations between the images of a batch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..errors import OptionError
from ..functional.rkd import relation_distance
from .base import FeatureMethod, FeatureOptions, Step, last_position
from .registry import register_method

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider


@register_method
class RKD(FeatureMethod):
    r"""Match the distances and angles between the images of a batch in feature space.

    .. math::
        L_{RKD} = w_D \, l_\delta(\psi_D^S, \psi_D^T) + w_A \, l_\delta(\psi_A^S, \psi_A^T)

    Park, Kim, Lu, Cho: *Relational Knowledge Distillation*, CVPR 2019,
    https://arxiv.org/abs/1904.05068. l is Huber's loss (smooth L1). The embedding of an image is
    its flattened feature at the end of the body. Widths may differ.
    """

    default_positions = staticmethod(last_position)

    @dataclass(frozen=True)
    class Options(FeatureOptions):
        """Keys of RKD.

        Attributes:
            weight: Weight of both parts together.
            distance_weight: Weight of the distances between pairs of images.
            angle_weight: Weight of the angles in triples of images.
        """

        weight: float = 1.0
        distance_weight: float = 1.0
        angle_weight: float = 2.0

    options: Options

    def __init__(self, options: Options, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        batch = teachers.batch_size
        if batch < 3:
            raise OptionError(
                f'datasets.train.batch_size_per_gpu: {batch}, but RKD compares pairs and triples '
                'of images; expected 3 or more'
            )

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        def distance(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
            return relation_distance(
                student.flatten(1),
                teacher.flatten(1),
                self.options.distance_weight,
                self.options.angle_weight,
            )

        return {'l_rkd': self.options.weight * self.mean_distance(step, distance)}
