"""Layers whose weights are cast for autocast once, and not at every forward pass.

Autocast keeps its casts of weights that are trained, within one forward pass, and casts those of a
frozen network whenever they are used: in RCAN two of five operations are such casts.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from .compiling import is_compiling, is_lasting
from .precision import autocast_type

# Weight and bias, and where and in which version the weight was when they were cast.
_Cast = tuple[torch.Tensor, torch.Tensor | None, tuple[Any, ...]]


class _CastOnce(nn.Module):
    """What both layers share: weight and bias in the type of autocast.

    The parameters stay as they are, for passes without autocast and for files.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    _cast: _Cast | None = None

    def cast_weights(self) -> tuple[torch.Tensor, torch.Tensor | None] | None:
        """Return weight and bias in the type of autocast; None if torch has to cast them."""
        weight = self.weight
        if is_compiling() or type(weight) is not nn.Parameter or weight.requires_grad:
            return None
        dtype = autocast_type(weight.device)
        if dtype is None or weight.dtype != torch.float32:
            return None
        state = (weight.data_ptr(), weight._version, weight.device, dtype)
        if self._cast is not None and self._cast[2] == state:
            return self._cast[:2]
        # Not tensors for inference alone: a gradient may have to pass the layer.
        with torch.inference_mode(False), torch.no_grad():
            cast = weight.to(dtype)
            bias = None if self.bias is None else self.bias.to(dtype)
        self._cast = (cast, bias, state) if is_lasting(cast) else None
        return cast, bias


class Conv2dCastOnce(_CastOnce, nn.Conv2d):
    """A frozen ``nn.Conv2d``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the convolution: (b, in_channels, h, w) -> (b, out_channels, h', w')."""
        weight, bias = self.cast_weights() or (self.weight, self.bias)
        return self._conv_forward(x, weight, bias)


class LinearCastOnce(_CastOnce, nn.Linear):
    """A frozen ``nn.Linear``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the layer: (..., in_features) -> (..., out_features)."""
        weight, bias = self.cast_weights() or (self.weight, self.bias)
        return F.linear(x, weight, bias)


_KINDS: dict[type, type[nn.Module]] = {nn.Conv2d: Conv2dCastOnce, nn.Linear: LinearCastOnce}


def cast_once(net: nn.Module) -> None:
    """Make the convolutions and linear layers of a frozen network cast their weights once.

    The results are those of autocast, to the bit: where a network uses a weight without calling its
    layer, or switches autocast off, nothing changes. Casts take half the memory of the weights.

    Args:
        net: The network, modified.
    """
    for module in net.modules():
        kind = _KINDS.get(type(module))
        # A parametrized layer computes its weight anew at each pass.
        if kind is not None and isinstance(module._parameters.get('weight'), nn.Parameter):
            module.__class__ = kind


def forget_casts(net: nn.Module) -> None:
    """Free the memory of all casts."""
    for module in net.modules():
        if isinstance(module, _CastOnce):
            module._cast = None
