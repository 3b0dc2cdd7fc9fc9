"""What differs between a network and the weights of a file, as texts of a message."""

import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch

from .conversions import StateDict, colour_problems, infer_arguments, released_img_range
from .metadata import METADATA

# Buffers of Swin networks that are computed from the sizes in the option file. In a checkpoint they
# have the sizes of the training that wrote it, which may be others; the parameters do not depend on
# them.
_COMPUTED_BUFFERS = ('attn_mask', 'relative_position_index')
# Two numbers that differ by less are the same, rounded.
_ROUNDING = 1e-4


def is_computed(name: str) -> bool:
    """Return whether a tensor is a buffer that the network computes for itself."""
    return name.rsplit('.', 1)[-1] in _COMPUTED_BUFFERS


def argument_differences(
    state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> list[str]:
    """List the arguments in which the network differs from the one that had these weights."""
    try:
        in_file = infer_arguments(state)
        in_network = infer_arguments(wanted)
    except (ValueError, ArithmeticError, LookupError):
        # Shapes that no network has: they are listed as differences of tensors.
        return []
    differences = []
    if set(in_file) == set(in_network):
        for name, value in in_file.items():
            if value != in_network[name]:
                differences.append(
                    f'{name}: {value} in the file, {in_network[name]} in the network'
                )
    return differences


def _constants(net: torch.nn.Module) -> dict[str, Any]:
    """Return the arguments of one of BasicSR's networks that change its output but no shape."""
    found: dict[str, Any] = {}
    for module in net.modules():
        for name in ('img_range', 'res_scale'):
            if name not in found and isinstance(getattr(module, name, None), (int, float)):
                found[name] = getattr(module, name)
    if isinstance(getattr(net, 'mean', None), torch.Tensor):
        found['rgb_mean'] = cast(torch.Tensor, net.mean).flatten().tolist()
    return found


def recorded_differences(net: torch.nn.Module, content: Mapping[str, Any]) -> list[str]:
    """List such arguments that differ from those that a checkpoint records."""
    recorded = (content.get(METADATA) or {}).get('network') or {}
    parameters = inspect.signature(type(net)).parameters
    # A registry may know a class by its name and a suffix.
    if not str(recorded.get('type')).startswith(type(net).__name__):
        return []
    differences = []
    for name, value in _constants(net).items():
        default = parameters[name].default if name in parameters else value
        trained = recorded.get(name, default)
        numbers = [float(number) for number in _as_list(trained)]
        actual = [float(number) for number in _as_list(value)]
        if name in parameters and not _close(numbers, actual):
            differences.append(f'{name}: {trained} in the file, {value} in the network')
    return differences


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _close(first: list[float], second: list[float]) -> bool:
    if len(first) != len(second):
        return False
    return all(abs(a - b) <= _ROUNDING for a, b in zip(first, second, strict=True))


def colour_differences(
    net: torch.nn.Module, in_file: StateDict, mean: torch.Tensor, initial: bool
) -> list[str]:
    """List why the range or the colour mean of released weights does not suit a network."""
    differences = colour_problems(in_file)
    released = released_img_range(in_file)
    img_range = getattr(net, 'img_range', released)
    if img_range != released:
        differences.append(
            f'img_range: the weights of the file are for {released:.0f}., {img_range} in the '
            f'network; write img_range: {released:.0f}.'
        )
    if not isinstance(getattr(net, 'mean', None), torch.Tensor):
        differences.append('rgb_mean: the network subtracts none, as the weights of the file need')
        return differences
    in_network = cast(torch.Tensor, net.mean).flatten().tolist()
    numbers = mean.flatten().tolist()
    if initial and not _close(numbers, in_network):
        rounded = [round(number, 4) for number in numbers]
        differences.append(
            f'rgb_mean: {rounded} in the file, {[round(n, 4) for n in in_network]} in the '
            f'network; write rgb_mean: {rounded}'
        )
    return differences


def tensor_differences(
    state: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    strict: bool,
    skip_shapes: bool,
) -> list[str]:
    """List tensors of other shapes and, with ``strict``, those on one side only."""
    differences = []
    for name, value in state.items():
        if not skip_shapes and name in wanted and value.shape != wanted[name].shape:
            differences.append(
                f'{name}: {tuple(value.shape)} in the file, {tuple(wanted[name].shape)} in the '
                'network'
            )
    if not strict:
        return differences
    for name in wanted:
        if name not in state and not is_computed(name):
            differences.append(f'{name}: only in the network')
    for name in state:
        if name not in wanted:
            differences.append(f'{name}: only in the file')
    return differences
