"""The encoder and the codebook of a VQGAN, with the names of CompVis' taming-transformers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

# Layers that checkpoints of the whole VQGAN have beside the encoder: decoder, discriminator, LPIPS.
_PARTS = ('encoder.', 'quant_conv.', 'quantize.')


@dataclass(frozen=True)
class VQGANSizes:
    """The sizes of an encoder and its codebook.

    Attributes:
        stem: Channels of the first convolution.
        widths: Channels of each level; each level has half the resolution of the one before.
        blocks: Residual blocks of a level.
        attention: Levels whose blocks are followed by attention.
        latent: Channels at the end of the encoder.
        embedding: Channels of a code.
        codes: Number of codes.
    """

    stem: int
    widths: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    latent: int
    embedding: int
    codes: int


def encoder_tensors(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of encoder and codebook out of those of a whole VQGAN."""
    return {name: tensor for name, tensor in state.items() if name.startswith(_PARTS)}


def sizes_of(state: Mapping[str, torch.Tensor]) -> VQGANSizes:
    """Read the sizes of an encoder from the shapes of its tensors.

    Args:
        state: Tensors by their names in taming-transformers.

    Raises:
        KeyError: A tensor is missing; the argument is its name.
    """
    widths: list[int] = []
    attention: list[int] = []
    while (name := f'encoder.down.{len(widths)}.block.0.conv1.weight') in state:
        if f'encoder.down.{len(widths)}.attn.0.q.weight' in state:
            attention.append(len(widths))
        widths.append(len(state[name]))
    if not widths:
        raise KeyError(name)
    blocks = 1
    while f'encoder.down.0.block.{blocks}.conv1.weight' in state:
        blocks += 1
    codes, embedding = state['quantize.embedding.weight'].shape
    return VQGANSizes(
        stem=len(state['encoder.conv_in.weight']),
        widths=tuple(widths),
        blocks=blocks,
        attention=tuple(attention),
        latent=len(state['encoder.conv_out.weight']),
        embedding=embedding,
        codes=codes,
    )


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, width, eps=1e-6)


class _ResidualBlock(nn.Module):
    """Two convolutions, each after group normalisation and SiLU, and a shortcut."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.norm1 = _norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.norm2 = _norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        if width_in != width:
            self.nin_shortcut = nn.Conv2d(width_in, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, 'nin_shortcut') else x)


class _Attention(nn.Module):
    """Attention of one head over all positions, and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.q = nn.Conv2d(width, width, 1)
        self.k = nn.Conv2d(width, width, 1)
        self.v = nn.Conv2d(width, width, 1)
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(x)
        q, k, v = (layer(normed).flatten(2).mT for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(mixed.mT.reshape(x.shape))


class _Downsample(nn.Module):
    """Halve the resolution by a convolution, padded on the right and at the bottom."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class _Level(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, width_in: int, width: int, blocks: int, attends: bool, last: bool) -> None:
        super().__init__()
        widths = [width_in] + [width] * (blocks - 1)
        self.block = nn.ModuleList([_ResidualBlock(before, width) for before in widths])
        attentions = blocks if attends else 0
        self.attn = nn.ModuleList([_Attention(width) for _ in range(attentions)])
        if not last:
            self.downsample = _Downsample(width)

    def first_block(self, x: torch.Tensor) -> torch.Tensor:
        """Run the first residual block."""
        return self.block[0](x)

    def after_first_block(self, x: torch.Tensor) -> torch.Tensor:
        """Run what follows the first residual block."""
        for i, block in enumerate(self.block):
            if i:
                x = block(x)
            if self.attn:
                x = self.attn[i](x)
        return self.downsample(x) if hasattr(self, 'downsample') else x


class _Middle(nn.Module):
    """The blocks at the lowest resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block_1 = _ResidualBlock(width, width)
        self.attn_1 = _Attention(width)
        self.block_2 = _ResidualBlock(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _Encoder(nn.Module):
    def __init__(self, sizes: VQGANSizes) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, sizes.stem, 3, padding=1)
        levels: list[_Level] = []
        before: Sequence[int] = (sizes.stem, *sizes.widths)
        for i, width in enumerate(sizes.widths):
            last = i == len(sizes.widths) - 1
            levels.append(_Level(before[i], width, sizes.blocks, i in sizes.attention, last))
        self.down = nn.ModuleList(levels)
        self.mid = _Middle(sizes.widths[-1])
        self.norm_out = _norm(sizes.widths[-1])
        self.conv_out = nn.Conv2d(sizes.widths[-1], sizes.latent, 3, padding=1)


class _Quantizer(nn.Module):
    def __init__(self, sizes: VQGANSizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.codes, sizes.embedding)


class VQGANEncoder(nn.Module):
    """The encoder of a VQGAN, up to the latents that its codebook quantizes.

    Esser, Rombach, Ommer: *Taming Transformers for High-Resolution Image Synthesis*, CVPR 2021,
    https://arxiv.org/abs/2012.09841.

    Args:
        sizes: Of the network.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], both sides at least ``size_factor``.
        - Output: a feature for each level, (b, c, h / 2^i, w / 2^i), rounded down.
    """

    def __init__(self, sizes: VQGANSizes) -> None:
        super().__init__()
        self.level_count = len(sizes.widths)
        self.size_factor = 2 ** (self.level_count - 1)
        self.encoder = _Encoder(sizes)
        self.quant_conv = nn.Conv2d(sizes.latent, sizes.embedding, 1)
        self.quantize = _Quantizer(sizes)

    @property
    def codes(self) -> torch.Tensor:
        """Return the codebook, (k, d)."""
        return self.quantize.embedding.weight

    def forward(
        self, images: torch.Tensor, with_latents: bool = False
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Compute the outputs of the first residual block of each level, and the latents.

        Args:
            images: (b, 3, h, w), RGB, [0, 1].
            with_latents: Whether to run the encoder to its end.

        Returns:
            The features, and the latents, (b, d, h', w'), or None.
        """
        x = self.encoder.conv_in(2 * images - 1)  # it was trained on [-1, 1]
        features: list[torch.Tensor] = []
        for i, module in enumerate(self.encoder.down):
            level = cast(_Level, module)
            x = level.first_block(x)
            features.append(x)
            if with_latents or i < self.level_count - 1:
                x = level.after_first_block(x)
        if not with_latents:
            return features, None
        x = self.encoder.norm_out(self.encoder.mid(x))
        return features, self.quant_conv(self.encoder.conv_out(F.silu(x)))
