"""CrossKD: the feature of the student is passed through the last layers of the teacher."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn.functional import l1_loss

from ..config import KDOptions
from ..errors import OptionError
from ..weights.networks import arch_name
from .base import Method, Step
from .features import widths
from .positions import body_end, default_cut, is_known
from .registry import register_method
from .splice import Splice

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider


@register_method
class CrossKD(Method):
    r"""Pass a feature of the student through the teacher's last layers, and train their output.

    .. math::
        L_{cross} = w \, (\overline{|R_T(P(F^S)) - y|} + \overline{|R_T(P(F^S)) - T(x)|})

    R_T is the frozen teacher from ``teacher_cut`` on. P is a 1×1 convolution, trained with the
    student, or the identity if the widths are equal. The targets are the ground truth y and the
    target T(x).

    Fang et al.: *(Dual) Cross Knowledge Distillation for Image Super-Resolution*, 2022. Their
    losses and cut points are not public. This implementation takes the obvious form, in addition to
    |S - y| + |S - T|, and cuts before the upsampler. (The CrossKD of object detection is another
    method.)
    """

    @dataclass(frozen=True)
    class Options(KDOptions):
        """Keys of CrossKD.

        Attributes:
            weight: Weight of both losses of the teacher's output for the student's feature.
            student_cut: Position of the student's feature, as in ``student_features`` of other
                methods; ``~`` is before the upsampler.
            teacher_cut: Module of the teacher that gets the feature as its input; ``~`` is the
                upsampler of EDSR, RCAN and SwinIR, and in other architectures with an evident body
                of equal blocks the module that gets the output of the last one, which the log
                then names.
        """

        weight: float = 1.0
        student_cut: str | None = None
        teacher_cut: str | None = None

    options: Options

    needs_target = True

    def __init__(self, options: Options, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        teacher = teachers.teacher_of(options, key)
        teacher_net = teachers.network(teacher)
        self._found: list[str] = []
        student_net = teachers.student_tap.net
        self.position = options.student_cut or self._default(student_net, 'student_cut', body_end)
        teachers.student_tap.add([self.position], f'{key}.student_cut')
        self.autocast = functools.partial(teachers.autocast, teacher)
        cut = options.teacher_cut or self._default(teacher_net, 'teacher_cut', default_cut)
        self.splice = Splice(teacher_net, cut, f'{key}.teacher_cut')
        student_width = widths(teachers.student_tap, teachers.device, teachers.patch)[self.position]
        self.adapter: nn.Module = nn.Identity()
        if student_width != self.splice.width:
            self.adapter = nn.Conv2d(student_width, self.splice.width, 1)

    def _default(self, net: nn.Module, name: str, find: Callable[[nn.Module], str]) -> str:
        """Return the default position in a network.

        Args:
            net: The student or the teacher.
            name: The option of its position, for messages and the log.
            find: Function that finds it.

        Raises:
            OptionError: There is none.
        """
        try:
            position = find(net)
        except OptionError as error:
            raise OptionError(f'{self.key}.{name}: {error}') from error
        if not is_known(net):
            self._found.append(f'{self.key}.{name}: {position} of {arch_name(net)}')
        return position

    def describe(self) -> list[str]:
        """Return the default positions that were found in the networks."""
        return self._found

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        adapted = self.adapter(step.student_features[self.position])
        with self.autocast():
            image = self.splice(step.batch.lq, adapted).float()
        target = cast(torch.Tensor, step.target)  # set because of `needs_target`
        loss = l1_loss(image, step.batch.gt) + l1_loss(image, target)
        return {'l_cross': self.options.weight * loss}
