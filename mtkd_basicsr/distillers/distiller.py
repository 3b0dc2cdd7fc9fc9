"""The distiller, which computes all losses of a training."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..config import MethodConfig, TargetSource, TrainingConfig
from ..errors import OptionError
from ..losses.build import build
from .base import Batch, Method, Step

if TYPE_CHECKING:  # given by whoever builds a distiller
    from .teacher_provider import TeacherProvider

# Losses of the training itself: log name -> option key.
_LOSSES_OF_TRAINING = {'l_pix': 'train.pixel_opt', 'l_distill': 'train.distill_opt'}


def _checked(losses: Any, owner: str) -> dict[str, torch.Tensor]:
    """Return the losses of a method.

    Args:
        losses: What it has returned.
        owner: Name of the method.

    Raises:
        OptionError: It is not what :meth:`.Method.losses` has to return.
    """
    expected = 'expected a dict with a scalar tensor for each log name'
    if not isinstance(losses, dict):
        raise OptionError(f'train.kd: {owner}.losses returned {type(losses).__name__}; {expected}')
    for name, loss in losses.items():
        if not isinstance(loss, torch.Tensor):
            raise OptionError(
                f"train.kd: {owner}.losses returned {type(loss).__name__} as '{name}'; {expected}"
            )
        if loss.numel() != 1:
            raise OptionError(
                f'train.kd: {owner}.losses returned a tensor of shape {tuple(loss.shape)} as '
                f"'{name}'; {expected}"
            )
    return losses


class Distiller(nn.Module):
    r"""The losses of a training.

    .. math::
        L = w_p \, l(S(x), y) + w_d \, l(S(x), T(x)) + \sum_{methods} L_m

    The first two terms are ``train.pixel_opt`` and ``train.distill_opt``. T(x) is the target of
    ``train.kd.type``: one teacher's output, or the fused output of all. L_m are the losses of the
    method and of those in ``train.kd.also``. The parameters of the distiller are trained with the
    student.

    Args:
        config: The option file.
        teachers: The student and its teachers.

    Raises:
        OptionError: An option cannot be used, or not with this student.
        WeightsError: A weights file is missing or does not fit.

    Attributes:
        teachers: The student and the frozen networks that the methods share.
        needs_target: Whether a step needs the target, from a cache or from the teachers.
        pixel_loss: ``train.pixel_opt``.
        distill_loss: ``train.distill_opt``; None if not set.
    """

    def __init__(self, config: TrainingConfig, teachers: 'TeacherProvider') -> None:
        super().__init__()
        distillation = config.distillation
        # Parsing the options of a student fails without them.
        assert distillation is not None
        assert config.pixel_loss is not None
        self.pixel_loss = build(config.pixel_loss, 'train.pixel_opt')
        self.distill_loss: nn.Module | None = None
        if config.distill_loss is not None:
            self.distill_loss = build(config.distill_loss, 'train.distill_opt')
        self.teachers = teachers
        specs = [method.spec for method in distillation.all]
        self.needs_target = distillation.target_source is not TargetSource.NONE and (
            self.distill_loss is not None or any(spec.needs_target for spec in specs)
        )
        target_is_computed = self.needs_target and self.teachers.cached is None
        if target_is_computed or any(method.asks_teacher for method in distillation.all):
            self.teachers.build_target()
        self.methods = nn.ModuleList()
        for method in distillation.all:
            method_class = cast(type[Method], method.spec)
            self.teachers.asked_for.clear()
            self.methods.append(method_class(method.options, self.teachers, method.key))
            if method is not distillation.main:
                self._check_teacher(method)
        self.to(teachers.device)

    def _check_teacher(self, method: MethodConfig) -> None:
        """Raise if a method of ``also`` has not asked for the teacher that its options name."""
        name = method.options.teacher
        if name is not None and name not in self.teachers.asked_for:
            raise OptionError(
                f"{method.key}.teacher: '{name}'; {method.options.type} uses the target of the "
                'training alone, whose teacher train.kd.teacher names; remove it'
            )

    def losses(
        self, student: Callable[[torch.Tensor], torch.Tensor], batch: Batch
    ) -> dict[str, torch.Tensor]:
        """Compute the losses of one step.

        Args:
            student: The student as a function: (b, 3, h, w) -> (b, 3, scale · h, scale · w).
            batch: Images.

        Returns:
            Scalars by log name (``l_pix``, ``l_distill``, …); their sum is minimised.

        Raises:
            OptionError: Two methods have a loss of the same name, or one is named ``l_pix`` or
                ``l_distill``.
        """
        teachers = self.teachers
        from_cache = self.needs_target and teachers.cached is not None
        target, teacher_features = teachers.target_and_features(
            batch.lq, with_target=self.needs_target and not from_cache
        )
        if from_cache:
            target = cast(torch.Tensor, batch.target)[:, teachers.cached]
        with teachers.student_tap.reading(batch.lq.shape[-2:]) as student_features:
            output = student(batch.lq)
        losses = {'l_pix': self.pixel_loss(output, batch.gt)}
        if self.distill_loss is not None and target is not None:
            losses['l_distill'] = self.distill_loss(output, target)
        step = Step(
            batch=batch,
            student=student,
            output=output,
            pixel_loss=self.pixel_loss,
            distill_loss=self.distill_loss,
            target=target,
            student_features=student_features,
            teacher_features=teacher_features,
        )
        self._add_method_losses(losses, step)
        return losses

    def _add_method_losses(self, losses: dict[str, torch.Tensor], step: Step) -> None:
        owners = dict(_LOSSES_OF_TRAINING)
        for method in cast(Iterable[Method], self.methods):
            owner = type(method).__name__
            for name, loss in _checked(method.losses(step), owner).items():
                if name in owners:
                    raise OptionError(
                        f"train.kd: {owners[name]} and {owner} both have a loss '{name}'; "
                        f'expected different names: rename the loss of {owner}'
                    )
                owners[name] = owner
                losses[name] = loss

    def after_step(self, iteration: int, averaged: nn.Module) -> None:
        """Tell the methods that a step of the optimizer has been made.

        Args:
            iteration: The iteration.
            averaged: The moving average of the student; without one the student itself.
        """
        for method in cast(Iterable[Method], self.methods):
            method.after_step(iteration, averaged)

    def training_states(self) -> dict[str, Any]:
        """Return the states of the methods that have one, by name, for a training state."""
        states = {}
        for method in cast(Iterable[Method], self.methods):
            state = method.training_state()
            if state:
                states[type(method).__name__] = state
        return states

    def resume(self, states: dict[str, Any], iteration: int, averaged: nn.Module) -> list[str]:
        """Restore what :meth:`training_states` returned.

        Args:
            states: The saved states by name.
            iteration: The iteration of the training state.
            averaged: The moving average of the student; without one the student itself.

        Returns:
            Lines for the log.
        """
        lines = []
        for method in cast(Iterable[Method], self.methods):
            line = method.resume(states.get(type(method).__name__), iteration, averaged)
            if line is not None:
                lines.append(line)
        return lines

    def describe(self) -> list[str]:
        """Return lines for the log: the teachers and the methods."""
        names = ' + '.join(type(method).__name__ for method in self.methods)
        count = sum(p.numel() for p in self.parameters() if p.requires_grad)
        adapters = f', {count:,d} parameters of adapters' if count else ''
        lines = [*self.teachers.describe(), f'Method: {names}{adapters}']
        for method in cast(Iterable[Method], self.methods):
            lines += method.describe()
        return lines
