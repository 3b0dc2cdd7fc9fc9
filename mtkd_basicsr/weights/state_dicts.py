"""Find the state dict in the content of a weight file, whatever it was wrapped in."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch

from ..errors import WeightsError
from ..utils.texts import listed

StateDict: TypeAlias = dict[str, torch.Tensor]

# What torch.compile, FSDP and activation checkpointing put anywhere into a name.
_INSERTED = ('_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module')
# The attributes in which DataParallel, Lightning and other trainers hold a network. Those of a
# moving average come first, as BasicSR's `params_ema` does.
_AVERAGES = ('net_g_ema', 'model_ema', 'ema_model', 'ema')
_WRAPPERS = (
    *_AVERAGES,
    *('module', 'model', 'net', 'network', 'net_g', 'netG', 'generator'),
    *('student', 'teacher', 'online_model', 'ema_module'),
)
# How many keys a message lists.
_MAX_LISTED = 5


def _first_keys(content: Mapping[Any, Any]) -> str:
    return ', '.join(str(name) for name in list(content)[:_MAX_LISTED])


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items()
    )


def _refuse_broken(name: str, tensor: torch.Tensor, where: str) -> None:
    """Raise for weights with which a network would give no image."""
    # Sparse tensors have no isnan; loading them into a network fails later on.
    if tensor.layout != torch.strided or not tensor.is_floating_point():
        return
    found = None
    # Buffers, such as masks of attention, may hold -Inf.
    is_weight = name.rpartition('.')[2] in ('weight', 'bias')
    if tensor.isnan().any():
        found = 'NaN'
    elif tensor.isposinf().any() or (is_weight and tensor.isneginf().any()):
        found = 'Inf'
    if found is not None:
        raise WeightsError(f'{where}: {name} contains {found}: the training that wrote it diverged')


def _why_none(content: Mapping[Any, Any], state: Any) -> str:
    """Explain why an entry of a file, or its whole content, is no state dict."""
    if isinstance(state, dict) and any(isinstance(each, torch.Tensor) for each in state.values()):
        others = [
            f'{name} ({type(each).__name__})'
            for name, each in state.items()
            if not isinstance(each, torch.Tensor)
        ]
        if others:
            return f'beside tensors there is {listed(others, _MAX_LISTED)}; save tensors alone'
    return f'its first keys are {_first_keys(content)}'


def refuse_state_of_a_training(content: Mapping[Any, Any], where: str) -> None:
    """Raise for the files of optimizers and schedules, which lie beside those of the networks."""
    if 'optimizers' in content and 'iter' in content:
        raise WeightsError(
            f'{where} is the training state of iteration {content["iter"]}, which has no weights; '
            f'expected the network, models/net_g_{content["iter"]}.pth of the same experiment'
        )
    if 'param_groups' in content:
        raise WeightsError(f'{where} is the state of an optimizer; expected that of a network')


def _default_entry(content: Mapping[str, Any], where: str) -> str | None:
    """Return the entry that holds the weights; None for the content itself."""
    for name in ('params_ema', 'params'):
        if name in content:
            return name
    if _is_state_dict(content):
        return None
    entries = [name for name, value in content.items() if _is_state_dict(value) and value]
    if len(entries) > 1:
        raise WeightsError(
            f'{where} has several state dicts, {", ".join(entries)}; expected one: choose it with '
            'param_key (path.param_key_g for pretrain_network_g)'
        )
    return entries[0] if entries else None


def state_dict_of(
    content: dict[str, Any], path: str, key: str, param_key: str | None = None
) -> StateDict:
    """Find the state dict in the content of a weight file.

    Args:
        content: As :func:`~mtkd_basicsr.weights.reading.read_weights` returns it.
        path: The file, for messages.
        key: The option that names the file, for messages.
        param_key: The entry to take; None takes ``params_ema``, else ``params``, else the whole
            content, else the only entry that is a state dict.

    Returns:
        Tensors by name, as in the file.

    Raises:
        WeightsError: If there is no state dict, or several, or it contains NaN or Inf.
    """
    where = f"{key}: '{path}'"
    refuse_state_of_a_training(content, where)
    if param_key is None:
        param_key = _default_entry(content, where)
    elif param_key not in content:
        hint = '; nothing (~) takes the whole file' if _is_state_dict(content) else ''
        raise WeightsError(f"{where} has no '{param_key}'; it has {_first_keys(content)}{hint}")
    state = content if param_key is None else content[param_key]
    if not _is_state_dict(state):
        raise WeightsError(f'{where} holds no state dict; {_why_none(content, state)}')
    for name, value in state.items():
        _refuse_broken(name, value, where)
    return dict(state)


def pretrained_key(content: Mapping[str, Any], param_key: str | None) -> str | None:
    """Return the entry of a file that is taken for ``path.param_key_g``.

    BasicSR takes ``params`` for any entry that the file lacks, a misspelled one included.

    Args:
        content: The content of the file.
        param_key: The value of the option; None stands for the content itself.

    Returns:
        ``param_key``, or ``'params'`` if the file has no moving average, ``params_ema``.
    """
    if param_key == 'params_ema' and param_key not in content and 'params' in content:
        return 'params'
    return param_key


def _without_inserted(name: str) -> str:
    return '.'.join(part for part in name.split('.') if part not in _INSERTED)


def _prefixes(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Return all prefixes that are attributes of wrappers alone, the shortest first."""
    prefixes = {''}
    for name in state:
        parts = name.split('.')
        for i, part in enumerate(parts[:-1], 1):
            if part not in _WRAPPERS:
                break
            prefixes.add('.'.join(parts[:i]) + '.')
    return sorted(prefixes, key=lambda prefix: (len(prefix), prefix))


