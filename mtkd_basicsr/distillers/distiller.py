"""The methods of one training together: which losses a batch and a student give."""

from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import nn

from ..config import TargetSource, TrainingConfig, require
from ..errors import OptionError
from ..losses.build import build
from .base import Batch, Method, Step
from .teacher_provider import TeacherProvider

# Losses of the training itself, by log name, and the keys that they come from.
_LOSSES_OF_TRAINING = {'l_pix': 'train.pixel_opt', 'l_distill': 'train.distill_opt'}


class Distiller(nn.Module):
    r"""The losses of a training.

    .. math::
        L = w_p \, l(S(x), y) + w_d \, l(S(x), T(x)) + \sum_{methods} L_m

    with ``train.pixel_opt``, ``train.distill_opt``, the target T(x) of ``train.kd.type`` (one
    teacher's output, or the fused output of all), and what the method and those in
    ``train.kd.also`` add. Parameters in here are trained with the student.

    Args:
        config: The option file, with its methods.
        device: Where the student is.
        student: The bare network that is trained.

    Raises:
        OptionError: Something in the option file cannot be used, alone or with the student.
        WeightsError: A file with weights is missing or does not fit.
        CacheError: The target cache belongs to other options.

    Attributes:
        teachers: The frozen networks that the methods share, as far as they are needed.
        needs_target: Whether a step needs the target, from a cache or from the teachers.
        pixel_loss: ``train.pixel_opt``.
        distill_loss: ``train.distill_opt``; None where it is left out.
    """

    def __init__(
        self, config: TrainingConfig, device: str | torch.device, student: nn.Module
    ) -> None:
        super().__init__()
        distillation = config.distillation or require(config.options, 'train', 'kd')
        self.pixel_loss = build(config.pixel_loss or {}, 'train.pixel_opt')
        self.distill_loss: nn.Module | None = None
        if config.distill_loss is not None:
            self.distill_loss = build(config.distill_loss, 'train.distill_opt')
        self.teachers = TeacherProvider(config, device, student)
        specs = [method.spec for method in distillation.all]
        self.needs_target = distillation.target_source is not TargetSource.NONE and (
            self.distill_loss is not None or any(spec.needs_target for spec in specs)
        )
        target_is_computed = self.needs_target and self.teachers.cached is None
        if target_is_computed or any(spec.queries_teacher for spec in specs):
            self.teachers.build_target()
        self.methods = nn.ModuleList()
        for method in distillation.all:
            method_class = cast(type[Method], method.spec)
            self.methods.append(method_class(method.options, self.teachers, method.key))
        self.to(device)

    def losses(
        self, student: Callable[[torch.Tensor], torch.Tensor], batch: Batch
    ) -> dict[str, torch.Tensor]:
        """Compute the losses of one step.

        Args:
            student: The network that is trained: (b, 3, h, w) -> (b, 3, scale · h, scale · w).
            batch: Images.

        Returns:
            Scalars by log name (``l_pix``, ``l_distill``, …); their sum is minimised.

        Raises:
            OptionError: Two methods name a loss alike, or one names it ``l_pix`` or ``l_distill``.
        """
        teachers = self.teachers
        from_cache = self.needs_target and teachers.cached is not None
        target, teacher_features = teachers.target_and_features(
            batch.lq, wanted=self.needs_target and not from_cache
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
        self._add_losses_of_methods(losses, step)
        return losses

    def _add_losses_of_methods(self, losses: dict[str, torch.Tensor], step: Step) -> None:
        owners = dict(_LOSSES_OF_TRAINING)
        for method in cast(Iterable[Method], self.methods):
            owner = type(method).__name__
            for name, loss in method.losses(step).items():
                if name in owners:
                    raise OptionError(
                        f"train.kd: {owners[name]} and {owner} both have a loss '{name}'; "
                        f'expected a name that no other loss has: rename that of {owner}'
                    )
                owners[name] = owner
                losses[name] = loss

    def describe(self) -> list[str]:
        """Return lines for the log: what the student learns from, and with what."""
        names = ' + '.join(type(method).__name__ for method in self.methods)
        count = sum(p.numel() for p in self.parameters())
        adapters = f', {count:,d} parameters of adapters' if count else ''
        return [*self.teachers.describe(), f'Method: {names}{adapters}']
