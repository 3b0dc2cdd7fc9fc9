"""Fold blocks that train as several branches into the one convolution that they compute."""

import copy
from typing import cast

import torch
from torch import nn

from ..host.api import ECB


def _convolution(weight: torch.Tensor, bias: torch.Tensor) -> nn.Conv2d:
    """Return a 3×3 convolution that keeps the size of an image."""
    out_channels, in_channels = weight.shape[:2]
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    with torch.no_grad():
        layer.weight.copy_(weight)
        cast(torch.Tensor, layer.bias).copy_(bias)
    return layer.to(weight.device).requires_grad_(False)


def folded_ecb(block: ECB) -> tuple[nn.Conv2d, nn.Module | None]:
    """Return the convolution of a block of ECBSR, and its activation, if it has one."""
    with torch.no_grad():
        weight, bias = block.rep_params()
    return _convolution(weight, bias), getattr(block, 'act', None)


def _folded_conv3xc(block: nn.Module) -> nn.Module:
    """Return what a ``Conv3XC`` of SPAN computes in ``eval()``, without computing it anew."""
    precise = copy.deepcopy(block).double()
    precise.update_params()  # type: ignore[operator]
    kept = cast(nn.Conv2d, precise.eval_conv).float()
    layer = _convolution(kept.weight, cast(torch.Tensor, kept.bias))
    layer.stride = kept.stride
    return nn.Sequential(layer, nn.LeakyReLU(0.05)) if block.has_relu else layer


def fold(net: nn.Module) -> nn.Module:
    """Fold the blocks of ECBSR and SPAN in place; other networks stay as they are.

    Args:
        net: A network in ``eval()``.

    Returns:
        ``net``, whose output is the same up to rounding.
    """
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, ECB):
                layer, activation = folded_ecb(child)
                setattr(parent, name, nn.Sequential(layer, activation) if activation else layer)
            # Spandrel's class is in a private module.
            elif type(child).__name__ == 'Conv3XC' and hasattr(child, 'update_params'):
                setattr(parent, name, _folded_conv3xc(child))
    return net
