"""ConvFusion, the plain convolutional network that DCTSwin is measured against."""

from basicsr.archs.arch_util import ResidualBlockNoBN
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from ..utils.registry import register
from .dctswin_arch import DCTSwin


class ConvGroup(nn.Module):
    """Residual blocks and a 3×3 convolution, and a skip around all: what a group of DCTSwin blocks
    is exchanged for.
    """

    def __init__(self, dim, blocks):
        super().__init__()
        self.body = nn.Sequential(
            *[ResidualBlockNoBN(dim) for _ in range(blocks)], nn.Conv2d(dim, dim, 3, 1, 1)
        )

    def forward(self, x, *_):
        """(b, h, w, dim) -> the same shape."""
        return x + self.body(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


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
        OptionError: as DCTSwin.

    Shape:
        - Input: (b, in_chans, H, W), teachers one after the other, RGB in [0, 1]; any H and W.
        - Output: (b, num_out_ch, H, W), RGB, [0, 1] up to over- and undershoots, which are not
          cut off.
    """

    def __init__(
        self,
        upscale=4,
        in_chans=9,
        num_out_ch=3,
        img_range=1.0,
        depths=(2, 2),
        embed_dim=96,
        patch_norm=True,
        skip='none',
    ):
        # The windows are of no use here: 2, the smallest, needs the least padding.
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
