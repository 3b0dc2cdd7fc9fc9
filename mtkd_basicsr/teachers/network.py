"""Teachers that are networks: those registered in BasicSR, and those known to spandrel."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..config import TeacherOptions
from ..errors import OptionError
from ..functional.padding import run_padded
from ..utils.memory import is_out_of_memory
from ..weights.loading import load_weights
from ..weights.networks import arch_name, build, is_inferred, size_multiple
from ..weights.reading import recorded_network
from .kinds import register_teacher
from .spandrel import load_spandrel

# Smallest side of the image on which a network is tested, in pixels.
_MIN_TEST_SIZE = 16


@register_teacher(TeacherOptions)
class NetworkTeacher(nn.Module):
    """A teacher whose network runs here.

    Args:
        options: The network and its weights.
        key: Option key of the teacher, for messages.

    Attributes:
        network: The bare network.
        warning: Says what of the network stays random, or which option is not used; None if there
            is nothing to say.

    Raises:
        OptionError: The network cannot be built.
        WeightsError: The weights file is missing or does not fit.
    """

    runs_here = True

    def __init__(self, options: TeacherOptions, key: str) -> None:
        super().__init__()
        self.network: nn.Module
        self.warning: str | None = None
        block = options.network or recorded_network(options.weights, f'{key}.weights')
        if block is None or is_inferred(block):
            self.network = load_spandrel(options, key)
        else:
            self.network = build(block, f'{key}.network')
            self.warning = load_weights(
                self.network,
                options.weights,
                f'{key}.weights',
                options.strict,
                options.param_key,
            ).warning
            self.warning = self.warning or self._other_mean(block.get('rgb_mean'), key)
        self.arch_name = arch_name(self.network)
        # Only networks of spandrel declare it.
        self.supports_bf16 = bool(getattr(self.network, 'supports_bf16', True))

    def _other_mean(self, given: Sequence[float] | None, key: str) -> str | None:
        """Return a warning if the weights brought another colour mean than that of the options."""
        mean = getattr(self.network, 'mean', None)
        if given is None or not isinstance(mean, torch.Tensor):
            return None
        if torch.allclose(mean.flatten(), torch.tensor(given, dtype=mean.dtype), atol=1e-4):
            return None
        used = [round(value, 4) for value in mean.flatten().tolist()]
        return f'{key}.network.rgb_mean: {given}; that of the weights is used instead, {used}'

    def enlarge(self, lq: torch.Tensor, scale: int) -> torch.Tensor:
        """Run the network, with padding: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        return run_padded(self.network, lq, size_multiple(self.network), scale)

    def check_scale(self, key: str, scale: int, device: str | torch.device) -> None:
        """Raise if the output does not have the size required by ``scale``."""
        multiple = size_multiple(self.network)
        size = -(-_MIN_TEST_SIZE // multiple) * multiple
        x = torch.zeros(1, 3, size, size, device=device)
        try:
            with torch.no_grad():
                shape = tuple(self.network(x).shape)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise OptionError(
                    f'{key}: not enough memory on {device} for the network and an image of '
                    f'{size}×{size}; close other programs, or use another device'
                ) from error
            raise OptionError(f'{key}: fails for input {tuple(x.shape)}: {error}') from error
        expected = (1, 3, size * scale, size * scale)
        if shape != expected:
            raise OptionError(
                f'{key}: output {shape} for input {tuple(x.shape)}; scale is {scale}, expected '
                f'{expected}'
            )

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Raise, because a network has no outputs to read."""
        raise OptionError(f"'{name}': {self.arch_name} is a network and has no outputs to read")

    def check_outputs(self, images: Sequence[Sequence[Any]], validation: bool = False) -> None:
        """Do nothing: the network can run on every image."""
