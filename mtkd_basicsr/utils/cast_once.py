"""Layers whose weights are cast for autocast once, and not at every forward pass.

Autocast keeps its casts of weights that are trained, within one forward pass, and casts those of a
frozen network whenever they are used: in RCAN two of five operations are such casts.
"""

from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from .compiling import is_compiling, is_lasting
from .precision import autocast_type

# Weight and bias, and where and in which version the weight was when they were cast.
_Cast: TypeAlias = tuple[torch.Tensor, torch.Tensor | None, tuple[Any, ...]]


class Conv2d(nn.Conv2d):
    """A frozen ``nn.Conv2d``, of the same name in messages."""

    _cast: _Cast | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the convolution: (b, in_channels, h, w) -> (b, out_channels, h', w')."""
        return cast(torch.Tensor, self._conv_forward(x, *_cast_weights(self)))


class Linear(nn.Linear):
    """A frozen ``nn.Linear``, of the same name in messages."""

    _cast: _Cast | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the layer: (..., in_features) -> (..., out_features)."""
        return F.linear(x, *_cast_weights(self))


def _cast_weights(layer: Conv2d | Linear) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return weight and bias in the type of autocast; as they are where torch has to cast them.

    The parameters stay in fp32, for passes without autocast and for files.
    """
    weight = layer.weight
    bias = layer.bias
    if is_compiling() or type(weight) is not nn.Parameter or weight.requires_grad:
        return weight, bias
    dtype = autocast_type(weight.device)
    if dtype is None or weight.dtype != torch.float32:
        return weight, bias
    state = (weight.data_ptr(), weight._version, weight.device, dtype)
    if layer._cast is not None and layer._cast[2] == state:
        return layer._cast[:2]
    # Not tensors for inference alone: a gradient may have to pass the layer.
    with torch.inference_mode(False), torch.no_grad():
        weight = weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    layer._cast = (weight, bias, state) if is_lasting(weight) else None
    return weight, bias


_KINDS: dict[type, type[nn.Module]] = {nn.Conv2d: Conv2d, nn.Linear: Linear}


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
        if isinstance(module, (Conv2d, Linear)):
            module._cast = None
