"""The base classes of the distillation methods, which add named losses to a training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

import torch
from torch import nn

from ..config import KDOptions, TargetSource
from ..errors import MTKDError, OptionError
from ..weights.networks import arch_name
from .features import widths
from .positions import body_end, default_positions, is_known

if TYPE_CHECKING:  # given by whoever builds a method
    from .teacher_provider import TeacherProvider

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Batch:
    """Images of one step, RGB, [0, 1], on the training device.

    Attributes:
        lq: Low-resolution images, (b, 3, h, w).
        gt: Ground truths, (b, 3, scale · h, scale · w).
        target: Targets from a cache, (b, 3, scale · h, scale · w), or the concatenated outputs of
            its N teachers, (b, 3 N, scale · h, scale · w); None without a cache.
        generator: CPU generator for the random numbers of the methods. It depends only on seed and
            iteration, so a resumed training draws the same numbers.
    """

    lq: torch.Tensor
    gt: torch.Tensor
    target: torch.Tensor | None = None
    generator: torch.Generator | None = None


@dataclass
class Step:
    """The inputs of the methods in one step.

    Attributes:
        batch: Images.
        student: The student as a function: (b, 3, h, w) -> (b, 3, scale · h, scale · w).
        output: Output of the student for ``batch.lq``.
        pixel_loss: ``train.pixel_opt``: (prediction, ground truth) -> scalar.
        distill_loss: ``train.distill_opt``: (prediction, target) -> scalar; None if not set.
        target: Target of the student for ``batch.lq``, from the teachers; None if no method uses
            it.
        student_features: Features of the student by position, (b, c, h, w).
        teacher_features: Features by teacher and position, (b, c, h, w), without gradients.
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
    """Base of all methods.

    The parameters of a method are trained together with the student, but not saved with it.

    Args:
        options: Parsed keys of the method.
        teachers: The student and its teachers.
        key: Option key of the method, for messages.
    """

    Options: ClassVar[type[KDOptions]] = KDOptions
    # Whether the method adds losses of its own, so that `also` can list it.
    has_own_losses: ClassVar[bool] = True
    # No target, the output of one teacher, or the fused output of all teachers.
    target_source: ClassVar[TargetSource] = TargetSource.TEACHER
    # Whether the method uses the target of the batch.
    needs_target: ClassVar[bool] = False
    # Whether the method computes targets of other images.
    queries_teacher: ClassVar[bool] = False

    def __init__(self, options: KDOptions, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__()
        self.options = options
        self.key = key

    @classmethod
    def asks_teacher(cls, options: KDOptions) -> bool:
        """Return whether the method computes targets of other images with these options."""
        return cls.queries_teacher

    @classmethod
    def weight_files(cls, options: KDOptions) -> list[str]:
        """Return the paths of the files with weights that the method reads itself."""
        return []

    @classmethod
    def problems(cls, options: KDOptions, key: str) -> list[MTKDError]:
        """Return what can be found before anything is built, such as a missing file."""
        return []

    def describe(self) -> list[str]:
        """Return lines for the log: what the method has found out for itself."""
        return []

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        """Compute the losses that the method adds.

        Args:
            step: Images, outputs and features.

        Returns:
            Weighted scalars by log name; their sum is minimised. The names must differ from those
            of other methods, and from ``l_pix`` and ``l_distill``.
        """
        return {}

    def after_step(self, iteration: int, averaged: nn.Module) -> None:
        """Hook after each step of the optimizer; does nothing by default.

        Args:
            iteration: The iteration that has been made.
            averaged: The moving average of the student; without one the student itself.
        """

    def training_state(self) -> dict[str, Any]:
        """Return what a resumed training needs beside the parameters; tensors on the CPU."""
        return {}

    def resume(
        self, state: dict[str, Any] | None, iteration: int, averaged: nn.Module
    ) -> str | None:
        """Restore what :meth:`training_state` returned.

        Args:
            state: The saved state; None if the training state has none of this method.
            iteration: The iteration of the training state.
            averaged: The moving average of the student; without one the student itself.

        Returns:
            A line for the log, or None.
        """
        return None


@dataclass(frozen=True)
class FeatureOptions(KDOptions):
    """Keys of methods that compare features in pairs.

    Attributes:
        student_features: Positions of the student's features: dotted paths of modules for their
            outputs, or with ``:input`` for their first inputs. ``~`` is the default of EDSR,
            RCAN and SwinIR, and of other architectures with an evident body of equal blocks,
            which the log then names; for all others the key is required.
        teacher_features: The same number of positions for the teacher.
    """

    student_features: list | None = None
    teacher_features: list | None = None


class FeatureMethod(Method):
    """Base of methods that compare features of the student with features of one teacher."""

    Options = FeatureOptions
    # Default positions of the features of a network.
    default_positions = staticmethod(default_positions)

    options: FeatureOptions

    def __init__(self, options: FeatureOptions, teachers: 'TeacherProvider', key: str) -> None:
        super().__init__(options, teachers, key)
        self.teacher = teachers.teacher_of(options, key)
        student_net = teachers.student_tap.net
        teacher_net = teachers.network(self.teacher)
        self._found: list[str] = []
        of_student = options.student_features or self._default_of(student_net, 'student_features')
        of_teacher = options.teacher_features or self._default_of(teacher_net, 'teacher_features')
        if len(of_student) != len(of_teacher):
            raise OptionError(
                f'{key}.teacher_features: {len(of_teacher)} positions, but {len(of_student)} of '
                'the student; they are compared pairwise'
            )
        teachers.student_tap.add(of_student, f'{key}.student_features')
        teachers.teacher_tap(self.teacher).add(of_teacher, f'{key}.teacher_features')
        self.positions = list(zip(of_student, of_teacher, strict=True))
        # Positions of a user are read once, because some give no map of the size of the image.
        if options.student_features:
            widths(teachers.student_tap, teachers.device, teachers.patch)
        if options.teacher_features:
            widths(teachers.teacher_tap(self.teacher), teachers.device, teachers.patch)

    @classmethod
    def problems(cls, options: KDOptions, key: str) -> list[MTKDError]:
        """Return errors for positions that are no strings."""
        errors = super().problems(options, key)
        for name in ('student_features', 'teacher_features'):
            for position in getattr(options, name, None) or ():
                if not isinstance(position, str):
                    errors.append(
                        OptionError(
                            f'{key}.{name}: {position!r}; expected the path of a module, a string'
                        )
                    )
        return errors

    def _default_of(self, net: nn.Module, name: str) -> tuple[str, ...]:
        """Return the default positions of a network.

        Args:
            net: The student or the teacher.
            name: The option of its positions, for messages and the log.

        Raises:
            OptionError: It has none.
        """
        try:
            positions = self.default_positions(net)
        except OptionError as error:
            raise OptionError(f'{self.key}.{name}: {error}') from error
        if not is_known(net):
            self._found.append(f'{self.key}.{name}: {", ".join(positions)} of {arch_name(net)}')
        return positions

    def describe(self) -> list[str]:
        """Return the default positions that were found in the networks."""
        return self._found

    def feature_pairs(self, step: Step) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return features of student and teacher for each pair of positions.

        Args:
            step: Step with the features of both networks.

        Returns:
            Pairs of (b, c, h, w) and (b, c', h, w).
        """
        student_features = step.student_features
        teacher_features = step.teacher_features[self.teacher]
        pairs = []
        for of_student, of_teacher in self.positions:
            pairs.append((student_features[of_student], teacher_features[of_teacher]))
        return pairs

    def pairs(self, step: Step) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return :meth:`feature_pairs`; kept for methods written for version 0.1.0."""
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
        """Return :meth:`mean_distance`; kept for methods written for version 0.1.0."""
        return self.mean_distance(step, distance)


def last_position(net: nn.Module) -> tuple[str, ...]:
    """Return only the end of the body, for methods that use one position."""
    return (body_end(net),)


def adapters(method: FeatureMethod, teachers: 'TeacherProvider') -> nn.ModuleList:
    """Make 1×1 convolutions from the student's width to the teacher's, where they differ.

    Args:
        method: The method, with its positions.
        teachers: The student and its teachers.

    Returns:
        One layer per pair of positions; the identity if the widths are equal.
    """
    student_widths = widths(teachers.student_tap, teachers.device, teachers.patch)
    teacher_tap = teachers.teacher_tap(method.teacher)
    teacher_widths = widths(teacher_tap, teachers.device, teachers.patch)
    layers: list[nn.Module] = []
    for of_student, of_teacher in method.positions:
        student_width = student_widths[of_student]
        teacher_width = teacher_widths[of_teacher]
        if student_width == teacher_width:
            layers.append(nn.Identity())
        else:
            layers.append(nn.Conv2d(student_width, teacher_width, 1))
    return nn.ModuleList(layers)
