"""Window attention on DCT coefficients: the building block of DCTSwin."""

import contextlib
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from .cpu_attention import CPUAttention
from .window_layout import authors_shift_mask

SHIFT_MASKS = ('none', 'authors')
# Windows of one call: on a GPU kernels use one block of a CUDA grid for each, which has 65,535 at
# most in that direction (https://github.com/pytorch/pytorch/issues/146704).
MAX_WINDOWS = 65_535


def _on_safe_kernels() -> contextlib.AbstractContextManager[None]:
    """Keep attention on a GPU off cuDNN.

    cuDNN gives NaN as the gradient of queries for 64 tokens with an additive mask
    (https://github.com/pytorch/pytorch/issues/196678), reads a mask of another dtype wrongly
    (https://github.com/pytorch/pytorch/issues/191612), and plans anew for each number of windows.
    """
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # torch < 2.3 has no cuDNN attention
        return contextlib.nullcontext()
    return cast(
        contextlib.AbstractContextManager[None],
        sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]),
    )


def _attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor,
    dropout: float,
    scale: float,
) -> torch.Tensor:
    """Attend within windows, in parts that a CUDA grid can hold.

    Args:
        q, k, v: (windows, heads, tokens, channels).
        bias: (1 or windows, heads, tokens, tokens), added to the scores.
        dropout: Rate of the attention weights.
        scale: Factor of the scores.

    Returns:
        (windows, heads, tokens, channels).
    """
    parts = []
    with _on_safe_kernels() if q.device.type == 'cuda' else contextlib.nullcontext():
        for start in range(0, len(q), MAX_WINDOWS):
            part = slice(start, start + MAX_WINDOWS)
            part_bias = bias if len(bias) == 1 else bias[part]
            parts.append(
                F.scaled_dot_product_attention(
                    q[part], k[part], v[part], part_bias, dropout, scale=scale
                )
            )
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class WindowAttention(nn.Module):
    """Multi-head self-attention inside a window, with a learned bias for each relative position.

    Liu et al.: *Swin Transformer: Hierarchical Vision Transformer using Shifted Windows*, ICCV
    2021.

    Args:
        dim: Channels.
        size: Window height and width.
        num_heads: Attention heads; divides ``dim``.
        qkv_bias: Whether query, key and value have a bias.
        qk_scale: Factor of the scores; None is 1 / sqrt(dim / num_heads).
        attn_drop, proj_drop: Dropout rates of attention weights and of the output.
    """

    relative_position_index: torch.Tensor

    def __init__(
        self,
        dim: int,
        size: int,
        num_heads: int,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5 if qk_scale is None else qk_scale
        self.attn_drop = attn_drop
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * size - 1) ** 2, num_heads)
        )
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

        # Both differences lie in [-(size - 1), size - 1]: together they are one of (2 size - 1)²
        # relative positions.
        rows = torch.arange(size).repeat_interleave(size)
        columns = torch.arange(size).repeat(size)
        down = rows[:, None] - rows + size - 1
        right = columns[:, None] - columns + size - 1
        index = down * (2 * size - 1) + right
        self.register_buffer('relative_position_index', index.flatten(), persistent=False)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Attend within each window.

        Args:
            x: (windows, tokens, dim).
            mask: (masks, tokens, tokens), added to the scores; window i uses mask i modulo
                ``masks``.

        Returns:
            (windows, tokens, dim).
        """
        n, tokens, dim = x.shape
        qkv = self.qkv(x).view(n, tokens, 3, self.num_heads, dim // self.num_heads)
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.view(tokens, tokens, self.num_heads).permute(2, 0, 1).to(qkv.dtype).contiguous()
        if mask is not None:
            mask = mask.to(qkv.dtype)
            if mask.shape[0] == 1:  # what all windows have in common is part of the bias
                bias = bias + mask
                mask = None
            else:
                mask = mask.expand(n // mask.shape[0], -1, -1, -1).flatten(0, 1)
        dropout = self.attn_drop if self.training else 0.0
        if bias.requires_grad and x.device.type == 'cpu' and not dropout:
            x = cast(torch.Tensor, CPUAttention.apply(qkv, bias, mask, self.scale))
        else:
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            # Four axes even without a mask: with three, PyTorch does not take a fused kernel.
            bias = bias[None] if mask is None else bias + mask[:, None]
            x = _attention(q, k, v, bias, dropout, self.scale).transpose(1, 2)
        out: torch.Tensor = self.proj_drop(self.proj(x.reshape(n, tokens, dim)))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU between them.

    Args:
        dim: Channels of input and output.
        hidden: Channels between the layers.
        drop: Dropout rate after each layer.
    """

    def __init__(self, dim: int, hidden: int, drop: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the layers: (..., dim) -> the same shape."""
        out: torch.Tensor = self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))
        return out


class DropPath(nn.Module):
    """Stochastic depth: drops the residual branch of random samples during training.

    Args:
        rate: Probability of dropping a branch; the branches that remain are scaled up to compensate
            for it.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Zero or scale each sample of a branch: (b, ...) -> the same shape."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (keep / (1 - self.rate)).to(x.dtype)


class DCTSwinBlock(nn.Module):
    r"""Transformer block whose window attention runs on DCT coefficients.

    .. code-block:: text

        x ─┬─ norm1 ─ DCT ─ attention ─ inverse DCT ─ + ─┬─ norm2 ─ MLP ─ + ─►
           └──────────────────────────────────────────┘  └────────────────┘

    Only DCT and attention depend on the window of a token. So the input and the output of a block
    are arranged window by window, and tokens are moved once between two blocks, instead of to the
    windows and back within each block.

    Args:
        dim: Channels.
        num_heads: Attention heads.
        size: Window height and width.
        shift: Cyclic shift in pixels; 0 or ``size // 2``.
        mlp_ratio: Hidden channels of the MLP as a multiple of ``dim``.
        qkv_bias, qk_scale, attn_drop, drop: See :class:`WindowAttention`.
        drop_path: See :class:`DropPath`.
        dct_norm: Scaling of the DCT, ``'ortho'`` or ``'none'``.
        shift_mask: ``'none'``: a coefficient belongs to the whole window, nothing is masked.
            ``'authors'``: see :func:`~.window_layout.authors_shift_mask`.
        img_size: Only with the authors' mask: at feature maps of this size a block without shift
            uses no mask.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        size: int,
        shift: int,
        mlp_ratio: float,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        dct_norm: str = 'ortho',
        shift_mask: str = 'none',
        img_size: int = 64,
    ) -> None:
        super().__init__()
        self.size = size
        self.shift = shift
        self.dct_norm = dct_norm
        self.shift_mask = shift_mask
        self.img_size = img_size
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, size, num_heads, qkv_bias, qk_scale, attn_drop, drop)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop)

    def attention_mask(self, h: int, w: int, device: torch.device) -> torch.Tensor | None:
        """Return the mask of an image of h × w pixels, of one or all of its windows, if any."""
        if self.shift_mask == 'none':
            return None
        if not self.shift and h == w == self.img_size:
            return None
        return authors_shift_mask(h, w, self.size, self.shift, self.dct_norm, device)

    def forward(
        self, x: torch.Tensor, h: int, w: int, dct: torch.Tensor, inverse: torch.Tensor
    ) -> torch.Tensor:
        """Run the block on the tokens of an image of h × w pixels in the order of windows.

        See :func:`~.window_layout.window_order`.

        Args:
            x: (b, h · w, dim).
            h, w: Size of the image, multiples of ``size``.
            dct, inverse: (size², size²), the transforms of a window.

        Returns:
            (b, h · w, dim), in the same order.
        """
        y: torch.Tensor = self.norm1(x)
        # The two transforms run in fp32 even under autocast: without normalisation a coefficient is
        # up to 256 times a pixel. In a float64 network they run in float64.
        dtype = torch.promote_types(dct.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            y = dct.to(dtype) @ y.to(dtype).view(-1, self.size**2, x.shape[-1])
        y = self.attn(y, self.attention_mask(h, w, x.device))
        with torch.autocast(x.device.type, enabled=False):
            y = (inverse.to(dtype) @ y.to(dtype)).view(x.shape)
        x = x + self.drop_path(y)
        branch: torch.Tensor = self.drop_path(self.mlp(self.norm2(x)))
        return x + branch
