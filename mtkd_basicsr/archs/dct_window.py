"""Window attention on DCT coefficients: the block that DCTSwin is made of."""

import torch
from torch import nn
from torch.nn import functional as F

from ..functional.dct import window_dct_matrices

SHIFT_MASKS = ('none', 'authors')
_MASKED = -100.0  # what Swin adds to a masked score


def to_windows(x, size):
    """(b, h, w, c) -> (b · h/size · w/size, size², c); height and width are multiples of ``size``."""
    b, h, w, c = x.shape
    x = x.view(b, h // size, size, w // size, size, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, size * size, c)


def from_windows(windows, size, h, w):
    """Inverse of :func:`to_windows`: (b · h/size · w/size, size², c) -> (b, h, w, c)."""
    c = windows.shape[-1]
    x = windows.view(-1, h // size, w // size, size, size, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, h, w, c)


def authors_shift_mask(h, w, size, shift, norm):
    """The attention mask that the authors' code makes for a feature map.

    Swin numbers the regions that meet in a window after the cyclic shift, and masks pairs of pixels with different
    numbers. In the authors' code the DCT sits inside the window partition, so that the numbers are transformed too and
    *coefficients of the label image* are compared. Without a shift Swin's slices give every pixel the number 8: harmless
    for pixels, but among coefficients it separates the DC from all others.

    Args:
        h, w (int): Size of the feature map, multiples of ``size``.
        size (int): Window size.
        shift (int): Cyclic shift, 0 or half of the window size.
        norm (str): Scaling of the DCT.

    Returns:
        Tensor: (h/size · w/size, size², size²), 0 where a pair may attend and -100 where not.
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
    coefficients = (forward @ to_windows(labels[None, :, :, None], size)).squeeze(-1)
    # The tolerance separates true differences from rounding: equal coefficients differ by less than 1e-12 here.
    different = (coefficients[:, None, :] - coefficients[:, :, None]).abs() > 1e-9
    return different * _MASKED


class WindowAttention(nn.Module):
    """Multi-head self-attention inside a window, with a learned bias for each relative position (Swin, ICCV 2021).

    Args:
        dim (int): Channels.
        size (int): Window height and width.
        num_heads (int): Attention heads; divides ``dim``.
        qkv_bias (bool): Whether query, key and value have a bias.
        qk_scale (float | None): Factor of the scores; None is 1 / sqrt(dim / num_heads).
        attn_drop, proj_drop (float): Dropout rates of attention weights and of the output.
    """

    def __init__(self, dim, size, num_heads, qkv_bias=True, qk_scale=None, attn_drop=0., proj_drop=0.):
        super().__init__()
        self.num_heads = num_heads
        self.qk_scale = qk_scale
        self.attn_drop = attn_drop
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * size - 1)**2, num_heads))
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=.02)

        y, x = (t.flatten() for t in torch.meshgrid(torch.arange(size), torch.arange(size), indexing='ij'))
        index = (y[:, None] - y + size - 1) * (2 * size - 1) + (x[:, None] - x + size - 1)
        self.register_buffer('relative_position_index', index.flatten(), persistent=False)

    def forward(self, x, mask=None):
        """(windows, tokens, dim) -> the same shape; ``mask`` is (masks, tokens, tokens) and is added to the scores."""
        n, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.num_heads, dim // self.num_heads).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.view(tokens, tokens, self.num_heads).permute(2, 0, 1)
        if mask is not None:
            bias = bias + mask[:, None].to(bias.dtype).repeat(n // mask.shape[0], 1, 1, 1)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), scale=self.qk_scale,
                                           dropout_p=self.attn_drop if self.training else 0.)
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(n, tokens, dim)))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, dim, hidden, drop=0.):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x):
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))


class DropPath(nn.Module):
    """Leaves out the residual branch of a sample with probability ``rate`` while training (stochastic depth)."""

    def __init__(self, rate=0.):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if self.rate == 0. or not self.training:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (keep / (1 - self.rate)).to(x.dtype)


class DCTSwinBlock(nn.Module):
    r"""Transformer block whose window attention runs on DCT coefficients.

    .. code-block:: text

        x ─ norm1 ─ shift ─ windows ─ DCT ─ attention ─ inverse DCT ─ merge ─ shift back ─ + x ─ norm2 ─ MLP ─ + ─►

    Args:
        dim (int): Channels.
        num_heads (int): Attention heads.
        size (int): Window height and width.
        shift (int): Cyclic shift in pixels; 0 or ``size // 2``.
        mlp_ratio (float): Hidden channels of the MLP as a multiple of ``dim``.
        qkv_bias, qk_scale, attn_drop, drop: See :class:`WindowAttention`.
        drop_path (float): See :class:`DropPath`.
        dct_norm (str): Scaling of the DCT, ``'ortho'`` or ``'none'``.
        shift_mask (str): ``'none'``: a coefficient belongs to the whole window, nothing is masked. ``'authors'``: see
            :func:`authors_shift_mask`.
        img_size (int): Only with the authors' mask: at feature maps of this size a block without shift has no mask.
    """

    def __init__(self, dim, num_heads, size, shift, mlp_ratio, qkv_bias=True, qk_scale=None, drop=0., attn_drop=0.,
                 drop_path=0., dct_norm='ortho', shift_mask='none', img_size=64):
        super().__init__()
        self.size, self.shift, self.dct_norm, self.shift_mask = size, shift, dct_norm, shift_mask
        self.img_size = img_size
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, size, num_heads, qkv_bias, qk_scale, attn_drop, drop)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop)
        self._masks = {}

    def _mask(self, h, w, device):
        if self.shift_mask == 'none' or (not self.shift and h == w == self.img_size):
            return None
        key = (h, w, device)
        if key not in self._masks:
            mask = authors_shift_mask(h, w, self.size, self.shift, self.dct_norm)
            self._masks = {key: mask.to(device, torch.float32)}
        return self._masks[key]

    def forward(self, x, dct, inverse):
        """(b, h, w, dim) -> the same shape; ``dct`` and ``inverse`` are the (size², size²) transforms of a window."""
        _, h, w, _ = x.shape
        y = self.norm1(x)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        # Under autocast the two transforms stay in fp32: without normalisation a coefficient is up to 256 x a pixel.
        with torch.autocast(x.device.type, enabled=False):
            y = dct @ to_windows(y.float(), self.size)
        y = self.attn(y, self._mask(h, w, x.device))
        with torch.autocast(x.device.type, enabled=False):
            y = from_windows(inverse @ y.float(), self.size, h, w)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + self.drop_path(y)
        return x + self.drop_path(self.mlp(self.norm2(x)))
