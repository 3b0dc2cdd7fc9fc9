"""What every distillation method is: something that turns a batch and a student into named losses."""

from dataclasses import dataclass
from typing import Optional

import torch
from torch import nn


@dataclass
class Batch:
    """Images of one step, RGB, [0, 1], on the training device.

    Attributes:
        lq (Tensor): (b, 3, h, w).
        gt (Tensor): (b, 3, scale · h, scale · w).
        target (Tensor | None): (b, 3, scale · h, scale · w), out of a cache.
    """
    lq: torch.Tensor
    gt: torch.Tensor
    target: Optional[torch.Tensor] = None


class Distiller(nn.Module):
    """Base of the methods. Parameters that it holds and that require a gradient are trained with the student.

    Args:
        opt (dict): All options of the training.
        device: Where the student is.
    """

    def __init__(self, opt, device):
        super().__init__()
        self.opt, self.device = opt, device

    def losses(self, student, batch):
        """Losses of one step.

        Args:
            student: The network that is trained: (b, 3, h, w) -> (b, 3, scale · h, scale · w).
            batch (Batch): Images.

        Returns:
            dict[str, Tensor]: Scalars by log name (``l_pix``, ``l_distill``, …); their sum is minimised.
        """
        raise NotImplementedError

    def describe(self):
        """Lines for the log: what the student learns from."""
        return []
