"""Students as graphs of tensor operations that are valid for images of any size.

An exporter runs a network once and records its operations. Values that Python computes from the
size of that one image would become constants: the padding, SwinIR's attention masks, its choice
between stored and computed masks, the batch size. Here tensor operations compute all of them.
"""

import copy
from typing import cast

import torch
from torch import nn

from ...archs import SpandrelNetwork
from ...functional.padding import reflection_indices
from ...host.api import SwinTransformerBlock
from ...weights.folding import fold
from ...weights.networks import size_multiple

_MASKED = -100.0  # Swin adds this to a masked score


class TraceableSwinBlock(nn.Module):
    """A traceable equivalent of BasicSR's ``SwinTransformerBlock`` in ``eval()``.

    Args:
        block: The block; its layers are shared, not copied.

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
        # A graph keeps the device of torch.arange; type_as moves the index to the device of x.
        below = (torch.arange(h) >= h - self.shift).type_as(x)
        right = (torch.arange(w) >= w - self.shift).type_as(x)
        side = self._to_windows((2 * below[:, None] + right)[None, :, :, None], h, w).squeeze(-1)
        return (side[:, :, None] != side[:, None, :]).type_as(x) * _MASKED

    def forward(self, x: torch.Tensor, x_size: tuple[int, int]) -> torch.Tensor:
        """Compute the output of the block; see the class."""
        h, w = x_size
        y = self.norm1(x).view(-1, h, w, x.shape[-1])
        if self.shift:
            y = y.roll((-self.shift, -self.shift), (1, 2))
        mask = self.attention_mask(x, h, w) if self.shift else None
        y = self.attn(self._to_windows(y, h, w), mask)
        y = self._to_image(y, h, w)
        if self.shift:
            y = y.roll((self.shift, self.shift), (1, 2))
        x = x + y.reshape(x.shape)
        return x + self.mlp(self.norm2(x))


class TraceableStudent(nn.Module):
    """A traceable network that pads its input by reflection, and crops and clips its output.

    It equals ``run_padded(net, x, size_multiple(net), scale).clamp(0, 1)``, but nothing in its
    graph depends on the size of one image. Blocks that train as several branches are folded.

    Args:
        net: EDSR, RCAN, SwinIR, or another traceable network; copied, in ``eval()``.
        scale: Factor that it upscales by.
        half: Whether to compute with 16 bits; input and output have 32.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], any size.
        - Output: (b, 3, scale · h, scale · w), RGB, clipped to [0, 1].
    """

    def __init__(self, net: nn.Module, scale: int, half: bool = False) -> None:
        super().__init__()
        self.net = fold(copy.deepcopy(net).eval().requires_grad_(False))
        self.multiple = size_multiple(net)
        self.scale = scale
        self.half_precision = half
        if half:
            self.net.half()
        if isinstance(self.net, SpandrelNetwork):
            self.net.requirements = None  # Python computes its padding from the size
        # Gives indices an integer type and the device that the graph runs on.
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
        """Upscale images; see the class."""
        h, w = x.shape[-2:]
        if self.multiple > 1:
            x = self._padded(self._padded(x, -2), -1)
        output = self.net(x.half() if self.half_precision else x)
        return output[..., : h * self.scale, : w * self.scale].float().clamp(0, 1)
