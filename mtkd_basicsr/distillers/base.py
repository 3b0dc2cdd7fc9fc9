"""The base of the distillation methods, which add named losses to those of the training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import nn

from ..config import KDOptions
from ..errors import OptionError
from .features import body_end, default_positions, widths
from .teacher_provider import Context


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
        progress: How much of the training is over, from 0 to 1.
    """

    lq: torch.Tensor
    gt: torch.Tensor
    target: torch.Tensor | None = None
    generator: torch.Generator | None = None
    progress: float = 0.0


@dataclass
class Step:
    """What is known when the methods add their losses.

    Attributes:
        batch: Images.
        student: The network that is trained, as a function: (b, 3, h, w) -> (b, 3, scale · h,
            scale · w).
        output: What it made of ``batch.lq``.
        target: What it shall make of it according to the teachers; None if nobody asked for it.
        student_features: By position: (b, c, h, w).
        teacher_features: By teacher and position: (b, c, h, w), without gradients.
    """

    batch: Batch
    student: Callable[[torch.Tensor], torch.Tensor]
    output: torch.Tensor
    target: torch.Tensor | None = None
    student_features: dict[str, torch.Tensor] = field(default_factory=dict)
    teacher_features: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)


class Method(nn.Module):
    """Base of the methods. Its parameters are trained with the student and never saved with it.

    Args:
        options: Parsed keys of the method.
        context: Student, teachers, and the losses against ground truth and target.
        key: Where the options stand in the option file, for messages.
    """

    Options = KDOptions
    # Whether the method adds losses of its own, so that it can stand in `also`.
    adds = True
    # Whether there is no teacher at all.
    alone = False
    # Whether the target is what the fusion network makes of all teachers, and not one teacher's
    # output.
    fused = False
    # Whether the target is asked for: of the images of a step, and of other images too.
    needs_target = False
    needs_targets_of_other_images = False

    def __init__(self, options: KDOptions, context: Context, key: str) -> None:
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

    def __init__(self, options: FeatureOptions, context: Context, key: str) -> None:
        super().__init__(options, context, key)
        self.teacher = context.teacher_of(options, key)
        net = context.network(self.teacher)
        own = options.student_features or self.default_positions(context.student_tap.net)
        others = options.teacher_features or self.default_positions(net)
        if len(own) != len(others):
            raise OptionError(
                f'{key}.teacher_features: {len(others)} positions, but {len(own)} of the student; '
                'they are compared pairwise'
            )
        context.student_tap.add(own, f'{key}.student_features')
        context.teacher_tap(self.teacher).add(others, f'{key}.teacher_features')
        self.positions = list(zip(own, others, strict=True))

    def pairs(self, step: Step) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return features of student and teacher for each pair of positions.

        Args:
            step: With the features of both.

        Returns:
            Pairs of (b, c, h, w) and (b, c', h, w).
        """
        teacher = step.teacher_features[self.teacher]
        return [(step.student_features[own], teacher[other]) for own, other in self.positions]

    def mean(
        self, step: Step, distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Return the mean of a distance over all pairs of positions."""
        losses = [distance(own, other) for own, other in self.pairs(step)]
        return cast(torch.Tensor, sum(losses)) / len(losses)


def last_position(net: nn.Module) -> tuple[str, ...]:
    """Return the end of the body alone, for methods that look at one position."""
    return (body_end(net),)


def adapters(method: FeatureMethod, context: Context) -> nn.ModuleList:
    """Make 1×1 convolutions from the student's width to the teacher's, where they differ.

    Args:
        method: With its positions.
        context: Student and teachers.

    Returns:
        One for each pair of positions; the identity where the widths are equal.
    """
    own = widths(context.student_tap, context.device)
    other = widths(context.teacher_tap(method.teacher), context.device)
    return nn.ModuleList(
        nn.Identity() if own[s] == other[t] else nn.Conv2d(own[s], other[t], 1)
        for s, t in method.positions
    )
