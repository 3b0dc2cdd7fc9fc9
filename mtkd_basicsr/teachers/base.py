"""The interface of all kinds of teachers."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from ..utils.cast_once import cast_once, forget_casts
from ..utils.plain_tensors import move_plain_tensors

_Frozen = TypeVar('_Frozen', bound='Frozen')


class Teacher(Protocol):
    """One teacher of an ensemble.

    It is a module, so that the ensemble can move and freeze its weights.

    Attributes:
        runs_here: Whether the teacher is a network, run by :meth:`enlarge`. Otherwise its outputs
            are read by :meth:`read` and passed to the ensemble with each image.
        arch_name: Name of the architecture, for the log.
        supports_bf16: Whether the network can run under bfloat16 autocast.
    """

    runs_here: bool
    arch_name: str
    supports_bf16: bool

    def enlarge(self, lq: torch.Tensor, scale: int) -> torch.Tensor:
        """Run the network on images of any size.

        Args:
            lq: (b, 3, h, w), RGB, [0, 1].
            scale: Upscaling factor.

        Returns:
            (b, 3, scale · h, scale · w), RGB, not clamped.

        Raises:
            OptionError: The teacher is not a network.
        """

    def check_scale(self, key: str, scale: int, device: str | torch.device) -> None:
        """Raise if the output does not have the size required by ``scale``.

        Args:
            key: Option key of the teacher, for messages.
            scale: Upscaling factor.
            device: Device of the teacher.

        Raises:
            OptionError: The size is wrong. The message gives both sizes.
        """

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Read the output for an image.

        Args:
            name: Path of the ground truth, or the end of it.
            size: Height and width of the ground truth.
            validation: Whether the image belongs to a validation or test set.

        Returns:
            (1, 3, height, width), RGB, [0, 1].

        Raises:
            DataError: The output is missing, unreadable, or has another size.
            OptionError: The teacher is a network and has no outputs to read.
        """

    def check_outputs(self, images: Sequence[Sequence[Any]], validation: bool = False) -> None:
        """Raise if an output to read is missing or has another size.

        Args:
            images: ``[name, height, width]`` of each ground truth.
            validation: Whether the images belong to a validation or test set.

        Raises:
            DataError: An output is missing or has another size. The message names the first one.
        """


class Frozen(nn.Module):
    """A module that is never trained: always in evaluation mode, and without gradients."""

    def freeze(self, device: str | torch.device, channels_last: bool) -> None:
        """Move the module to its device and freeze it; call this at the end of ``__init__``."""
        self.to(device)
        move_plain_tensors(self, device)
        self.set_memory_format(channels_last)
        self.requires_grad_(False)
        super().train(False)
        cast_once(self)

    def set_memory_format(self, channels_last: bool) -> None:
        """Store the weights in channels_last or in contiguous format."""
        self.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        forget_casts(self)

    def train(self: _Frozen, mode: bool = True) -> _Frozen:
        """Ignore ``mode``: the module stays in evaluation mode."""
        return self
