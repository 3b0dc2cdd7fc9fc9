"""Weights under the names that other programs know a network by.

==============  ==========================================================================
EDSR            of EDSR-PyTorch, whose names the Hugging Face package super-image has too
RCAN            of the official repository, which spandrel reads
ECBSR           folded: it is then a SRVGGNetCompact, which spandrel reads
all others      their own
==============  ==========================================================================

:mod:`~mtkd_basicsr.weights.conversions` is the way back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from ..errors import ExportError
from .conversions import StateDict
from .folding import folded_ecb

_RELEASED_IMG_RANGE = 255.0


class Released(NamedTuple):
    """The weights of a network for other programs.

    Attributes:
        state: Tensors by name.
        network: Type and arguments of the network in BasicSR that has these names; None if it has
            other names there: then the file is the bare state dict, as that of the release.
        names: Whose names they are, for messages.
        hint: What a program has to be told that the weights do not show; empty if nothing.
    """

    state: StateDict
    network: dict[str, Any] | None
    names: str
    hint: str = ''


def _mean_layers(net: nn.Module) -> StateDict:
    """Return the 1×1 convolutions that subtract the colour mean and add it, for [0, 255]."""
    mean = cast(torch.Tensor, net.mean).flatten().float() * _RELEASED_IMG_RANGE
    state: StateDict = {}
    for name, sign in (('sub_mean', -1), ('add_mean', 1)):
        state[f'{name}.weight'] = torch.eye(3).view(3, 3, 1, 1)
        state[f'{name}.bias'] = sign * mean
    return state


def _common(net: nn.Module, state: StateDict, last: int) -> StateDict:
    """Rename what EDSR and RCAN share: all but the blocks of the body.

    Args:
        net: EDSR or RCAN.
        state: Its state dict.
        last: Number of the convolution after the body, in the body.
    """
    found = _mean_layers(net)
    # The weights work in [0, 255], whatever the range of the network here.
    factor = float(cast(float, net.img_range)) / _RELEASED_IMG_RANGE
    for name, value in state.items():
        place, _, part = name.rpartition('.')
        if place == 'conv_first':
            found[f'head.0.{part}'] = value * factor if part == 'weight' else value
        elif place == 'conv_after_body':
            found[f'body.{last}.{part}'] = value
        elif place.startswith('upsample.'):
            found[f'tail.0.{place.partition(".")[2]}.{part}'] = value
        elif place == 'conv_last':
            found[f'tail.1.{part}'] = value / factor
    return found


def _edsr(net: nn.Module, network: dict[str, Any]) -> Released:
    state = net.state_dict()
    blocks = list(cast(nn.Sequential, net.body))
    found = _common(net, state, len(blocks))
    for i in range(len(blocks)):
        for layer, number in (('conv1', 0), ('conv2', 2)):
            for part in ('weight', 'bias'):
                found[f'body.{i}.body.{number}.{part}'] = state[f'body.{i}.{layer}.{part}']
    res_scale = getattr(blocks[0], 'res_scale', 1) if blocks else 1
    hint = '' if res_scale == 1 else f'the weights need res_scale {res_scale:g} there too'
    return Released(found, None, 'EDSR-PyTorch', hint)


def _rcan(net: nn.Module, network: dict[str, Any]) -> Released:
    state = net.state_dict()
    groups = list(cast(nn.Sequential, net.body))
    found = _common(net, state, len(groups))
    for g, group in enumerate(groups):
        blocks = list(cast(nn.Sequential, group.residual_group))
        for part in ('weight', 'bias'):
            found[f'body.{g}.body.{len(blocks)}.{part}'] = state[f'body.{g}.conv.{part}']
        for b, block in enumerate(blocks):
            _add_rcab(found, state, f'body.{g}', b, float(cast(float, block.res_scale)))
    return Released(found, None, 'the official RCAN')


def _add_rcab(found: StateDict, state: StateDict, group: str, b: int, res_scale: float) -> None:
    """Add a block of RCAN.

    The official network has no ``res_scale``. It goes into the second convolution, and the
    attention, which gets that one's output, takes it back.
    """
    old = f'{group}.residual_group.{b}.rcab'
    new = f'{group}.body.{b}.body'
    for part in ('weight', 'bias'):
        attention = 1 / res_scale if part == 'weight' else 1.0
        found[f'{new}.0.{part}'] = state[f'{old}.0.{part}']
        found[f'{new}.2.{part}'] = state[f'{old}.2.{part}'] * res_scale
        found[f'{new}.3.conv_du.0.{part}'] = state[f'{old}.3.attention.1.{part}'] * attention
        found[f'{new}.3.conv_du.2.{part}'] = state[f'{old}.3.attention.3.{part}']


def _ecbsr(net: nn.Module, network: dict[str, Any]) -> Released:
    """Fold ECBSR, which is SRVGGNetCompact then.

    Raises:
        ExportError: Its activation is none of those of SRVGGNetCompact whose weights show it.
    """
    blocks = list(cast(nn.Sequential, net.backbone))
    found: StateDict = {}
    for i, block in enumerate(blocks):
        layer, activation = folded_ecb(block)
        found[f'body.{2 * i}.weight'] = layer.weight.detach()
        found[f'body.{2 * i}.bias'] = cast(torch.Tensor, layer.bias).detach()
        if isinstance(activation, nn.PReLU):
            found[f'body.{2 * i + 1}.weight'] = activation.weight.detach()
        elif activation is not None:
            raise ExportError(
                f'network_g.act_type: {network.get("act_type")!r}; expected prelu, with which '
                'other programs recognise the weights of ECBSR; for others use ONNX'
            )
    compact = {
        'type': 'SRVGGNetCompact',
        'num_feat': found['body.0.weight'].shape[0],
        'num_conv': len(blocks) - 2,
        'upscale': network['scale'],
    }
    return Released(found, compact, 'SRVGGNetCompact (folded)')


_CONVERSIONS: dict[str, Callable[[nn.Module, dict[str, Any]], Released]] = {
    'EDSR': _edsr,
    'RCAN': _rcan,
    'ECBSR': _ecbsr,
}


def released(net: nn.Module, network: dict[str, Any]) -> Released:
    """Return the weights of a network under the names that other programs know.

    Args:
        net: The network, in ``eval()``, RGB to RGB.
        network: Its type and arguments.

    Raises:
        ExportError: Other programs know no such network.
    """
    kind = type(net)
    if kind.__name__ in _CONVERSIONS and kind.__module__.startswith('basicsr.'):
        return _CONVERSIONS[kind.__name__](net, network)
    of_spandrel = network.get('type') == 'Spandrel'
    return Released(
        dict(net.state_dict()), network, 'spandrel' if of_spandrel else f'BasicSR ({kind.__name__})'
    )
