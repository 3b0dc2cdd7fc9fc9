"""What every distillation method is: something that adds named losses to those against ground truth
and target.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from ..config import KDOptions
from ..errors import OptionError
from .features import body_end, default_positions, widths


@dataclass
class Batch:
    """Images of one step, RGB, [0, 1], on the training device.

    Attributes:
        lq (Tensor): (b, 3, h, w).
        gt (Tensor): (b, 3, scale · h, scale · w).
        target (Tensor | None): Out of a cache: (b, 3, scale · h, scale · w), or one after the
            other for each of its teachers, (b, 3 N, scale · h, scale · w).
        generator (torch.Generator | None): Of the CPU, for what a method draws: it depends on
            seed and iteration alone, so that a training that was stopped goes on with the same
            numbers.
        progress (float): How much of the training is over, from 0 to 1.
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
        batch (Batch): Images.
        student: The network that is trained, as a function: (b, 3, h, w) -> (b, 3, scale · h,
            scale · w).
        output (Tensor): What it made of ``batch.lq``.
        target (Tensor | None): What it shall make of it according to the teachers; None if
            nobody asked for it.
        student_features (dict[str, Tensor]): By position: (b, c, h, w).
        teacher_features (dict[str, dict[str, Tensor]]): By teacher and position: (b, c, h, w),
            without gradients.
    """

    batch: Batch
    student: Callable
    output: torch.Tensor
    target: torch.Tensor | None = None
    student_features: dict = field(default_factory=dict)
    teacher_features: dict = field(default_factory=dict)


class Method(nn.Module):
    """Base of the methods. Its parameters are trained with the student and never saved with it.

    Args:
        options (KDOptions): Parsed keys of the method.
        context (Context): Student, teachers, and the losses against ground truth and target.
        key (str): Where the options stand in the option file, for messages.
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

    def __init__(self, options, context, key):
        super().__init__()
        self.options = options
        self.key = key

    def losses(self, step):
        """The losses that the method adds.

        Args:
            step (Step): Images, outputs, features.

        Returns:
            dict[str, Tensor]: Scalars by log name, ready to be added up.
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

    def __init__(self, options, context, key):
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
        self.positions = list(zip(own, others))

    def pairs(self, step):
        """Features of student and teacher, (b, c, h, w) and (b, c', h, w), for each pair of
        positions.
        """
        teacher = step.teacher_features[self.teacher]
        return [(step.student_features[own], teacher[other]) for own, other in self.positions]

    def mean(self, step, distance):
        """Mean of a distance over all pairs of positions."""
        losses = [distance(own, other) for own, other in self.pairs(step)]
        return sum(losses) / len(losses)


def last_position(net):
    """The end of the body alone, for methods that look at one position."""
    return (body_end(net),)


def adapters(method, context):
    """1×1 convolutions from the width of the student to that of the teacher, where they differ.

    Args:
        method (FeatureMethod): With its positions.
        context (Context): Student and teachers.

    Returns:
        nn.ModuleList: One for each pair of positions; the identity where the widths are equal.
    """
    own = widths(context.student_tap, context.device)
    other = widths(context.teacher_tap(method.teacher), context.device)
    return nn.ModuleList(
        nn.Identity() if own[s] == other[t] else nn.Conv2d(own[s], other[t], 1)
        for s, t in method.positions
    )
