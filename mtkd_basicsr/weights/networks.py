"""Build any network that BasicSR knows, and ask it for its size multiple and scale."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch

from ..errors import OptionError, did_you_mean, first_line
from ..host.api import ARCH_REGISTRY, build_network, registered_name

# The `type` of a network of spandrel. Without `arch` it is inferred from its weights.
SPANDREL = 'Spandrel'


def build(network: dict[str, Any], key: str) -> torch.nn.Module:
    """Build a network from BasicSR's registry.

    Args:
        network: ``type`` and the arguments of that arch.
        key: Where it stands in the option file, for messages.

    Returns:
        The network, with random weights.

    Raises:
        OptionError: If the arch is missing, unknown, or rejects its arguments.
    """
    name = network.get('type')
    if name is None:
        raise OptionError(f'{key}.type: missing; expected the name of an arch')
    known = registered_name(ARCH_REGISTRY, name)
    if known is None:
        raise OptionError(
            f"{key}.type: unknown arch '{name}'; {did_you_mean(name, sorted(ARCH_REGISTRY.keys()))}"
        )
    try:
        return build_network({**network, 'type': known})
    except Exception as error:  # each arch raises errors of its own
        raise OptionError(
            f'{key}: {name} cannot be built: {error or type(error).__name__}'
        ) from error


def is_inferred(arguments: Mapping[str, Any] | None) -> bool:
    """Return whether a network is left to spandrel to infer from its weights."""
    return arguments is not None and arguments.get('type') == SPANDREL and 'arch' not in arguments


def size_multiple(net: torch.nn.Module) -> int:
    """Return the number that height and width of a network's input must be divisible by.

    Args:
        net: A network.

    Returns:
        The network's own attribute ``size_multiple`` if it has one; else the least common multiple
        of all window sizes for Swin networks, the factor of the pixel unshuffle for RRDBNet at ×1
        and ×2, and 1 for all others.
    """
    declared = getattr(net, 'size_multiple', None)
    if isinstance(declared, int):
        return declared
    if type(net).__name__ == 'RRDBNet':
        return {1: 4, 2: 2}.get(cast(int, net.scale), 1)
    multiple = 1
    for module in net.modules():
        window_size = getattr(module, 'window_size', None)
        if isinstance(window_size, int):
            multiple = math.lcm(multiple, window_size)
    return multiple


def check_scale(
    net: torch.nn.Module, scale: int, key: str, side: int | None = None, channels: int = 3
) -> None:
    """Raise if a network does not enlarge its input by the scale.

    Args:
        net: An image to an image.
        scale: The expected factor.
        key: Where it stands in the option file, for messages.
        side: Height and width of the input; None for a small one.
        channels: Channels of input and output.

    Raises:
        OptionError: If the network cannot be run, or its output has another size.
    """
    side = side or 2 * size_multiple(net)
    shape = (1, channels, side, side)
    expected = (1, channels, scale * side, scale * side)
    parameter = next(net.parameters(), None)
    # Not all zeros, which a network may not be able to normalise.
    image = torch.linspace(0, 1, math.prod(shape)).view(shape)
    if parameter is not None:
        image = image.to(parameter.device)
    try:
        with torch.no_grad():
            actual = tuple(net(image).shape)
    except Exception as error:  # arguments of a wrong type, or unknown ones, fail only here
        raise OptionError(
            f'{key}: {arch_name(net)} fails for input {shape}: {first_line(error)}'
        ) from error
    if actual != expected:
        raise OptionError(
            f'{key}: output {actual} for input {shape}; scale is {scale}, expected {expected}'
        )


def arch_name(net: torch.nn.Module) -> str:
    """Return the name of a network for logs: its ``arch_name``, or else that of its class."""
    return cast(str, getattr(net, 'arch_name', type(net).__name__))
