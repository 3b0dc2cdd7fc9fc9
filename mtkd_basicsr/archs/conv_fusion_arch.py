"""ConvFusion, the plain convolutional network that DCTSwin is measured against."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..host.api import ARCH_REGISTRY, ResidualBlockNoBN
from ..utils.registry import register
from .dctswin_arch import DCTSwin


class ConvGroup(nn.Module):
    """Residual blocks and a 3×3 convolution, with a skip connection around all of them.

    It replaces a group of DCTSwin blocks.

    Args:
        dim: Number of channels.
        blocks: Number of residual blocks.
    """

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *[ResidualBlockNoBN(dim) for _ in range(blocks)], nn.Conv2d(dim, dim, 3, 1, 1)
        )

    def forward(self, x: torch.Tensor, *_: Any) -> torch.Tensor:
        """Run the blocks: (b, h, w, dim) -> the same shape; further arguments are ignored."""
        y: torch.Tensor = self.body(x.permute(0, 3, 1, 2))
        return x + y.permute(0, 2, 3, 1)


@register(ARCH_REGISTRY)
class ConvFusion(DCTSwin):
    """DCTSwin with the residual blocks of EDSR (two 3×3 convolutions) in the place of its attention
    blocks.

    A block has 18 · ``embed_dim``² weights, one of DCTSwin with ``mlp_ratio: 2`` 8 ·
    ``embed_dim``²: depths [2, 2] here are nearly as large as [4, 4] there.

    Args:
        upscale, in_chans, num_out_ch, img_range, patch_norm, skip: As of DCTSwin.
        depths (list[int]): Residual blocks of each group.
        embed_dim (int): Channels inside.

    Raises:
        OptionError: As for DCTSwin.

    Shape:
        - Input: (b, in_chans, H, W), teachers one after the other, RGB in [0, 1]; any H and W.
        - Output: (b, num_out_ch, H, W), RGB, [0, 1] up to over- and undershoots, which are not
          cut off.
    """

    def __init__(
        self,
        upscale: int = 4,
        in_chans: int = 9,
        num_out_ch: int = 3,
        img_range: float = 1.0,
        depths: Sequence[int] = (2, 2),
        embed_dim: int = 96,
        patch_norm: bool = True,
        skip: str = 'none',
    ) -> None:
        # There are no windows here: the smallest size, 2, needs the least padding.
        super().__init__(
            upscale,
            in_chans,
            num_out_ch,
            window_size=2,
            img_range=img_range,
            depths=(),
            embed_dim=embed_dim,
            num_heads=(),
            patch_norm=patch_norm,
            skip=skip,
        )
        self.layers = nn.ModuleList(ConvGroup(embed_dim, blocks) for blocks in depths)
