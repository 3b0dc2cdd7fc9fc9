"""Read weight files, find the state dict in them, and load it into a network."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors import safe_open

from ..errors import OptionError, WeightsError, first_line, why_unreadable
from ..host.yaml_loader import read_options
from ..utils.paths import expanded
from ..utils.resources import weights_file
from .conversions import RELEASED_IMG_RANGE, infer_arguments, set_colour_mean, to_basicsr
from .metadata import METADATA, invalid_entry, metadata_of_texts

# Buffers of Swin networks that are computed from the sizes in the option file. In a checkpoint they
# have the sizes of the training that wrote it, which may be others; the parameters do not depend on
# them.
_COMPUTED_BUFFERS = ('attn_mask', 'relative_position_index')
# How many differences, or keys, a message lists.
_MAX_LISTED = 5


def _read_safetensors(path: str) -> dict[str, Any]:
    with safe_open(path, framework='pt') as file:
        # It is not a mapping: it has keys() but cannot be iterated over.
        state = {name: file.get_tensor(name) for name in file.keys()}
        metadata = metadata_of_texts(file.metadata())
    return state if metadata is None else {'params': state, METADATA: metadata}


def _read_torch(path: str) -> Any:
    return torch.load(path, map_location='cpu', weights_only=True)


# How a file is read, by the ending of its name; with any other ending, by torch.load.
READERS: dict[str, Callable[[str], Any]] = {
    '.pth': _read_torch,
    '.pt': _read_torch,
    '.safetensors': _read_safetensors,
}


def read_weights(path: str, key: str) -> dict[str, Any]:
    """Read a weight file without executing anything in it.

    Args:
        path: A file in one of the formats of :data:`READERS`, or ``reference:…``. A safetensors
            file written by ``mtkd export`` is returned in the form of a student's checkpoint.
        key: The option that names it, for messages.

    Returns:
        The content of the file, tensors on the CPU.

    Raises:
        WeightsError: If there is no such file, if it cannot be read without executing code, or if
            it does not hold a mapping.
    """
    path = expanded(weights_file(path, key))
    if not os.path.isfile(path):
        raise WeightsError(f"{key}: no file '{path}'")
    ending = os.path.splitext(path)[1]
    try:
        content = READERS.get(ending, _read_torch)(path)
    except Exception as error:
        hint = '' if ending in READERS else f'; known formats: {", ".join(READERS)}'
        raise WeightsError(
            f"{key}: '{path}' cannot be read as weights: {why_unreadable(error, path)}{hint}"
        ) from error
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{key}: '{path}' holds {type(content).__name__}; expected a state dict")
    wrong = invalid_entry(content.get(METADATA, {}))
    if wrong is not None:
        raise WeightsError(
            f"{key}: '{path}': {wrong} is not what mtkd_basicsr writes into a checkpoint"
        )
    return content


def network_of(opt: str | None, weights: str, safe: bool = False) -> tuple[dict[str, Any], int]:
    """Read the block of a trained network, and its scale.

    They come from the option file if there is one, and else from the checkpoint.

    Args:
        opt: The option file of ``-opt``, if there is one.
        weights: The checkpoint of ``--weights``; only read without an option file.
        safe: Whether to execute nothing that the option file names.

    Returns:
        ``network_g`` and ``scale``.

    Raises:
        OptionError: If there is no such option file, or it lacks either of them.
        WeightsError: If the checkpoint cannot be read, or does not record them.
    """
    if opt is not None:
        content = read_options(opt, safe)
        network = content.get('network_g')
        scale = content.get('scale')
        if not isinstance(network, dict) or not isinstance(scale, int) or scale < 1:
            raise OptionError(
                f"-opt: '{opt}': expected network_g and scale, as in an option file for training "
                'or testing'
            )
        return network, scale
    metadata = read_weights(weights, '--weights').get(METADATA) or {}
    if 'network' not in metadata or metadata.get('scale', 0) < 1:
        raise WeightsError(
            f"--weights: '{weights}' does not say which network it belongs to; pass its option "
            'file with -opt'
        )
    return metadata['network'], metadata['scale']


def _first_keys(content: Mapping[Any, Any]) -> str:
    return ', '.join(str(name) for name in list(content)[:_MAX_LISTED])


def _has_nan(tensor: torch.Tensor) -> bool:
    # Sparse tensors have no isnan; loading them into a network fails later on.
    if tensor.layout != torch.strided or not tensor.is_floating_point():
        return False
    return bool(tensor.isnan().any())


def state_dict_of(
    content: dict[str, Any], path: str, key: str, param_key: str | None = None
) -> dict[str, torch.Tensor]:
    """Find the state dict in the content of a weight file.

    Args:
        content: As :func:`read_weights` returns it.
        path: The file, for messages.
        key: The option that names the file, for messages.
        param_key: The entry to take; None takes ``params_ema``, else ``params``, else the whole
            content.

    Returns:
        Tensors by name, without the prefix ``module.`` of DistributedDataParallel.

    Raises:
        WeightsError: If there is no state dict, or it contains NaN.
    """
    if param_key is None:
        if 'params_ema' in content:
            param_key = 'params_ema'
        elif 'params' in content:
            param_key = 'params'
    elif param_key not in content:
        raise WeightsError(f"{key}: '{path}' has no '{param_key}'; it has {_first_keys(content)}")
    state = content if param_key is None else content[param_key]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise WeightsError(
            f"{key}: '{path}' holds no state dict; its first keys are {_first_keys(content)}"
        )
    for name, value in state.items():
        if _has_nan(value):
            raise WeightsError(
                f"{key}: '{path}': {name} contains NaN: the training that wrote it diverged"
            )
    if all(name.startswith('module.') for name in state):
        return {name.removeprefix('module.'): value for name, value in state.items()}
    return dict(state)


def pretrained_key(content: Mapping[str, Any], param_key: str | None) -> str | None:
    """Return the entry of a file that BasicSR takes for ``path.param_key_g``.

    Args:
        content: The content of the file.
        param_key: The value of the option; None stands for the content itself.

    Returns:
        ``param_key``, or ``'params'`` if the file lacks the former and has the latter.
    """
    if param_key is not None and param_key not in content and 'params' in content:
        return 'params'
    return param_key


def load_weights(
    net: torch.nn.Module, path: str, key: str, strict: bool = True, param_key: str | None = None
) -> dict[str, Any]:
    """Load the weights of a file into a network.

    Args:
        net: The network.
        path: BasicSR's format (``params_ema`` preferred, ``params``), or a bare state
            dict; names as in BasicSR, or in one of
            :data:`~mtkd_basicsr.weights.conversions.SOURCE_FORMATS`. A colour mean in the file is
            handed to the network.
        key: The option that names the file, for messages.
        strict: Whether all names must match. Shapes must match in any case.
        param_key: The entry of the file to take instead.

    Returns:
        The whole content of the file.

    Raises:
        WeightsError: If the file cannot be read or does not fit; lists the first differences.
    """
    content = read_weights(path, key)
    fit_weights(net, content, path, key, strict, param_key)
    return content


def fit_weights(
    net: torch.nn.Module,
    content: dict[str, Any],
    path: str,
    key: str,
    strict: bool = True,
    param_key: str | None = None,
) -> None:
    """Load the weights in the content of a file into a network.

    Args:
        net: The network.
        content: As :func:`read_weights` returns it.
        path, key, strict, param_key: As for :func:`load_weights`.

    Raises:
        WeightsError: If the weights do not fit; lists the first differences.
    """
    state, mean = to_basicsr(state_dict_of(content, path, key, param_key))
    wanted = net.state_dict()
    for name in list(state):
        if _is_computed(name) and (name not in wanted or wanted[name].shape != state[name].shape):
            del state[name]
    differences = _argument_differences(net, state, wanted, mean, strict)
    differences += _tensor_differences(state, wanted, strict)
    misfit = f"{key}: '{path}' does not fit {type(net).__name__}: "
    if differences:
        hidden = len(differences) - _MAX_LISTED
        more = f' and {hidden} more' if hidden > 0 else ''
        raise WeightsError(misfit + '; '.join(differences[:_MAX_LISTED]) + more)
    try:
        net.load_state_dict(state, strict=False)
    except RuntimeError as error:  # sparse tensors, for example
        raise WeightsError(misfit + first_line(error)) from error
    if mean is not None:
        set_colour_mean(net, mean)


def _is_computed(name: str) -> bool:
    return name.rsplit('.', 1)[-1] in _COMPUTED_BUFFERS


def _argument_differences(
    net: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    mean: torch.Tensor | None,
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
    img_range = getattr(net, 'img_range', RELEASED_IMG_RANGE)
    if mean is not None and img_range != RELEASED_IMG_RANGE:
        differences.append(
            f'img_range: the weights of the file are for 255., {img_range} in the network'
        )
    return differences


def _tensor_differences(
    state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], strict: bool
) -> list[str]:
    """List tensors of other shapes and, with ``strict``, those on one side only."""
    differences = []
    for name, value in state.items():
        if name in wanted and value.shape != wanted[name].shape:
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
