"""Weights as they are released, under the names that BasicSR's networks have.

EDSR-PyTorch, ``.pt``, [0, 255]:
    ``head.0``, ``body.{i}.body.{0,2}``, ``body.{n}``, ``tail.0.*``, ``tail.1``
official RCAN, ``.pt``, [0, 255]:
    ``head.0``, ``body.{g}.body.{b}.body.{0,2}``, ``….3.conv_du.{0,2}``, ``tail.*``
official SwinIR, ``.pth``:
    BasicSR's names

The first two subtract the colour mean by 1×1 convolutions, ``sub_mean`` and ``add_mean``, whose
biases are ∓255 times the mean of their training images: those of DF2K have another one than those
of DIV2K.
"""

import re
from collections.abc import Iterable, Mapping
from typing import cast

import torch

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
RANGE = 255.0


def _renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, new in rules:
        # `body.4.weight` is a whole name, the others are beginnings.
        match = re.fullmatch(pattern, name) if pattern.endswith(')') else re.match(pattern, name)
        if match:
            return match.expand(new) + name[match.end() :]
    return name


def to_basicsr(
    state: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """Rename weights to BasicSR's names, whichever of the known formats they have.

    Args:
        state: A state dict.

    Returns:
        The state dict under BasicSR's names, and the colour mean in [0, 1] as a tensor
        (1, 3, 1, 1), or None where the file has none. With a mean the weights work in [0, 255].
    """
    if 'head.0.weight' not in state or 'tail.1.weight' not in state:
        return state, None
    rules = (_RCAN if any('conv_du' in name for name in state) else _EDSR) + _COMMON
    renamed = {
        _renamed(name, rules): value
        for name, value in state.items()
        if name.split('.')[0] not in _MEANS
    }
    if 'sub_mean.bias' not in state:
        return renamed, None
    mean = -state['sub_mean.bias'].float() / RANGE
    return renamed, mean.view(1, -1, 1, 1)


def _count(state: Iterable[str], pattern: str) -> int:
    found = {int(match.group(1)) for match in (re.match(pattern, name) for name in state) if match}
    return len(found)


def _scale(state: Mapping[str, torch.Tensor]) -> int:
    """Compute the factor that the convolutions before pixel shuffles enlarge by."""
    scale = 1
    for name in sorted(name for name in state if re.fullmatch(r'upsample\.\d\.weight', name)):
        out, into = state[name].shape[:2]
        # Without a last convolution (SwinIR's pixelshuffledirect) this one goes straight to three
        # channels.
        scale *= round((out / (into if 'conv_last.weight' in state else 3)) ** 0.5)
    return scale


def settings(state: Mapping[str, torch.Tensor]) -> dict[str, int | str | list[int]]:
    """Infer the arguments of an EDSR, RCAN or SwinIR from the shapes of its weights.

    Args:
        state: Under BasicSR's names.

    Returns:
        Values by the argument's name, those that the shapes show; empty for another network.
    """
    first = state.get('conv_first.weight')
    if first is None or first.ndim != 4 or not any(name.startswith('upsample.') for name in state):
        return {}
    if 'body.0.conv1.weight' in state:
        return {
            'num_feat': first.shape[0],
            'num_block': _count(state, r'body\.(\d+)\.conv1'),
            'upscale': _scale(state),
        }
    if 'body.0.residual_group.0.rcab.0.weight' in state:
        return {
            'num_feat': first.shape[0],
            'num_group': _count(state, r'body\.(\d+)\.conv'),
            'num_block': _count(state, r'body\.0\.residual_group\.(\d+)\.'),
            'squeeze_factor': first.shape[0]
            // state['body.0.residual_group.0.rcab.3.attention.1.weight'].shape[0],
            'upscale': _scale(state),
        }
    table = state.get('layers.0.residual_group.blocks.0.attn.relative_position_bias_table')
    if table is None:
        return {}
    layers = _count(state, r'layers\.(\d+)\.')
    return {
        'embed_dim': first.shape[0],
        'depths': [
            _count(state, rf'layers\.{i}\.residual_group\.blocks\.(\d+)\.') for i in range(layers)
        ],
        'num_heads': [
            state[f'layers.{i}.residual_group.blocks.0.attn.relative_position_bias_table'].shape[1]
            for i in range(layers)
        ],
        'window_size': (round(table.shape[0] ** 0.5) + 1) // 2,
        'upsampler': 'pixelshuffle' if 'conv_last.weight' in state else 'pixelshuffledirect',
        'upscale': _scale(state),
    }


def set_mean(net: torch.nn.Module, mean: torch.Tensor) -> None:
    """Give a network of BasicSR the colour mean of its weights.

    Args:
        net: EDSR or RCAN, with the attribute ``mean``.
        mean: (1, 3, 1, 1), [0, 1].
    """
    net.mean = torch.as_tensor(mean).to(cast(torch.Tensor, net.mean))