def _below(state: Mapping[str, torch.Tensor], prefix: str) -> StateDict:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def _candidates(state: StateDict) -> Iterator[tuple[str, StateDict]]:
    """Yield the state dict under the names of the file, and without what wrappers add to them."""
    yield '', state
    plain = {_without_inserted(name): value for name, value in state.items()}
    for prefix in _prefixes(plain):
        if prefix or plain.keys() != state.keys():
            yield prefix, _below(plain, prefix)


def unwrap(
    state: StateDict, count_fitting: Callable[[StateDict], tuple[int, int]], where: str
) -> StateDict:
    """Take off what wrappers add to the names of a network, where that makes the names fit.

    With a prefix, tensors of other names (of a loss, a discriminator) are left out.

    Args:
        state: Tensors by name, as in the file.
        count_fitting: Counts the tensors of a state dict that fit the network: those of the same
            name and shape, then those of the same name.
        where: Option key and file, for messages.

    Returns:
        The state dict that fits best; ``state`` itself if none fits better.

    Raises:
        WeightsError: If the file holds two networks that fit, and neither is a moving average.
    """
    found: dict[str, tuple[tuple[int, int], StateDict]] = {}
    for prefix, candidate in _candidates(state):
        score = count_fitting(candidate)
        if prefix not in found or score > found[prefix][0]:
            found[prefix] = (score, candidate)
    best = max(score for score, _ in found.values())
    prefixes = [prefix for prefix, (score, _) in found.items() if score == best]
    averages = [prefix for prefix in prefixes if set(prefix.split('.')) & set(_AVERAGES)]
    if '' in prefixes:
        prefixes = ['']
    elif averages:
        prefixes = averages
    if len(prefixes) > 1:
        raise WeightsError(
            f'{where} holds several networks that fit, {", ".join(prefixes)}; expected one: save '
            'the state dict of the one that you mean'
        )
    return found[prefixes[0]][1]


def average_left_out(content: Mapping[str, Any], path: str) -> str | None:
    """Return the warning that a test without ``path.param_key_g`` takes no moving average.

    Args:
        content: Content of the file.
        path: The file.

    Returns:
        The warning; None if the file has none.
    """
    if 'params_ema' not in content:
        return None
    return (
        f"path.param_key_g: missing, so that 'params' of '{path}' are tested, as in BasicSR; "
        "its moving average is 'params_ema'"
    )


def warn_of_average(content: Mapping[str, Any], path: str) -> None:
    """Log :func:`average_left_out`."""
    text = average_left_out(content, path)
    if text is not None:
        logging.getLogger('basicsr').warning(text)
