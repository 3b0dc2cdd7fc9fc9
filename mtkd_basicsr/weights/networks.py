"""Building any network that BasicSR knows, and giving it the weights of a file."""

import math
import os
from collections.abc import Mapping
from typing import Any, cast

import torch
from safetensors import safe_open

from ..errors import OptionError, WeightsError, did_you_mean, first_line, why_unreadable
from ..host.api import ARCH_REGISTRY, build_network
from ..host.yaml_loader import read_options
from ..utils.resources import weights_file
from .conversions import RANGE, set_mean, settings, to_basicsr
from .metadata import METADATA, metadata_of_texts

# The `type` of a teacher whose arch is read off its weights.
SPANDREL = 'Spandrel'
# Buffers of Swin networks that are computed from the sizes in the option file. In a checkpoint they
# have the sizes of the training that wrote it, which may be others; the parameters do not depend on
# them.
_COMPUTED = ('attn_mask', 'relative_position_index')


def build(network: dict[str, Any], key: str) -> torch.nn.Module:
    """Build a network by BasicSR's registry.

    Args:
        network: ``type`` and the arguments of that arch.
        key: Where it stands in the option file, for messages.

    Returns:
        The network, with random weights.

    Raises:
        OptionError: unknown arch, or arguments that it does not take.
    """
    name = network.get('type')
    if not isinstance(name, str) or name not in ARCH_REGISTRY:
        raise OptionError(
            f"{key}.type: unknown arch '{name}'; {did_you_mean(name, sorted(ARCH_REGISTRY.keys()))}"
        )
    try:
        return build_network(network)
    except Exception as error:  # every arch has its own
        raise OptionError(
            f'{key}: {name} cannot be built: {error or type(error).__name__}'
        ) from error


def size_multiple(net: torch.nn.Module) -> int:
    """Return what height and width of the input of a network have to be divisible by.

    Args:
        net: A network.

    Returns:
        What the network says itself, as ``size_multiple``; else the window size of Swin networks,
        the factor of the pixel unshuffle of RRDBNet at ×1 and ×2, else 1.
    """
    own = getattr(net, 'size_multiple', None)
    if isinstance(own, int):
        return own
    if type(net).__name__ == 'RRDBNet':
        return {1: 4, 2: 2}.get(cast(int, net.scale), 1)
    sizes = (getattr(module, 'window_size', None) for module in net.modules())
    return math.lcm(*(size for size in sizes if isinstance(size, int)))


def check_scale(net: torch.nn.Module, scale: int, key: str) -> None:
    """Raise if a network does not enlarge by the scale.

    Args:
        net: RGB to RGB, on the CPU.
        scale: Factor.
        key: Where it stands in the option file, for messages.

    Raises:
        OptionError: it cannot be run, or gives another size.
    """
    side = 2 * size_multiple(net)
    shape = (1, 3, side, side)
    wanted = (1, 3, scale * side, scale * side)
    try:
        with torch.no_grad():
            given = tuple(net(torch.zeros(shape)).shape)
    except RuntimeError as error:
        raise OptionError(f'{key}: fails for input {shape}: {first_line(error)}') from error
    if given != wanted:
        raise OptionError(
            f'{key}: output {given} for input {shape}; scale is {scale}, expected {wanted}'
        )


def arch_name(net: torch.nn.Module) -> str:
    """Return the name of a network for logs: its ``arch_name``, or else that of its class."""
    return cast(str, getattr(net, 'arch_name', type(net).__name__))


def _read_safetensors(path: str) -> dict[str, Any]:
    with safe_open(path, framework='pt') as file:
        # It is no mapping: it cannot be iterated over.
        state = {name: file.get_tensor(name) for name in file.keys()}
        metadata = metadata_of_texts(file.metadata())
    return state if metadata is None else {'params': state, METADATA: metadata}


def read_weights(path: str, key: str) -> dict[str, Any]:
    """Read a file with weights, without executing anything in it.

    Args:
        path: A file written by ``torch.save``, ``.safetensors``, or ``reference:…``;
            safetensors as ``mtkd export`` writes it has the form of a student's checkpoint.
        key: The option that names it, for messages.

    Returns:
        What the file holds, tensors on the CPU.

    Raises:
        WeightsError: no such file, not readable without executing code, or not a mapping.
    """
    path = os.path.expanduser(weights_file(path, key))
    if not os.path.isfile(path):
        raise WeightsError(f"{key}: no file '{path}'")
    try:
        content = (
            _read_safetensors(path)
            if path.endswith('.safetensors')
            else torch.load(path, map_location='cpu', weights_only=True)
        )
    except Exception as error:
        raise WeightsError(
            f"{key}: '{path}' cannot be read as weights: {why_unreadable(error, path)}"
        ) from error
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{key}: '{path}' holds {type(content).__name__}; expected a state dict")
    _check_metadata(content.get(METADATA, {}), path, key)
    return content


def _check_metadata(metadata: Any, path: str, key: str) -> None:
    kinds = {'network': dict, 'scale': int, 'teachers': list, 'version': str}
    if not isinstance(metadata, dict):
        wrong = [METADATA]
    else:
        wrong = [
            f'{METADATA}.{name}'
            for name, kind in kinds.items()
            if name in metadata and not isinstance(metadata[name], kind)
        ]
        if not wrong and not all(isinstance(name, str) for name in metadata.get('teachers', [])):
            wrong = [f'{METADATA}.teachers']
    if wrong:
        raise WeightsError(
            f"{key}: '{path}': {wrong[0]} is not what mtkd_basicsr writes into a checkpoint"
        )


