"""CrossKD: the student inside the teacher."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn.functional import l1_loss

from ..config import KDOptions
from .base import Method, Step
from .features import Splice, body_end, widths

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider


class CrossKD(Method):
    r"""The teacher's last layers go on from a feature of the student, and their image learns from
    truth and teacher.

    .. math::
        L_{cross} = w \, (\overline{|R_T(P(F^S)) - y|} + \overline{|R_T(P(F^S)) - T(x)|})

    R_T is the frozen teacher from ``teacher_cut`` on, P a 1×1 convolution where the widths differ,
    trained with the student.
    Fang et al.: *(Dual) Cross Knowledge Distillation for Image Super-Resolution*, 2022. Their
    losses and cut points are not public; this is the natural form, beside |S - y| + |S - T|, cut
    before the upsampler. (The CrossKD of object detection is another method.)
    """

    @dataclass(frozen=True)
    class Options(KDOptions):
        """Keys of CrossKD.

        Attributes:
            weight: Of both losses of the image that the teacher makes of the student's feature.
            student_cut: Where the student's feature is read, as in ``student_features`` of
                other methods; ``~`` is before the upsampler.
            teacher_cut: Which module of the teacher gets it as its input; ``~`` is the upsampler.
        """

        weight: float = 1.0
        student_cut: str | None = None
        teacher_cut: str | None = None

    options: Options

    needs_target = True

    def __init__(self, options: Options, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        teacher = teachers.teacher_of(options, key)
        net = teachers.network(teacher)
        self.position = options.student_cut or body_end(teachers.student_tap.net)
        teachers.student_tap.add([self.position], f'{key}.student_cut')
        self.autocast = functools.partial(teachers.autocast, teacher)
        self.rest = Splice(net, options.teacher_cut or body_end(net), f'{key}.teacher_cut')
        student_width = widths(teachers.student_tap, teachers.device)[self.position]
        teacher_width = self.rest.width(teachers.device)
        self.adapter: nn.Module = nn.Identity()
        if student_width != teacher_width:
            self.adapter = nn.Conv2d(student_width, teacher_width, 1)

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        adapted = self.adapter(step.student_features[self.position])
        with self.autocast():
            image = self.rest(step.batch.lq, adapted).float()
        target = cast(torch.Tensor, step.target)  # there is one: `needs_target`
        return {
            'l_cross': self.options.weight
            * (l1_loss(image, step.batch.gt) + l1_loss(image, target))
        }
