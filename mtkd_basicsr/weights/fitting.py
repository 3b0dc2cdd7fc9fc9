"""Fit a state dict to a network: convert its names, compare, and say what stays random."""

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import OptionError, WeightsError, first_line
from ..utils.texts import listed
from .conversions import StateDict, set_colour_mean, to_basicsr
from .differences import (
    argument_differences,
    colour_differences,
    is_computed,
    recorded_differences,
    tensor_differences,
)
from .state_dicts import state_dict_of, unwrap

# How many differences, and how many random tensors, a message lists.
_MAX_LISTED = 5
_MAX_RANDOM = 20


def _count_fitting(state: StateDict, wanted: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Count the tensors of the same name and shape, and those of the same name."""
    common = [name for name in wanted if name in state and not is_computed(name)]
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
    as_basicsr: bool = False,
) -> str | None:
    """Load the weights in the content of a file into a network.

    Args:
        net: The network.
        content: As :func:`~mtkd_basicsr.weights.reading.read_weights` returns it.
        path, key, strict, param_key: As for :func:`~mtkd_basicsr.weights.loading.load_weights`.
        initial: Whether the network is trained from these weights on. Then tensors of other shapes
            stay random without ``strict``, as in BasicSR, whose networks for ×3 start from those
            for ×2; and the colour mean of the file has to be that of the option file, because the
            checkpoints of the training do not contain it.
        as_basicsr: Whether to take the names as BasicSR's own models do, which know no other
            wrapper than ``module.`` and no released weights.

    Returns:
        A warning that names the tensors that stay random; None if there are none.

    Raises:
        WeightsError: If the weights do not fit; lists the first differences. Without ``strict``,
            if less than half of the network's tensors fit.
    """
    where = f"{key}: '{path}'"
    wanted = net.state_dict()
    in_file = state_dict_of(content, path, key, param_key)
    state: StateDict
    mean: torch.Tensor | None = None
    if as_basicsr:
        state = {name.removeprefix('module.'): value for name, value in in_file.items()}
    else:
        in_file = unwrap(
            in_file,
            lambda candidate: _count_fitting(_converted(candidate, wanted)[0], wanted),
            where,
        )
        state, mean = _converted(in_file, wanted)
    for name in list(state):
        if is_computed(name) and (name not in wanted or wanted[name].shape != state[name].shape):
            del state[name]
    misfit = f'{where} does not fit {type(net).__name__}: '
    if not strict:
        _require_half(state, wanted, misfit, of_any_shape=not initial)
    differences = argument_differences(state, wanted) if strict else []
    differences += recorded_differences(net, content)
    if mean is not None:
        differences += colour_differences(net, in_file, mean, initial)
    differences += tensor_differences(state, wanted, strict, skip_shapes=initial and not strict)
    if differences:
        raise WeightsError(misfit + listed(differences, _MAX_LISTED, '; '))
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
    needed = [name for name in wanted if not is_computed(name)]
    missing = []
    for name in needed:
        found = name in state and (of_any_shape or state[name].shape == wanted[name].shape)
        if not found:
            missing.append(name)
    if 2 * len(missing) > len(needed):
        raise WeightsError(
            f'{misfit}it has {len(needed) - len(missing)} of the {len(needed)} tensors, expected '
            f'at least half of them; missing: {listed(missing, _MAX_LISTED)}; in the file: '
            f'{listed(list(state), _MAX_LISTED)}'
        )


def _random_tensors(
    net: torch.nn.Module,
    in_file: Mapping[str, torch.Tensor],
    loaded: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    where: str,
) -> str | None:
    """Return a warning that names the tensors of a network that no file has set."""
    needed = [name for name in wanted if not is_computed(name)]
    random = [name for name in needed if name not in loaded]
    if not random:
        return None
    share = sum(wanted[name].numel() for name in random)
    total = sum(wanted[name].numel() for name in needed)
    others = [name for name in random if name in in_file]
    text = (
        f'{where}: {len(random)} of the {len(needed)} tensors of {type(net).__name__} '
        f'({100 * share / total:.0f} % of its weights) are not in the file and stay random: '
        f'{listed(random, _MAX_RANDOM)}'
    )
    return (
        f'{text}; in the file with other shapes: {listed(others, _MAX_RANDOM)}' if others else text
    )
