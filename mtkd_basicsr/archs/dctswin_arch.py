"""DCTSwin, a network that fuses the outputs of several super-resolution teachers."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from ..errors import OptionError, did_you_mean
from ..functional.dct import NORMS, window_dct_matrices
from ..functional.padding import run_padded
from ..host.api import ARCH_REGISTRY
from ..utils.compiling import is_compiling, is_lasting
from ..utils.cudnn import cudnn_flags
from ..utils.registry import register
from .dct_attention import SHIFT_MASKS, DCTSwinBlock
from .upsampling import MergedConvolution, Upsample, upsample_to_image
from .window_layout import rearrange

SKIPS = ('none', 'mean', 'learned', 'adaptive')
# Arguments with a few known values.
_CHOICES: dict[str, tuple[Any, ...]] = {
    'upscale': (1, 2, 3, 4, 8),
    'dct_norm': NORMS,
    'shift_mask': SHIFT_MASKS,
    'skip': SKIPS,
    'upsampler': ('pixelshuffle',),
    'resi_connection': ('1conv',),
}
# Factor of the weights of the teachers at a pixel. As teachers differ little, the weights have to
# change faster than colours do.
_GATE_GAIN = 4.0
# The RGB mean of DIV2K, which the authors add to the output outside of their network.
_RGB_MEAN = (0.4488, 0.4371, 0.4040)
# Buffers of Swin checkpoints that follow from the sizes, and are computed here.
_COMPUTED_BUFFERS = ('attn_mask', 'relative_position_index')


def at_least_fp32(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor in fp32, or as it is if it has more digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _check_choices(**values: int | str) -> None:
    """Raise an ``OptionError`` for an argument of DCTSwin that is none of the known values."""
    for key, value in values.items():
        known = _CHOICES[key]
        if value not in known:
            raise OptionError(
                f"DCTSwin: {key}: unknown value '{value}'; {did_you_mean(value, known)}"
            )


def _check_sizes(
    depths: Sequence[int], num_heads: Sequence[int], embed_dim: int, window_size: int
) -> None:
    """Raise an ``OptionError`` for sizes of DCTSwin that do not fit each other."""
    if len(depths) != len(num_heads):
        raise OptionError(
            f'DCTSwin: depths has {len(depths)} groups, num_heads {len(num_heads)}; expected '
            'equal numbers'
        )
    for heads in num_heads:
        if heads < 1:
            raise OptionError(f'DCTSwin: num_heads: {num_heads}; expected positive numbers')
        if embed_dim % heads:
            raise OptionError(
                f'DCTSwin: embed_dim: {embed_dim} is not divisible by each of num_heads, '
                f'{num_heads}'
            )
    if window_size < 2 or window_size % 2:
        raise OptionError(f'DCTSwin: window_size: {window_size}; expected an even number')


class ResidualGroup(nn.Module):
    """DCTSwin blocks (every second one with shifted windows), a 3×3 convolution, and a skip."""

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        size: int,
        drop_paths: Sequence[float],
        use_checkpoint: bool,
        **block: Any,
    ) -> None:
        super().__init__()
        self.size = size
        self.use_checkpoint = use_checkpoint
        self.residual_group = nn.Module()
        blocks = nn.ModuleList()
        for i in range(depth):
            shift = size // 2 if i % 2 else 0
            blocks.append(
                DCTSwinBlock(dim, num_heads, size, shift, drop_path=drop_paths[i], **block)
            )
        self.residual_group.blocks = blocks
        self.conv = nn.Conv2d(dim, dim, 3, 1, 1)

    def forward(self, x: torch.Tensor, dct: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
        """Run the group: (b, h, w, dim) -> the same shape."""
        _, h, w, _ = x.shape
        y = x.flatten(1, 2)
        arrangement: int | None = None  # row by row
        for block in cast(Iterable[DCTSwinBlock], self.residual_group.blocks):
            y = rearrange(y, h, w, block.size, arrangement, block.shift)
            arrangement = block.shift
            if self.use_checkpoint and torch.is_grad_enabled():
                y = checkpoint(block, y, h, w, dct, inverse, use_reentrant=False)
            else:
                y = block(y, h, w, dct, inverse)
        y = rearrange(y, h, w, self.size, arrangement, None).view(x.shape)
        y = cast(torch.Tensor, self.conv(y.permute(0, 3, 1, 2)))
        return x + y.permute(0, 2, 3, 1)


@register(ARCH_REGISTRY)
class DCTSwin(nn.Module):
    r"""Fusion network of MTKD: fuses the outputs of the teachers into one better image.

    Jiang, Feng, Zhang, Bull: *Multi-Teacher Knowledge Distillation for Image Super-Resolution*,
    ECCV 2024,
    https://arxiv.org/abs/2404.09571.

    .. code-block:: text

        teachers' outputs (b, 3N, H, W)
          │
          ├─ skip: none, mean, a learned or an adaptive mix ───────────────────────┐
          │                                                                        │
          └─ PixelUnshuffle(scale) ─ conv_first ─┬─ groups of DCTSwin blocks       │
                                                 │    ─ norm ─ conv ─ +            │
                                                 └────────────────────┤            │
                                                        pixel shuffle ─ conv_last ─ + ─►

    The arguments are those of the authors' option files; ``skip``, ``dct_norm`` and ``shift_mask``
    are added. With ``dct_norm='none', shift_mask='authors'`` and the rest left alone this is the
    authors' network: it takes their checkpoints, and gives their ``output / 255 + mean``.

    Args:
        upscale (int): Factor of the teachers, 1, 2, 3, 4 or 8: the net works at the size of the
            low-resolution image.
        in_chans (int): 3 × number of teachers.
        num_out_ch (int): Channels of the output, 3.
        img_size (int): Of effect with the authors' mask alone, which is another one for feature
            maps of this size. Images of any size can be fused.
        window_size (int): Height and width of a window, an even number.
        img_range (float): The input is multiplied, the correction divided by it.
        depths (list[int]): Blocks of each group.
        embed_dim (int): Channels inside.
        num_heads (list[int]): Attention heads of each group.
        mlp_ratio (float): Hidden channels of an MLP as a multiple of ``embed_dim``.
        qkv_bias, qk_scale, drop_rate, attn_drop_rate, drop_path_rate: As in SwinIR.
        patch_norm (bool): Layer norm before the groups.
        upsampler (str): ``'pixelshuffle'``.
        resi_connection (str): ``'1conv'``.
        use_checkpoint (bool): Recomputes the blocks in the backward pass, to save memory.
        dct_norm (str): ``'ortho'``, or ``'none'`` for the authors' DCT, whose DC is 256 × the
            value of a flat window.
        shift_mask (str): ``'none'``, or ``'authors'`` for the mask of
            :func:`~.window_layout.authors_shift_mask`.
        skip (str): ``'none'``: the output is y / 255 + RGB mean, as in the authors' code.
            ``'mean'``: y + mean of the teachers. ``'learned'``: y + a 1×1 convolution of the
            teachers. ``'adaptive'``: as ``'learned'``, and the net moves the weights of the
            teachers at each pixel. With the last three the last convolution starts at zero, so that
            an untrained net gives the mean of the teachers.

    Raises:
        OptionError: If an argument has an invalid value.

    Shape:
        - Input: (b, in_chans, H, W), teachers one after the other, RGB in [0, 1]; any H and W.
        - Output: (b, num_out_ch, H, W), RGB, [0, 1] up to over- and undershoots, which are not
          cut off.
    """

    dct: torch.Tensor
    inverse_dct: torch.Tensor
    rgb_mean: torch.Tensor
    mix: nn.Conv2d  # with a ``skip`` that is learned

    def __init__(
        self,
        upscale: int = 4,
        in_chans: int = 9,
        num_out_ch: int = 3,
        img_size: int = 64,
        window_size: int = 8,
        img_range: float = 1.0,
        depths: Sequence[int] = (4, 4),
        embed_dim: int = 96,
        num_heads: Sequence[int] = (6, 6),
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        patch_norm: bool = True,
        upsampler: str = 'pixelshuffle',
        resi_connection: str = '1conv',
        use_checkpoint: bool = False,
        dct_norm: str = 'ortho',
        shift_mask: str = 'none',
        skip: str = 'none',
    ) -> None:
        super().__init__()
        _check_choices(
            upscale=upscale,
            dct_norm=dct_norm,
            shift_mask=shift_mask,
            skip=skip,
            upsampler=upsampler,
            resi_connection=resi_connection,
        )
        _check_sizes(depths, num_heads, embed_dim, window_size)
        if num_out_ch != 3:
            raise OptionError(f'DCTSwin: num_out_ch: {num_out_ch}; expected 3, an RGB image')
        if skip != 'none' and in_chans % num_out_ch:
            raise OptionError(
                f'DCTSwin: in_chans: {in_chans} is not a multiple of num_out_ch, {num_out_ch}; '
                f'skip: {skip} requires that'
            )
        self.upscale = upscale
        self.img_range = img_range
        self.skip = skip
        self.window_size = window_size
        self.in_chans = in_chans
        self.num_out_ch = num_out_ch

        self.conv_first = nn.Conv2d(in_chans * upscale**2, embed_dim, 3, 1, 1)
        # In Swin checkpoints the norm before the groups is called patch_embed.norm.
        self.patch_embed = nn.Module()
        self.patch_embed.norm = nn.LayerNorm(embed_dim) if patch_norm else nn.Identity()
        # The rate grows linearly over all blocks.
        drop_paths = torch.linspace(0, drop_path_rate, sum(depths)).tolist()
        self.layers = nn.ModuleList()
        for depth, heads in zip(depths, num_heads, strict=True):
            group = ResidualGroup(
                embed_dim,
                depth,
                heads,
                window_size,
                drop_paths[:depth],
                use_checkpoint,
                mlp_ratio=mlp_ratio,
                qkv_bias=qkv_bias,
                qk_scale=qk_scale,
                drop=drop_rate,
                attn_drop=attn_drop_rate,
                dct_norm=dct_norm,
                shift_mask=shift_mask,
                img_size=img_size,
            )
            self.layers.append(group)
            drop_paths = drop_paths[depth:]
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = nn.Conv2d(embed_dim, embed_dim, 3, 1, 1)
        self.conv_before_upsample = nn.Sequential(
            nn.Conv2d(embed_dim, 64, 3, 1, 1), nn.LeakyReLU(inplace=True)
        )
        self.upsample = Upsample(upscale, 64)
        gates = in_chans // num_out_ch if skip == 'adaptive' else 0
        self.conv_last = nn.Conv2d(64, num_out_ch + gates, 3, 1, 1)
        self._merged = MergedConvolution()

        dct, inverse = window_dct_matrices(window_size, dct_norm)
        self.register_buffer('dct', dct, persistent=False)
        self.register_buffer('inverse_dct', inverse, persistent=False)
        self.register_buffer('rgb_mean', torch.tensor(_RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.skip != 'none':
            nn.init.zeros_(self.conv_last.weight)
            nn.init.zeros_(cast(torch.Tensor, self.conv_last.bias))
        if self.skip in ('learned', 'adaptive'):
            self.mix = nn.Conv2d(self.in_chans, self.num_out_ch, 1, bias=False)
            with torch.no_grad():
                self.mix.weight.copy_(self.mean_mix()[:, :, None, None])

    def mean_mix(self) -> torch.Tensor:
        """Return the weights of the teachers' mean as a mix: (num_out_ch, in_chans)."""
        teachers = self.in_chans // self.num_out_ch
        return torch.eye(self.num_out_ch).repeat(1, teachers) / teachers

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for key in list(state_dict):
            if key.startswith(prefix) and key.rsplit('.', 1)[-1] in _COMPUTED_BUFFERS:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _correction(self, x: torch.Tensor) -> torch.Tensor:
        """Run the network on padded teacher outputs: (b, in_chans, H, W) -> (b, channels, H, W)."""
        x = F.pixel_unshuffle(x * self.img_range, self.upscale)
        # Channels last, as in the blocks: then nothing is moved between blocks and convolutions.
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.conv_first(x)
        y = cast(nn.Module, self.patch_embed.norm)(x.permute(0, 2, 3, 1))
        for layer in self.layers:
            y = layer(y, self.dct, self.inverse_dct)
        x = x + self.conv_after_body(self.norm(y).permute(0, 3, 1, 2))
        x = self.conv_before_upsample(x)
        layers = [*self.upsample, self.conv_last]
        x = upsample_to_image(layers, x, self.upscale, self._merged)
        return at_least_fp32(x) / self.img_range

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Fuse the teachers: (b, in_chans, H, W) in [0, 1] -> (b, num_out_ch, H, W) in [0, 1]."""
        if self._is_mix(x):
            return self._mixed(x)
        y = run_padded(self._correction, x, self.upscale * self.window_size, 1)
        if self.skip == 'none':
            return y / 255 + self.rgb_mean
        teachers: torch.Tensor = x.unflatten(1, (-1, self.num_out_ch))
        if self.skip == 'mean':
            return y + teachers.mean(1)
        if self.skip == 'adaptive':
            gates = _GATE_GAIN * y[:, self.num_out_ch :]
            # These weights add up to 0: what one teacher gains, the others lose.
            weights = gates - gates.mean(1, keepdim=True)
            y = y[:, : self.num_out_ch] + (weights[:, :, None] * teachers).sum(1)
        return y + self._mixed(x)

    def _is_mix(self, x: torch.Tensor) -> bool:
        """Return whether the correction is known to be zero, as after a fit of the mix alone.

        Only on a CPU, where it takes most of the time; on a GPU the question would take longer,
        because the answer has to wait for all that runs there.
        """
        if self.skip not in ('learned', 'adaptive') or x.device.type != 'cpu':
            return False
        # Nor in a graph, which has to hold for all weights, and where operations are counted with
        # tensors that have no values.
        if torch.jit.is_tracing() or is_compiling() or not is_lasting(x):
            return False
        if torch.is_grad_enabled():
            return False
        return not (self.conv_last.weight.any() or cast(torch.Tensor, self.conv_last.bias).any())

    def _mixed(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the teachers, in full fp32 also under autocast, and where a GPU would use TF32.

        bfloat16 has steps of 1/256 between 0.5 and 1: it would round the target to 8 bits. TF32 has
        steps of 1/2048 there.
        """
        # torch.compile would break its graph at these flags.
        full_fp32 = nullcontext() if is_compiling() else cudnn_flags(allow_tf32=False)
        with torch.autocast(x.device.type, enabled=False), full_fp32:
            weight = at_least_fp32(self.mix.weight)
            return F.conv2d(x.to(weight.dtype), weight)
