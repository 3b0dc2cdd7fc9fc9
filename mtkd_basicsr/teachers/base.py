"""What a teacher is, of whatever kind."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

_Frozen = TypeVar('_Frozen', bound='Frozen')


class Teacher(Protocol):
    """One teacher of an ensemble; a module, so that the ensemble moves and freezes its weights.

    Attributes:
        runs_here: Whether it is a network that :meth:`enlarge` runs; else its outputs are read with
            :meth:`read` and given to the ensemble with each image.
        arch_name: What the log calls it.
        supports_bf16: Whether its network can run under bfloat16 autocast.
    """

    runs_here: bool
    arch_name: str
    supports_bf16: bool

    def enlarge(self, lq: torch.Tensor, scale: int) -> torch.Tensor:
        """Run its network on images of any size.

        Args:
            lq: (b, 3, h, w), RGB, [0, 1].
            scale: Factor.

        Returns:
            (b, 3, scale · h, scale · w), RGB, as the network gives it.

        Raises:
            OptionError: There is no network.
        """

    def check_scale(self, key: str, scale: int, device: str | torch.device) -> None:
        """Raise if its output does not have the size that ``scale`` asks for.

        Args:
            key: Where it stands in the option file, for messages.
            scale: Factor.
            device: Where it runs.

        Raises:
            OptionError: Names the sizes.
        """

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Read its output for an image.

        Args:
            name: Path of the ground truth, or the end of it.
            size: Height and width of the ground truth.
            validation: Whether it is an image of a validation.

        Returns:
            (1, 3, height, width), RGB, [0, 1].

        Raises:
            DataError: The output is not there, not readable, or of another size.
            OptionError: It has a network, and no outputs.
        """

    def check_outputs(self, images: Sequence[Sequence[Any]]) -> None:
        """Raise if an output that has to be read is missing or of another size.

        Args:
            images: ``[name, height, width]`` of each ground truth.

        Raises:
            DataError: Names the first one.
        """


class Frozen(nn.Module):
    """A module that is never trained.

    It is in ``eval()`` for ever, without gradients, and has no part in anybody's training mode.
    """

    def freeze(self, device: str | torch.device, channels_last: bool) -> None:
        """Move everything to the device for good, at the end of ``__init__``."""
        self.to(device)
        self.lay_out(channels_last)
        self.requires_grad_(False)
        super().train(False)

    def lay_out(self, channels_last: bool) -> None:
        """Set how weights lie in memory."""
        self.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    def train(self: _Frozen, mode: bool = True) -> _Frozen:
        """Leave the module in evaluation mode, whatever is asked for."""
        return self
