"""An earlier state of the student, which follows its moving average in large steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..weights.networks import build

if TYPE_CHECKING:
    from .teacher_provider import TeacherProvider

# The share of the moving average in the history student after an update.
_SHARE = 0.9


class HistoryStudent:
    r"""A frozen network of the student's arch. It is no module, so that nobody trains it.

    It begins with the weights of the student, and is updated by

    .. math::
        \theta_{his} \leftarrow 0.1 \, \theta_{his} + 0.9 \, \theta_{EMA}

    each time that as many iterations have passed as the schedule asks for at that iteration.

    Args:
        teachers: The student and its options.
        periods: Iterations between two updates, for each part of the training.
        milestones: The last iteration of each part but the last one.

    Attributes:
        updated: The iteration of the last update; 0 before the first one.
    """

    def __init__(
        self, teachers: 'TeacherProvider', periods: Sequence[int], milestones: Sequence[int]
    ) -> None:
        self._teachers = teachers
        self._periods = periods
        self._milestones = milestones
        self._net = build(teachers.config.network, 'network_g')
        self._net.load_state_dict(teachers.student_tap.net.state_dict())
        self._net.requires_grad_(False)
        self._net.eval().to(teachers.device)
        self._format = torch.contiguous_format
        if teachers.config.speed.channels_last:
            self._format = torch.channels_last
            self._net.to(memory_format=self._format)
        self.updated = 0

    @torch.no_grad()
    def __call__(self, lq: torch.Tensor) -> torch.Tensor:
        """Run the network with the student's precision.

        Args:
            lq: (b, 3, h, w).

        Returns:
            (b, 3, scale · h, scale · w), float32.
        """
        bf16 = self._teachers.student_precision == 'bf16'
        with torch.autocast(lq.device.type, torch.bfloat16, enabled=bf16):
            return self._net(lq.contiguous(memory_format=self._format)).float()

    def period(self, iteration: int) -> int:
        """Return the number of iterations between two updates at an iteration."""
        part = sum(iteration > milestone for milestone in self._milestones)
        return self._periods[part]

    @torch.no_grad()
    def follow(self, iteration: int, averaged: nn.Module) -> None:
        """Update the network if it is time to.

        Args:
            iteration: The iteration that has been made.
            averaged: The moving average of the student.
        """
        if iteration - self.updated < self.period(iteration):
            return
        parameters = dict(averaged.named_parameters())
        for name, parameter in self._net.named_parameters():
            parameter.lerp_(parameters[name], _SHARE)
        self._copy_buffers(averaged)
        self.updated = iteration

    def _copy_buffers(self, averaged: nn.Module) -> None:
        buffers = dict(averaged.named_buffers())
        for name, buffer in self._net.named_buffers():
            # A network may keep buffers for the last size of an image, which differ in shape.
            if buffers[name].shape == buffer.shape:
                buffer.copy_(buffers[name])

    def start_from(self, iteration: int, averaged: nn.Module) -> None:
        """Begin at an iteration with the moving average of the student."""
        self._net.load_state_dict(averaged.state_dict())
        self.updated = iteration

    def state(self) -> dict[str, Any]:
        """Return weights and schedule, for a training state."""
        weights = {name: tensor.cpu() for name, tensor in self._net.state_dict().items()}
        return {'history': weights, 'updated': self.updated}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self._net.load_state_dict(state['history'])
        self.updated = state['updated']
