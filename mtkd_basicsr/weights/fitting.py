"""Fit a state dict to a network: convert its names, compare, and say what stays random."""

import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch

from ..errors import OptionError, WeightsError, first_line
from .conversions import (
    StateDict,
    colour_problems,
    infer_arguments,
    released_img_range,
    set_colour_mean,
    to_basicsr,
)
from .metadata import METADATA
from .state_dicts import state_dict_of, unwrap

# Buffers of Swin networks that are computed from the sizes in the option file. In a checkpoint they
# have the sizes of the training that wrote it, which may be others; the parameters do not depend on
# them.
_COMPUTED_BUFFERS = ('attn_mask', 'relative_position_index')
# How many differences, and how many random tensors, a message lists.
_MAX_LISTED = 5
_MAX_RANDOM = 20
# Two colour means that differ by less are the same, rounded.
_SAME_MEAN = 1e-4


def _is_computed(name: str) -> bool:
    return name.rsplit('.', 1)[-1] in _COMPUTED_BUFFERS


def _listed(names: list[str], most: int) -> str:
    hidden = len(names) - most
    return ', '.join(names[:most]) + (f' and {hidden} more' if hidden > 0 else '')


def _count_fitting(state: StateDict, wanted: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Count the tensors of the same name and shape, and those of the same name."""
    common = [name for name in wanted if name in state and not _is_computed(name)]
    same_shape = [name for name in common if state[name].shape == wanted[name].shape]
    return len(same_shape), len(common)


def _converted(
    state: StateDict, wanted: Mapping[str, torch.Tensor]
) -> tuple[StateDict, torch.Tensor | None]:
    """Return the state dict under BasicSR's names, and its colour mean.

    A network of one's own may have the names of a release: then they are kept.
    """
    renamed, mean = to_basicsr(state)
    if _count_fitting(state, wanted) > _count_fitting(renamed, wanted):
        return dict(state), None
    return dict(renamed), mean


def fit_weights(
    net: torch.nn.Module,
    content: dict[str, Any],
    path: str,
    key: str,
    strict: bool = True,
    param_key: str | None = None,
    initial: bool = False,
) -> str | None:
    """Load the weights in the content of a file into a network.

    Args:
        net: The network.
        content: As :func:`~mtkd_basicsr.weights.loading.read_weights` returns it.
        path, key, strict, param_key: As for :func:`~mtkd_basicsr.weights.loading.load_weights`.
        initial: Whether the network is trained from these weights on. Then tensors of other shapes
            stay random without ``strict``, as in BasicSR, whose networks for ×3 start from those
            for ×2; and the colour mean of the file has to be that of the option file, because the
            checkpoints of the training do not contain it.

    Returns:
        A warning that names the tensors that stay random; None if there are none.

    Raises:
        WeightsError: If the weights do not fit; lists the first differences. Without ``strict``,
            if less than half of the network's tensors fit.
    """
    where = f"{key}: '{path}'"
    wanted = net.state_dict()
    in_file = unwrap(
        state_dict_of(content, path, key, param_key),
        lambda state: _count_fitting(_converted(state, wanted)[0], wanted),
        where,
    )
    state, mean = _converted(in_file, wanted)
    for name in list(state):
        if _is_computed(name) and (name not in wanted or wanted[name].shape != state[name].shape):
            del state[name]
    misfit = f'{where} does not fit {type(net).__name__}: '
    if not strict:
        _require_half(state, wanted, misfit, of_any_shape=not initial)
    differences = _argument_differences(net, state, wanted, strict)
    differences += _recorded_differences(net, content)
    if mean is not None:
        differences += _colour_differences(net, in_file, mean, initial)
    differences += _tensor_differences(state, wanted, strict, skip_shapes=initial and not strict)
    if differences:
        shown = '; '.join(differences[:_MAX_LISTED])
        hidden = len(differences) - _MAX_LISTED
        raise WeightsError(misfit + shown + (f' and {hidden} more' if hidden > 0 else ''))
    for name in list(state):
        if name not in wanted or state[name].shape != wanted[name].shape:
            del state[name]
    try:
        net.load_state_dict(state, strict=False)
    except RuntimeError as error:  # sparse tensors, for example
        raise WeightsError(misfit + first_line(error)) from error
    if mean is not None:
        set_colour_mean(net, mean)
    return _random_tensors(net, in_file, state, wanted, where)


def refuse_random(net: torch.nn.Module) -> None:
    """Raise for a test without weights, unless the network has no parameters.

    BasicSR measures the random network without a word.

    Raises:
        OptionError: The network has parameters.
    """
    if any(True for _ in net.parameters()):
        raise OptionError(
            'path.pretrain_network_g: missing; without trained weights the test would measure '
            'random ones'
        )


def _require_half(
    state: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    misfit: str,
    of_any_shape: bool,
) -> None:
    """Raise if less than half of the network's tensors are in the file."""
    needed = [name for name in wanted if not _is_computed(name)]
    missing = []
    for name in needed:
        found = name in state and (of_any_shape or state[name].shape == wanted[name].shape)
        if not found:
            missing.append(name)
    if 2 * len(missing) > len(needed):
        raise WeightsError(
            f'{misfit}it has {len(needed) - len(missing)} of the {len(needed)} tensors, expected '
            f'at least half of them; missing: {_listed(missing, _MAX_LISTED)}; in the file: '
            f'{_listed(list(state), _MAX_LISTED)}'
        )


def _random_tensors(
    net: torch.nn.Module,
    in_file: Mapping[str, torch.Tensor],
    loaded: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    where: str,
) -> str | None:
    """Return a warning that names the tensors of a network that no file has set."""
    needed = [name for name in wanted if not _is_computed(name)]
    random = [name for name in needed if name not in loaded]
    if not random:
        return None
    share = sum(wanted[name].numel() for name in random)
    total = sum(wanted[name].numel() for name in needed)
    others = [name for name in random if name in in_file]
    text = (
        f'{where}: {len(random)} of the {len(needed)} tensors of {type(net).__name__} '
        f'({100 * share / total:.0f} % of its weights) are not in the file and stay random: '
        f'{_listed(random, _MAX_RANDOM)}'
    )
    return (
        f'{text}; in the file with other shapes: {_listed(others, _MAX_RANDOM)}' if others else text
    )


def _argument_differences(
    net: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    strict: bool,
) -> list[str]:
    """List the arguments in which the network differs from the one that had these weights."""
    try:
        in_file = infer_arguments(state)
        in_network = infer_arguments(wanted)
    except (ValueError, ArithmeticError, LookupError):
        # Shapes that no network has: they are listed as differences of tensors.
        return []
    differences = []
    if strict and set(in_file) == set(in_network):
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


def _recorded_differences(net: torch.nn.Module, content: Mapping[str, Any]) -> list[str]:
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
    return all(abs(a - b) <= _SAME_MEAN for a, b in zip(first, second, strict=True))


def _colour_differences(
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


def _tensor_differences(
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
        if name not in state and not _is_computed(name):
            differences.append(f'{name}: only in the network')
    for name in state:
        if name not in wanted:
            differences.append(f'{name}: only in the file')
    return differences
