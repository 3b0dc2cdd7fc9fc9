"""Window attention on DCT coefficients: the block that DCTSwin is made of."""

from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

from ..functional.dct import window_dct_matrices

SHIFT_MASKS = ('none', 'authors')
_MASKED = -100.0  # what Swin adds to a masked score
# Scores of one head that the backward pass on a CPU works on at a time: 2 MiB in fp32.
CHUNK = 2**19


def window_order(
    h: int, w: int, size: int, shift: int, device: torch.device | None = None
) -> torch.Tensor:
    """Return the order in which the pixels of an image stand window by window.

    Args:
        h, w: Size of the image, multiples of ``size``.
        size: Window size.
        shift: The image is rolled up and to the left by so many pixels before it is cut.
        device: Where the result is.

    Returns:
        (h · w), the numbers of the pixels, counted row by row.
    """
    pixels = torch.arange(h * w, device=device).view(h, w).roll((-shift, -shift), (0, 1))
    return pixels.view(h // size, size, w // size, size).transpose(1, 2).flatten()


def authors_shift_mask(h: int, w: int, size: int, shift: int, norm: str) -> torch.Tensor:
    """Compute the attention mask that the authors' code makes for a feature map.

    Swin numbers the regions that meet in a window after the cyclic shift, and masks pairs of pixels
    with different numbers. In the authors' code the DCT sits inside the window partition, so that
    the numbers are transformed too and *coefficients of the label image* are compared. Without a
    shift Swin's slices give every pixel the number 8: harmless for pixels, but among coefficients
    it separates the DC from all others.

    Args:
        h, w: Size of the feature map, multiples of ``size``.
        size: Window size.
        shift: Cyclic shift, 0 or half of the window size.
        norm: Scaling of the DCT.

    Returns:
        (h/size · w/size, size², size²), 0 where a pair may attend and -100 where not.
    """
    labels = torch.full((h, w), 8, dtype=torch.float64)
    if shift:
        regions = []
        for n in (h, w):
            region = torch.zeros(n, dtype=torch.float64)
            region[-size:-shift] = 1
            region[-shift:] = 2
            regions.append(region)
        labels = 3 * regions[0][:, None] + regions[1][None, :]
    forward, _ = window_dct_matrices(size, norm, torch.float64)
    windows = labels.flatten()[window_order(h, w, size, 0)].view(-1, size**2, 1)
    coefficients = (forward @ windows).squeeze(-1)
    # The tolerance separates true differences from rounding: equal coefficients differ by less than
    # 1e-12 here.
    different = (coefficients[:, None, :] - coefficients[:, :, None]).abs() > 1e-9
    return different * _MASKED


class _AttentionOnCPU(torch.autograd.Function):
    """Attention, softmax(scale · q kᵀ + bias + mask) v, with a gradient for the bias.

    PyTorch's fused attention for CPUs has none for what is added to the scores: asked for one, it
    falls back to the plain formula, with half a dozen tensors of (n, heads, tokens, tokens). Here
    the forward pass is the fused one. The backward pass makes the scores anew, for one head and a
    few windows at a time, so that they stay in the cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv: torch.Tensor,
        bias: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        """Compute the attention of each window.

        Args:
            ctx: What :meth:`backward` needs goes here.
            qkv: (n, tokens, 3, heads, d).
            bias: (heads, tokens, tokens).
            mask: (n, tokens, tokens), or None.
            scale: Factor of the scores.

        Returns:
            (n, tokens, heads, d).
        """
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # Detached, because the fused kernel is chosen by whether the mask requires a gradient.
        added = bias.detach()[None] if mask is None else bias.detach() + mask[:, None]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale).transpose(1, 2)
        ctx.save_for_backward(qkv, bias, mask, out)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        qkv, bias, mask, out = ctx.saved_tensors
        n, tokens, _, heads, _ = qkv.shape
        dtype = torch.promote_types(qkv.dtype, torch.float32)
        d_qkv = torch.empty_like(qkv)
        d_bias = torch.zeros_like(bias, dtype=dtype)
        step = max(1, CHUNK // tokens**2)
        # A row of softmax gives P · (dP - Σ P · dP), and that sum equals Σ O · dO, which is
        # shorter.
        means = (out.to(dtype) * grad.to(dtype)).sum(-1)
        with torch.autocast('cpu', enabled=False):
            for some in (slice(i, i + step) for i in range(0, n, step)):
                for head in range(heads):
                    q, k, v = qkv[some, :, :, head].to(dtype).unbind(2)
                    d_o = grad[some, :, head].to(dtype)
                    added = bias[head] if mask is None else bias[head] + mask[some]
                    p = torch.baddbmm(added.to(dtype), q, k.mT, alpha=ctx.scale).softmax(-1)
                    d_s = torch.bmm(d_o, v.mT).sub_(means[some, :, head, None]).mul_(p)
                    d_bias[head] += d_s.sum(0)
                    d_qkv[some, :, 0, head] = torch.bmm(d_s, k)
                    d_qkv[some, :, 1, head] = torch.bmm(d_s.mT, q)
                    d_qkv[some, :, 2, head] = torch.bmm(p.mT, d_o)
        d_qkv[:, :, :2] *= ctx.scale
        return d_qkv, d_bias.to(bias.dtype), None, None


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

        y, x = (
            t.flatten()
            for t in torch.meshgrid(torch.arange(size), torch.arange(size), indexing='ij')
        )
        index = (y[:, None] - y + size - 1) * (2 * size - 1) + (x[:, None] - x + size - 1)
        self.register_buffer('relative_position_index', index.flatten(), persistent=False)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Attend inside of each window.

        Args:
            x: (windows, tokens, dim).
            mask: (masks, tokens, tokens), added to the scores. Window i gets mask i modulo
                ``masks``.

        Returns:
            (windows, tokens, dim).
        """
        n, tokens, dim = x.shape
        qkv = self.qkv(x).view(n, tokens, 3, self.num_heads, dim // self.num_heads)
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.view(tokens, tokens, self.num_heads).permute(2, 0, 1).to(qkv.dtype).contiguous()
        if mask is not None:
            mask = mask.to(qkv.dtype).repeat(n // mask.shape[0], 1, 1)
        dropout = self.attn_drop if self.training else 0.0
        if bias.requires_grad and x.device.type == 'cpu' and not dropout:
            x = cast(torch.Tensor, _AttentionOnCPU.apply(qkv, bias, mask, self.scale))
        else:
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            # Four axes also without a mask: with three the fused kernels are not taken.
            bias = bias[None] if mask is None else bias + mask[:, None]
            x = F.scaled_dot_product_attention(q, k, v, bias, dropout, scale=self.scale).transpose(
                1, 2
            )
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
    """Stochastic depth: leaves out the residual branch of some samples while training.

    Args:
        rate: Probability of leaving it out; the branches that are kept are scaled up to make up for
            it.
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

    Only DCT and attention have to know which window a token is in. So a block takes and gives its
    tokens window by window, and they are moved once between two blocks, instead of to the windows
    and back inside of each.

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
            ``'authors'``: see :func:`authors_shift_mask`.
        img_size: Only with the authors' mask: at feature maps of this size a block without shift
            has no mask.
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
        self._masks: dict[tuple[int, int, torch.device], torch.Tensor] = {}

    def attention_mask(self, h: int, w: int, device: torch.device) -> torch.Tensor | None:
        if self.shift_mask == 'none' or (not self.shift and h == w == self.img_size):
            return None
        key = (h, w, device)
        if key not in self._masks:
            mask = authors_shift_mask(h, w, self.size, self.shift, self.dct_norm)
            self._masks = {key: mask.to(device, torch.float32)}
        return self._masks[key]

    def forward(
        self, x: torch.Tensor, h: int, w: int, dct: torch.Tensor, inverse: torch.Tensor
    ) -> torch.Tensor:
        """Run the block on the tokens of an image of h × w pixels in :func:`window_order`.

        Args:
            x: (b, h · w, dim).
            h, w: Size of the image, multiples of ``size``.
            dct, inverse: (size², size²), the transforms of a window.

        Returns:
            (b, h · w, dim), in the same order.
        """
        y: torch.Tensor = self.norm1(x)
        # Under autocast the two transforms stay in fp32: without normalisation a coefficient is up
        # to 256 x a pixel. In a network of doubles they are in fp64.
        dtype = torch.promote_types(dct.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            y = dct.to(dtype) @ y.to(dtype).view(-1, self.size**2, x.shape[-1])
        y = self.attn(y, self.attention_mask(h, w, x.device))
        with torch.autocast(x.device.type, enabled=False):
            y = (inverse.to(dtype) @ y.to(dtype)).view(x.shape)
        x = x + self.drop_path(y)
        branch: torch.Tensor = self.drop_path(self.mlp(self.norm2(x)))
        return x + branch
