"""Pixel-shuffle upsampling, and a fast way to compute it together with the last convolution."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class Upsample(nn.Sequential):
    """3×3 convolutions and pixel shuffles: ×2 once per factor of 2, or ×3 once."""

    def __init__(self, scale: int, channels: int) -> None:
        factors = {1: [], 2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]
        layers: list[nn.Module] = []
        for factor in factors:
            layers.append(nn.Conv2d(channels, factor**2 * channels, 3, 1, 1))
            layers.append(nn.PixelShuffle(factor))
        super().__init__(*layers)


def _layer_by_layer(
    layers: Sequence[nn.Module], x: torch.Tensor, pad: Sequence[int] = (1, 1, 1, 1)
) -> torch.Tensor:
    """Run 3×3 convolutions, padded by ``pad`` (left, right, top, bottom), and pixel shuffles."""
    for layer in layers:
        if isinstance(layer, nn.PixelShuffle):
            x = layer(x)
        else:
            convolution = cast(nn.Conv2d, layer)
            x = F.conv2d(F.pad(x, pad), convolution.weight, convolution.bias)
    return x


def _merged_convolution(
    layers: Sequence[nn.Module], scale: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge all layers into a 5×5 convolution that one pixel shuffle by ``scale`` follows.

    The layers are linear up to their biases: y = A x + a. One input pixel corresponds to a cell of
    scale × scale output pixels, and every cell has the same A, shifted. The weight of the merged
    convolution for one output value of the cell is the row of A for that value, that is, Aᵀ applied
    to an image that is 1 there and 0 elsewhere: the transposed layers in reverse order, a
    convolution becoming a transposed convolution and a pixel shuffle a pixel unshuffle. A cell and
    its surroundings, rounded outwards to whole pixels at each unshuffle, spread over 5×5 input
    pixels at every scale. The bias is y for x = 0.

    Returns:
        Weight (n · scale², channels, 5, 5) and bias (n · scale²), for n output channels.
    """
    *upsample, final = layers
    last = cast(nn.Conv2d, final)
    n = last.out_channels
    with torch.autocast(last.weight.device.type, enabled=False):
        ones = torch.eye(n * scale**2, dtype=last.weight.dtype, device=last.weight.device)
        weight = F.conv_transpose2d(ones.view(-1, n, scale, scale), last.weight)
        cell = scale
        for layer in reversed(upsample):
            if isinstance(layer, nn.PixelShuffle):
                # Pad what reaches beyond the cell to whole pixels of the smaller image.
                factor = layer.upscale_factor
                beyond = (weight.shape[-1] - cell) // 2
                weight = F.pixel_unshuffle(F.pad(weight, [-beyond % factor] * 4), factor)
                cell //= factor
            else:
                weight = F.conv_transpose2d(weight, cast(nn.Conv2d, layer).weight)
        zeros = torch.zeros((1, weight.shape[1], 3, 3), dtype=weight.dtype, device=weight.device)
        bias = F.pixel_unshuffle(_layer_by_layer(layers, zeros), scale)[0, :, 1, 1]
    return weight, bias


def upsample_to_image(layers: Sequence[nn.Module], x: torch.Tensor, scale: int) -> torch.Tensor:
    """Compute the output of a chain of layers, for a fraction of their work and memory.

    There is no activation between the layers, so that one 5×5 convolution at the small size can
    replace all of them, without large maps of many channels. Only the outermost cells differ,
    because every layer pads its own input with zeros: these four strips are computed layer by
    layer, from the three outermost rows or columns of ``x``.

    Only the weights of the layers are used; the layers are not called, so that their forward hooks
    do not run.

    Args:
        layers: 3×3 convolutions with zero padding, each but the last followed by a pixel shuffle.
        x: (b, channels, h, w).
        scale: Product of the factors of the pixel shuffles.

    Returns:
        (b, n, scale · h, scale · w) with the n output channels of the last convolution.
    """
    if len(layers) == 1 or min(x.shape[-2:]) < 3:
        return _layer_by_layer(layers, x)
    weight, bias = _merged_convolution(layers, scale)
    inner = F.pixel_shuffle(F.conv2d(x, weight, bias, padding=1), scale)
    top = _layer_by_layer(layers, x[:, :, :3], (1, 1, 1, 0))[:, :, :scale]
    bottom = _layer_by_layer(layers, x[:, :, -3:], (1, 1, 0, 1))[:, :, -scale:]
    left = _layer_by_layer(layers, x[..., :3], (1, 0, 1, 1))[:, :, scale:-scale, :scale]
    right = _layer_by_layer(layers, x[..., -3:], (0, 1, 1, 1))[:, :, scale:-scale, -scale:]
    middle = torch.cat([left, inner, right], 3)
    return torch.cat([top, middle, bottom], 2)
