"""Pixel-shuffle upsampling, and a fast way to compute it together with the last convolution."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from ..utils.compiling import is_compiling, is_lasting


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


class MergedConvolution:
    """The merged convolution of a chain of layers, kept while their weights are frozen.

    It is computed anew if any weight requires a gradient, and after weights were loaded, moved,
    converted or modified. Only what a caller writes into the ``data`` of a frozen weight is not
    seen, because torch does not count that.
    """

    def __init__(self) -> None:
        self._weights: list[torch.Tensor] = []
        self._versions: list[int] = []
        self._merged: tuple[torch.Tensor, torch.Tensor] | None = None

    def __reduce__(self) -> tuple[type['MergedConvolution'], tuple[()]]:
        # A copy of a network has weights of its own.
        return MergedConvolution, ()

    def of(self, layers: Sequence[nn.Module], scale: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and bias of the convolution; see :func:`_merged_convolution`."""
        # Where all tensors are fake, operations are counted: those of a whole forward pass.
        is_traced = torch.jit.is_tracing() or is_compiling() or not is_lasting(torch.empty(0))
        if is_traced or not all(map(_can_be_watched, layers)):
            return _merged_convolution(layers, scale)
        weights = [p.detach() for layer in layers for p in layer.parameters()]
        if self._merged is not None and self._is_unchanged(weights):
            return self._merged
        # Tensors that were made in inference mode could not be used in a training.
        with torch.inference_mode(False), torch.no_grad():
            merged = _merged_convolution(layers, scale)
        self._merged = merged if is_lasting(merged[0]) else None
        # They share the memory of the weights, which therefore is not used for others.
        self._weights = weights
        self._versions = [w._version for w in weights]
        return merged

    def _is_unchanged(self, weights: Sequence[torch.Tensor]) -> bool:
        if len(weights) != len(self._weights):
            return False
        for weight, kept, version in zip(weights, self._weights, self._versions, strict=True):
            same_memory = weight.data_ptr() == kept.data_ptr() and weight.dtype == kept.dtype
            if not same_memory or weight.stride() != kept.stride() or weight._version != version:
                return False
        return True


def _can_be_watched(layer: nn.Module) -> bool:
    """Return whether the weights of a layer are frozen, and tell when they change."""
    # Tensors of inference mode have no version.
    return not any(p.requires_grad or p.is_inference() for p in layer.parameters())


def upsample_to_image(
    layers: Sequence[nn.Module],
    x: torch.Tensor,
    scale: int,
    merged: MergedConvolution | None = None,
) -> torch.Tensor:
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
        merged: Keeps the merged convolution of these layers for the next call.

    Returns:
        (b, n, scale · h, scale · w) with the n output channels of the last convolution.
    """
    if len(layers) == 1 or min(x.shape[-2:]) < 3:
        return _layer_by_layer(layers, x)
    weight, bias = (merged or MergedConvolution()).of(layers, scale)
    inner = F.pixel_shuffle(F.conv2d(x, weight, bias, padding=1), scale)
    top = _layer_by_layer(layers, x[:, :, :3], (1, 1, 1, 0))[:, :, :scale]
    bottom = _layer_by_layer(layers, x[:, :, -3:], (1, 1, 0, 1))[:, :, -scale:]
    left = _layer_by_layer(layers, x[..., :3], (1, 0, 1, 1))[:, :, scale:-scale, :scale]
    right = _layer_by_layer(layers, x[..., -3:], (0, 1, 1, 1))[:, :, scale:-scale, -scale:]
    middle = torch.cat([left, inner, right], 3)
    return torch.cat([top, middle, bottom], 2)