def network_of(opt: str | None, weights: str, safe: bool = False) -> tuple[dict[str, Any], int]:
    """Read the block of a trained network, and its scale.

    They come out of an option file where there is one, else out of the checkpoint.

    Args:
        opt: The option file of ``-opt``, if there is one.
        weights: The checkpoint of ``--weights``; only read without option file.
        safe: Executes nothing that the option file names.

    Returns:
        ``network_g`` and ``scale``.

    Raises:
        OptionError: no such option file, or it has none.
        WeightsError: the checkpoint cannot be read, or does not say.
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
            f"--weights: '{weights}' does not say which network it belongs to; give its option "
            'file with -opt'
        )
    return metadata['network'], metadata['scale']


def state_dict_of(
    content: dict[str, Any], path: str, key: str, param_key: str | None = None
) -> dict[str, torch.Tensor]:
    """Find the state dict in the content of a weights file.

    Args:
        content: As :func:`read_weights` gives it.
        path: The file, for messages.
        key: The option that names the file, for messages.
        param_key: Takes this entry; None takes ``params_ema``, else ``params``, else the whole
            content.

    Returns:
        Tensors by their names, without the ``module.`` that DistributedDataParallel puts before.

    Raises:
        WeightsError: there is none.
    """
    if param_key is not None and param_key not in content:
        raise WeightsError(
            f"{key}: '{path}' has no '{param_key}'; it has {', '.join(map(str, list(content)[:5]))}"
        )
    name = param_key or next((k for k in ('params_ema', 'params') if k in content), None)
    state = content[name] if name else content
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()
    ):
        raise WeightsError(
            f"{key}: '{path}' holds no state dict; its first keys are "
            f'{", ".join(map(str, list(content)[:5]))}'
        )
    broken = next(
        (
            k
            for k, v in state.items()
            if v.layout == torch.strided and v.is_floating_point() and v.isnan().any()
        ),
        None,
    )
    if broken is not None:
        raise WeightsError(
            f"{key}: '{path}': {broken} has values that are not numbers (NaN): the training that "
            'wrote it had diverged'
        )
    prefix = 'module.' if state and all(k.startswith('module.') for k in state) else ''
    return {k[len(prefix) :]: v for k, v in state.items()}


def _setting_differences(
    net: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    own: Mapping[str, torch.Tensor],
    mean: torch.Tensor | None,
    strict: bool,
) -> list[str]:
    """List the arguments of the network that the weights were not made with, in words."""
    try:
        found = settings(state)
        wanted = settings(own)
    # shapes that no network has, which are listed with the others
    except (ValueError, ArithmeticError, LookupError):
        return []
    differences: list[str] = []
    if strict and set(found) == set(wanted):
        differences = [
            f'{name}: {found[name]} in the file, {wanted[name]} in the network'
            for name in found
            if found[name] != wanted[name]
        ]
    if mean is not None and getattr(net, 'img_range', RANGE) != RANGE:
        differences.append(
            f'img_range: the weights of the file are for 255., {net.img_range} in the network'
        )
    return differences


def pretrained_key(content: Mapping[str, Any], param_key: str | None) -> str | None:
    """Return the entry of a file that BasicSR takes for ``path.param_key_g``.

    Args:
        content: Of the file.
        param_key: None is the file itself.

    Returns:
        ``param_key``; ``'params'`` where there is no such entry.
    """
    if param_key is not None and param_key not in content and 'params' in content:
        return 'params'
    return param_key


def load_weights(
    net: torch.nn.Module, path: str, key: str, strict: bool = True, param_key: str | None = None
) -> dict[str, Any]:
    """Give a network the weights of a file.

    Args:
        net: The network.
        path: BasicSR's format (``params_ema`` preferred, ``params``), or a bare state
            dict; names as BasicSR, EDSR-PyTorch, the official RCAN or SwinIR have them. A colour
            mean in the file is given to the network.
        key: The option that names the file, for messages.
        strict: Whether all names have to match. Shapes have to in any case.
        param_key: Takes this entry of the file instead.

    Returns:
        The whole content of the file, which may hold more than weights.

    Raises:
        WeightsError: unreadable, or it does not fit; lists the first differences.
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
    """Give a network the weights in the content of a file.

    Args:
        net: The network.
        content: As :func:`read_weights` gives it.
        path, key, strict, param_key: As of :func:`load_weights`.

    Raises:
        WeightsError: it does not fit; lists the first differences.
    """
    state, mean = to_basicsr(state_dict_of(content, path, key, param_key))
    own = net.state_dict()
    for name in [n for n in state if n.rsplit('.', 1)[-1] in _COMPUTED]:
        if name not in own or own[name].shape != state[name].shape:
            del state[name]
    computed = {n for n in own if n.rsplit('.', 1)[-1] in _COMPUTED}
    differences = _setting_differences(net, state, own, mean, strict)
    differences += [
        f'{n}: {tuple(state[n].shape)} in the file, {tuple(own[n].shape)} in the network'
        for n in state
        if n in own and state[n].shape != own[n].shape
    ]
    if strict:
        differences += [
            f'{n}: only in the network' for n in own if n not in state and n not in computed
        ]
        differences += [f'{n}: only in the file' for n in state if n not in own]
    if differences:
        more = f' and {len(differences) - 5} more' if len(differences) > 5 else ''
        raise WeightsError(
            f"{key}: '{path}' does not fit {type(net).__name__}: "
            + '; '.join(differences[:5])
            + more
        )
    try:
        net.load_state_dict(state, strict=False)
    except RuntimeError as error:  # sparse tensors, for example
        raise WeightsError(
            f"{key}: '{path}' does not fit {type(net).__name__}: {first_line(error)}"
        ) from error
    if mean is not None:
        set_mean(net, mean)
