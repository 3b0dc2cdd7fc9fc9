"""A student as one graph of tensor operations that holds for images of any size.

An exporter runs a network once and writes down what happened. What Python computed from the size of
that one image would become a constant: the padding, SwinIR's attention masks, its choice between
stored and computed masks, its batch size. Here all of it is computed by tensors.
"""

import copy
from typing import cast

import torch
from torch import nn

from ...functional.padding import reflection_indices
from ...host.api import SwinTransformerBlock
from ...weights.networks import size_multiple

_MASKED = -100.0  # what Swin adds to a masked score


class TraceableSwinBlock(nn.Module):
    """What a ``SwinTransformerBlock`` of BasicSR's SwinIR computes in ``eval()``, for a graph.

    Args:
        block: The block; its layers are shared.

    Shape:
        - Input: tokens (b, h · w, dim), and (h, w), multiples of the window size.
        - Output: (b, h · w, dim).
    """

    def __init__(self, block: SwinTransformerBlock) -> None:
        super().__init__()
        self.norm1 = block.norm1
        self.attn = block.attn
        self.norm2 = block.norm2
        self.mlp = block.mlp
        self.size = block.window_size
        self.shift = block.shift_size

    def _to_windows(self, x: torch.Tensor, h: int, w: int) -> torch.Tensor:
        """Cut (b, h, w, c) into (b · windows, size², c)."""
        x = x.view(-1, h // self.size, self.size, w // self.size, self.size, x.shape[-1])
        return x.transpose(2, 3).reshape(-1, self.size**2, x.shape[-1])

    def _to_image(self, x: torch.Tensor, h: int, w: int) -> torch.Tensor:
        """Invert :meth:`_to_windows`."""
        x = x.view(-1, h // self.size, w // self.size, self.size, self.size, x.shape[-1])
        return x.transpose(2, 3).reshape(-1, h, w, x.shape[-1])

    def attention_mask(self, x: torch.Tensor, h: int, w: int) -> torch.Tensor:
        """Compute the attention masks, (windows, size², size²).

        After the cyclic shift, pixels from opposite borders meet in the last row and column of
        windows.
        """
        # An index is made where the graph was recorded; like x it is wherever the graph runs.
        below, right = ((torch.arange(n) >= n - self.shift).type_as(x) for n in (h, w))
        side = self._to_windows((2 * below[:, None] + right)[None, :, :, None], h, w).squeeze(-1)
        return (side[:, :, None] != side[:, None, :]).type_as(x) * _MASKED

    def forward(self, x: torch.Tensor, x_size: tuple[int, int]) -> torch.Tensor:
        """Compute the output of the block, as the class says."""
        h, w = x_size
        y = self.norm1(x).view(-1, h, w, x.shape[-1])
        if self.shift:
            y = y.roll((-self.shift, -self.shift), (1, 2))
        y = self.attn(
            self._to_windows(y, h, w), self.attention_mask(x, h, w) if self.shift else None
        )
        y = self._to_image(y, h, w)
        if self.shift:
            y = y.roll((self.shift, self.shift), (1, 2))
        x = x + y.reshape(x.shape)
        return x + self.mlp(self.norm2(x))


class TraceableStudent(nn.Module):
    """A trained network for image files, which pads by reflection, crops, and cuts to [0, 1].

    Equal to ``run_padded(net, x, size_multiple(net), scale).clamp(0, 1)``, with nothing that
    depends on the size of one image.

    Args:
        net: EDSR, RCAN, SwinIR, or another network that can be recorded; is copied,
            in ``eval()``.
        scale: What it enlarges by.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], any size.
        - Output: (b, 3, scale · h, scale · w), RGB, cut to [0, 1].
    """

    def __init__(self, net: nn.Module, scale: int) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.multiple = size_multiple(net)
        self.scale = scale
        # Whole numbers, on the device that the graph runs on.
        self.register_buffer('whole', torch.zeros((), dtype=torch.long), persistent=False)
        for parent in list(self.net.modules()):
            for name, child in parent.named_children():
                if isinstance(child, SwinTransformerBlock):
                    setattr(parent, name, TraceableSwinBlock(child))

    def _padded(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        size = x.shape[dim]
        multiple = self.multiple
        indices = reflection_indices(size, (size + multiple - 1) // multiple * multiple)
        return x.index_select(dim, indices.type_as(cast(torch.Tensor, self.whole)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enlarge images, as the class says."""
        h, w = x.shape[-2:]
        if self.multiple > 1:
            x = self._padded(self._padded(x, -2), -1)
        return self.net(x)[..., : h * self.scale, : w * self.scale].clamp(0, 1)
