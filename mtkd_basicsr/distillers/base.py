"""The base of the distillation methods, which add named losses to those of the training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias, cast

import torch
from torch import nn

from ..config import KDOptions, TargetSource
from ..errors import OptionError
from .features import body_end, default_positions, widths

if TYPE_CHECKING:  # given by whoever builds a method
    from .teacher_provider import TeacherProvider

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Batch:
    """Images of one step, RGB, [0, 1], on the training device.

    Attributes:
        lq: (b, 3, h, w).
        gt: (b, 3, scale · h, scale · w).
        target: Out of a cache: (b, 3, scale · h, scale · w), or one after the
            other for each of its teachers, (b, 3 N, scale · h, scale · w).
        generator: Of the CPU, for what a method draws: it depends on seed and iteration alone, so
            that a training that was stopped goes on with the same numbers.
    """

    lq: torch.Tensor
    gt: torch.Tensor
    target: torch.Tensor | None = None
    generator: torch.Generator | None = None


@dataclass
class Step:
    """What is known when the methods add their losses.

    Attributes:
        batch: Images.
        student: The network that is trained, as a function: (b, 3, h, w) -> (b, 3, scale · h,
            scale · w).
        output: What it made of ``batch.lq``.
        pixel_loss: ``train.pixel_opt``: (pred, truth) -> scalar.
        distill_loss: ``train.distill_opt``: (pred, target) -> scalar; None where it is left out.
        target: What it shall make of it according to the teachers; None if nobody asked for it.
        student_features: By position: (b, c, h, w).
        teacher_features: By teacher and position: (b, c, h, w), without gradients.
    """

    batch: Batch
    student: Callable[[torch.Tensor], torch.Tensor]
    output: torch.Tensor
    pixel_loss: Loss
    distill_loss: Loss | None = None
    target: torch.Tensor | None = None
    student_features: dict[str, torch.Tensor] = field(default_factory=dict)
    teacher_features: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)


class Method(nn.Module):
    """Base of the methods. Its parameters are trained with the student and never saved with it.

    Args:
        options: Parsed keys of the method.
        teachers: The student, and the teachers that the method learns from.
        key: Where the options stand in the option file, for messages.
    """

    Options: ClassVar[type[KDOptions]] = KDOptions
    # Whether the method adds losses of its own, so that it can stand in `also`.
    has_own_losses: ClassVar[bool] = True
    # Nothing, the output of one teacher, or what the fusion network makes of all teachers.
    target_source: ClassVar[TargetSource] = TargetSource.TEACHER
    # Whether it uses the target of the images of a step.
    needs_target: ClassVar[bool] = False
    # Whether it asks for the target of other images too.
    queries_teacher: ClassVar[bool] = False

    def __init__(self, options: KDOptions, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__()
        self.options = options
        self.key = key

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        """Compute the losses that the method adds.

        Args:
            step: Images, outputs, features.

        Returns:
            Scalars by log name, ready to be added up. No other method of the training, and not
            the training itself (``l_pix``, ``l_distill``), has a loss of such a name.
        """
        return {}


@dataclass(frozen=True)
class FeatureOptions(KDOptions):
    """Keys of methods that compare features, pairwise.

    Attributes:
        student_features: Where features of the student are read: dotted paths of modules, whose
            output is meant, or with ``:input`` their first input. ``~`` takes the positions for
            EDSR, RCAN and SwinIR; for other archs they have to be named.
        teacher_features: The same of the teacher, as many.
    """

    student_features: list | None = None
    teacher_features: list | None = None


class FeatureMethod(Method):
    """Base of methods that compare features of the student with features of one teacher."""

    Options = FeatureOptions
    # Where features are read by default.
    default_positions = staticmethod(default_positions)

    options: FeatureOptions

    def __init__(self, options: FeatureOptions, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        self.teacher = teachers.teacher_of(options, key)
        net = teachers.network(self.teacher)
        student = options.student_features or self.default_positions(teachers.student_tap.net)
        teacher = options.teacher_features or self.default_positions(net)
        if len(student) != len(teacher):
            raise OptionError(
                f'{key}.teacher_features: {len(teacher)} positions, but {len(student)} of the '
                'student; they are compared pairwise'
            )
        teachers.student_tap.add(student, f'{key}.student_features')
        teachers.teacher_tap(self.teacher).add(teacher, f'{key}.teacher_features')
        self.positions = list(zip(student, teacher, strict=True))

    def feature_pairs(self, step: Step) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return features of student and teacher for each pair of positions.

        Args:
            step: With the features of both.

        Returns:
            Pairs of (b, c, h, w) and (b, c', h, w).
        """
        teacher = step.teacher_features[self.teacher]
        return [(step.student_features[s], teacher[t]) for s, t in self.positions]

    def pairs(self, step: Step) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return :meth:`feature_pairs`, by the name that it had in version 0.1.0."""
        return self.feature_pairs(step)

    def mean_distance(
        self, step: Step, distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Return the mean of a distance over all pairs of positions."""
        losses = [distance(student, teacher) for student, teacher in self.feature_pairs(step)]
        return cast(torch.Tensor, sum(losses)) / len(losses)

    def mean(
        self, step: Step, distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Return :meth:`mean_distance`, by the name that it had in version 0.1.0."""
        return self.mean_distance(step, distance)


def last_position(net: nn.Module) -> tuple[str, ...]:
    """Return the end of the body alone, for methods that look at one position."""
    return (body_end(net),)


def adapters(method: FeatureMethod, teachers: 'TeacherProvider') -> nn.ModuleList:
    """Make 1×1 convolutions from the student's width to the teacher's, where they differ.

    Args:
        method: With its positions.
        teachers: Student and teachers.

    Returns:
        One for each pair of positions; the identity where the widths are equal.
    """
    student_width = widths(teachers.student_tap, teachers.device)
    teacher_width = widths(teachers.teacher_tap(method.teacher), teachers.device)
    layers: list[nn.Module] = []
    for s, t in method.positions:
        if student_width[s] == teacher_width[t]:
            layers.append(nn.Identity())
        else:
            layers.append(nn.Conv2d(student_width[s], teacher_width[t], 1))
    return nn.ModuleList(layers)
