"""Convert released weights to the names that BasicSR's networks use.

EDSR-PyTorch, ``.pt``, [0, 255] or [0, 1]:
    ``head.0``, ``body.{i}.body.{0,2}``, ``body.{n}``, ``tail.0.*``, ``tail.1``
official RCAN, ``.pt``, [0, 255] or [0, 1]:
    ``head.0``, ``body.{g}.body.{b}.body.{0,2}``, ``….3.conv_du.{0,2}``, ``tail.*``
official SwinIR, ``.pth``:
    BasicSR's names

The first two subtract the colour mean by 1×1 convolutions, ``sub_mean`` and ``add_mean``, whose
biases are ∓255 times (with ``--rgb_range 1`` ∓1 times) the mean of their training images; DF2K and
DIV2K have different means.

A further format is one more entry in :data:`SOURCE_FORMATS`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias, cast

import torch

StateDict: TypeAlias = dict[str, torch.Tensor]
Arguments: TypeAlias = dict[str, int | str | list[int]]

# Pairs of a pattern and its replacement. A pattern that ends with a group is the whole name of a
# tensor, any other one the beginning of a name.
_COMMON = [
    (r'head\.0\.', 'conv_first.'),
    (r'body\.\d+\.(weight|bias)', r'conv_after_body.\1'),
    (r'tail\.0\.(\d)\.', r'upsample.\1.'),
    (r'tail\.1\.', 'conv_last.'),
]
_EDSR = [
    (r'body\.(\d+)\.body\.0\.', r'body.\1.conv1.'),
    (r'body\.(\d+)\.body\.2\.', r'body.\1.conv2.'),
]
_RCAN = [
    (r'body\.(\d+)\.body\.\d+\.(weight|bias)', r'body.\1.conv.\2'),
    (
        r'body\.(\d+)\.body\.(\d+)\.body\.3\.conv_du\.0\.',
        r'body.\1.residual_group.\2.rcab.3.attention.1.',
    ),
    (
        r'body\.(\d+)\.body\.(\d+)\.body\.3\.conv_du\.2\.',
        r'body.\1.residual_group.\2.rcab.3.attention.3.',
    ),
    (r'body\.(\d+)\.body\.(\d+)\.body\.([02])\.', r'body.\1.residual_group.\2.rcab.\3.'),
]
_MEANS = ('sub_mean', 'add_mean')
# The range of pixel values that nearly all weights with a colour mean are made for.
_RELEASED_IMG_RANGE = 255.0
# Biases that are smaller are a mean in [0, 1], not in [0, 255]: no photographs are that dark.
_LARGEST_MEAN = 1.5
# The 1×1 convolutions are the identity, unless they divide by a standard deviation. Where they were
# trained along they are nearly so.
_IDENTITY_TOLERANCE = 0.2


class SourceFormat(NamedTuple):
    """A way in which weights are released.

    Attributes:
        name: What it is called, for documentation.
        detect: Tells whether a state dict has this format.
        convert: Returns the state dict under BasicSR's names, and the colour mean as
            :func:`to_basicsr` does.
    """

    name: str
    detect: Callable[[Mapping[str, torch.Tensor]], bool]
    convert: Callable[[StateDict], tuple[StateDict, torch.Tensor | None]]


def _renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, new in rules:
        match = re.fullmatch(pattern, name) if pattern.endswith(')') else re.match(pattern, name)
        if match:
            return match.expand(new) + name[match.end() :]
    return name


def _convert(
    state: StateDict, rules: Iterable[tuple[str, str]]
) -> tuple[StateDict, torch.Tensor | None]:
    """Rename the tensors by the first rule that matches; turn ``sub_mean`` into a colour mean."""
    renamed = {}
    for name, value in state.items():
        if name.split('.')[0] not in _MEANS:
            renamed[_renamed(name, rules)] = value
    if 'sub_mean.bias' not in state:
        return renamed, None
    mean = -state['sub_mean.bias'].float() / released_img_range(state)
    return renamed, mean.view(1, -1, 1, 1)


def released_img_range(state: Mapping[str, torch.Tensor]) -> float:
    """Return the range of pixel values that weights are made for, 255 or 1.

    Args:
        state: A state dict under the names of its release.
    """
    bias = state.get('sub_mean.bias')
    if bias is not None and 0 < bias.abs().max().item() < _LARGEST_MEAN:
        return 1.0
    return _RELEASED_IMG_RANGE


def colour_problems(state: Mapping[str, torch.Tensor]) -> list[str]:
    """List why ``sub_mean`` and ``add_mean`` are more than the colour mean of a network.

    Args:
        state: A state dict under the names of its release.
    """
    problems = []
    for name in _MEANS:
        weight = state.get(f'{name}.weight')
        if weight is None or weight.ndim != 4 or weight.shape[0] != weight.shape[1]:
            continue
        difference = weight.float()[:, :, 0, 0] - torch.eye(weight.shape[0])
        if difference.abs().max().item() > _IDENTITY_TOLERANCE:
            problems.append(
                f'{name}.weight: not the identity (a standard deviation?); expected weights that '
                'only subtract a mean'
            )
    bias = state.get('sub_mean.bias')
    if bias is not None:
        mean = -bias.float() / released_img_range(state)
        if mean.min().item() < 0 or mean.max().item() > 1:
            problems.append(
                f'sub_mean.bias: {bias.tolist()}; expected the negative of a mean in [0, 255] or '
                '[0, 1]'
            )
    return problems


def _has_head_and_tail(state: Mapping[str, torch.Tensor]) -> bool:
    return 'head.0.weight' in state and 'tail.1.weight' in state


def _has_channel_attention(state: Mapping[str, torch.Tensor]) -> bool:
    return any('conv_du' in name for name in state)


def _is_rcan(state: Mapping[str, torch.Tensor]) -> bool:
    return _has_head_and_tail(state) and _has_channel_attention(state)


def _is_edsr(state: Mapping[str, torch.Tensor]) -> bool:
    return _has_head_and_tail(state) and not _has_channel_attention(state)


def _convert_rcan(state: StateDict) -> tuple[StateDict, torch.Tensor | None]:
    return _convert(state, _RCAN + _COMMON)


def _convert_edsr(state: StateDict) -> tuple[StateDict, torch.Tensor | None]:
    return _convert(state, _EDSR + _COMMON)


# The first format that is detected converts the state dict; no two detect the same one.
SOURCE_FORMATS = (
    SourceFormat('official RCAN', _is_rcan, _convert_rcan),
    SourceFormat('EDSR-PyTorch', _is_edsr, _convert_edsr),
)


def to_basicsr(state: StateDict) -> tuple[StateDict, torch.Tensor | None]:
    """Rename weights to BasicSR's names, whichever of the known formats they have.

    Args:
        state: A state dict.

    Returns:
        The state dict under BasicSR's names, and the colour mean in [0, 1] as a tensor
        (1, 3, 1, 1), or None if the file has none. With a mean the weights work in [0, 255].
        A state dict in none of :data:`SOURCE_FORMATS` is returned as it is.
    """
    for source in SOURCE_FORMATS:
        if source.detect(state):
            return source.convert(state)
    return state, None


def _count(state: Iterable[str], pattern: str) -> int:
    """Count the different numbers that the group of a pattern matches in the names."""
    numbers = set()
    for name in state:
        match = re.match(pattern, name)
        if match:
            numbers.add(int(match.group(1)))
    return len(numbers)


def _scale(state: Mapping[str, torch.Tensor]) -> int:
    """Compute the factor by which the convolutions before pixel shuffles enlarge."""
    scale = 1
    for name in sorted(state):
        if not re.fullmatch(r'upsample\.\d\.weight', name):
            continue
        out_channels, in_channels = state[name].shape[:2]
        if 'conv_last.weight' not in state:
            # SwinIR's pixelshuffledirect: this convolution goes straight to three channels.
            in_channels = 3
        scale *= round((out_channels / in_channels) ** 0.5)
    return scale


def _infer_edsr(state: Mapping[str, torch.Tensor]) -> Arguments:
    return {
        'num_feat': state['conv_first.weight'].shape[0],
        'num_block': _count(state, r'body\.(\d+)\.conv1'),
        'upscale': _scale(state),
    }


def _infer_rcan(state: Mapping[str, torch.Tensor]) -> Arguments:
    num_feat = state['conv_first.weight'].shape[0]
    squeezed = state['body.0.residual_group.0.rcab.3.attention.1.weight'].shape[0]
    return {
        'num_feat': num_feat,
        'num_group': _count(state, r'body\.(\d+)\.conv'),
        'num_block': _count(state, r'body\.0\.residual_group\.(\d+)\.'),
        'squeeze_factor': num_feat // squeezed,
        'upscale': _scale(state),
    }


def _infer_swinir(state: Mapping[str, torch.Tensor]) -> Arguments:
    depths = []
    num_heads = []
    # (2 · window_size - 1)² relative positions, one column for each head.
    for i in range(_count(state, r'layers\.(\d+)\.')):
        group = f'layers.{i}.residual_group.blocks'
        depths.append(_count(state, rf'{re.escape(group)}\.(\d+)\.'))
        num_heads.append(state[f'{group}.0.attn.relative_position_bias_table'].shape[1])
    positions = state['layers.0.residual_group.blocks.0.attn.relative_position_bias_table'].shape[0]
    return {
        'embed_dim': state['conv_first.weight'].shape[0],
        'depths': depths,
        'num_heads': num_heads,
        'window_size': (round(positions**0.5) + 1) // 2,
        'upsampler': 'pixelshuffle' if 'conv_last.weight' in state else 'pixelshuffledirect',
        'upscale': _scale(state),
    }


# A tensor that no other of these networks has, and what infers the arguments of that network.
_INFERENCES: tuple[tuple[str, Callable[[Mapping[str, torch.Tensor]], Arguments]], ...] = (
    ('body.0.conv1.weight', _infer_edsr),
    ('body.0.residual_group.0.rcab.0.weight', _infer_rcan),
    ('layers.0.residual_group.blocks.0.attn.relative_position_bias_table', _infer_swinir),
)


def infer_arguments(state: Mapping[str, torch.Tensor]) -> Arguments:
    """Infer the arguments of an EDSR, RCAN or SwinIR from the shapes of its weights.

    Args:
        state: A state dict under BasicSR's names.

    Returns:
        The arguments that the shapes reveal, by name; empty for any other network.
    """
    first = state.get('conv_first.weight')
    if first is None or first.ndim != 4 or not any(name.startswith('upsample.') for name in state):
        return {}
    for tensor, infer in _INFERENCES:
        if tensor in state:
            return infer(state)
    return {}


def set_colour_mean(net: torch.nn.Module, mean: torch.Tensor) -> None:
    """Set the colour mean of one of BasicSR's networks to that of its weights.

    Args:
        net: EDSR or RCAN, with the attribute ``mean``.
        mean: (1, 3, 1, 1), [0, 1].
    """
    net.mean = torch.as_tensor(mean).to(cast(torch.Tensor, net.mean))
