"""Teachers of any architecture that spandrel knows, which it reads off the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import pad

from ..errors import OptionError, WeightsError
from ..weights.loading import read_weights, state_dict_of
from ..weights.networks import SPANDREL

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor  # an extra, which need not be installed

    from ..config import TeacherOptions


class SpandrelNetwork(nn.Module):
    """A super-resolution network that spandrel has built, for inputs of more sizes.

    Args:
        descriptor: The network and what is known about it.

    Attributes:
        size_multiple: What height and width of an input have to be divisible by.
        arch_name: As spandrel calls the architecture.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], h and w multiples of ``size_multiple``. What is
          smaller than the network takes, or not square where it has to be, is padded here.
        - Output: (b, 3, scale · h, scale · w), RGB.
    """

    def __init__(self, descriptor: ImageModelDescriptor[Any]) -> None:
        super().__init__()
        self.model = descriptor.model
        self.scale = descriptor.scale
        self.arch_name = f'{descriptor.architecture.name} (spandrel)'
        self.supports_bf16 = descriptor.supports_bfloat16
        self.requirements = descriptor.size_requirements
        self.size_multiple = self.requirements.multiple_of

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enlarge images: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        h, w = x.shape[-2:]
        right, bottom = self.requirements.get_padding(w, h)
        if right or bottom:
            # Repeated borders: reflection has no more pixels than the image.
            x = pad(x, (0, right, 0, bottom), mode='replicate')
        return self.model(x)[..., : h * self.scale, : w * self.scale]


def load_spandrel(options: TeacherOptions, key: str) -> SpandrelNetwork:
    """Build and load a network whose architecture is read off its weights.

    Args:
        options: ``network`` is ``{type: Spandrel}``.
        key: Where they stand in the option file, for messages.

    Returns:
        RGB to RGB.

    Raises:
        OptionError: spandrel is not installed, or the network is given arguments.
        WeightsError: unreadable, an architecture that spandrel does not know, or not one for
            super-resolution of RGB images.
    """
    arguments = [name for name in options.network if name != 'type']
    if arguments:
        raise OptionError(
            f'{key}.network.{arguments[0]}: {SPANDREL} takes no arguments, it reads all of them '
            'off the weights; remove it'
        )
    try:
        from spandrel import MAIN_REGISTRY, ImageModelDescriptor, canonicalize_state_dict
    except ImportError as error:
        raise OptionError(
            f"{key}.network.type: {SPANDREL} needs an extra: pip install 'mtkd_basicsr[spandrel]' "
            f'({error})'
        ) from error
    path = f'{key}.weights'
    content = read_weights(options.weights, path)
    try:
        # What is nested under other names than BasicSR's is for spandrel to unpack.
        state = state_dict_of(content, options.weights, path, options.param_key)
    except WeightsError:
        if options.param_key is not None:
            raise
        state = content
    try:
        descriptor = MAIN_REGISTRY.load(canonicalize_state_dict(state))
    # whatever its forty readers raise at a state dict that is none of theirs
    except Exception as error:
        raise WeightsError(
            f"{path}: '{options.weights}': spandrel knows no network that it fits "
            f'({type(error).__name__}); its first keys '
            f'are {", ".join(map(str, list(state)[:5]))}'
        ) from error
    channels = descriptor.input_channels, descriptor.output_channels
    if (
        not isinstance(descriptor, ImageModelDescriptor)
        or descriptor.purpose != 'SR'
        or channels != (3, 3)
    ):
        raise WeightsError(
            f"{path}: '{options.weights}' is {descriptor.architecture.name} for "
            f'{descriptor.purpose}, {channels[0]} to '
            f'{channels[1]} channels; expected super-resolution (SR) of RGB images, 3 to 3'
        )
    return SpandrelNetwork(descriptor)
