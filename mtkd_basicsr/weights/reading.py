"""Read weight files, and what they record about themselves."""

import contextlib
import os
import re
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import safe_open

from ..errors import OptionError, WeightsError, why_unreadable
from ..host.api import ARCH_REGISTRY, registered_name
from ..host.yaml_loader import read_options
from ..utils.paths import expanded
from ..utils.resources import weights_file
from .metadata import METADATA, invalid_entry, metadata_of_texts


def _read_safetensors(path: str) -> dict[str, Any]:
    with safe_open(path, framework='pt') as file:
        # It is not a mapping: it has keys() but cannot be iterated over.
        state = {name: file.get_tensor(name) for name in file.keys()}
        metadata = metadata_of_texts(file.metadata())
    return state if metadata is None else {'params': state, METADATA: metadata}


# Classes of Lightning, by which its checkpoints name the states of callbacks.
_OF_LIGHTNING = re.compile(r'\b(?:pytorch_)?lightning(?:\.\w+)+')


class _Inert:
    """Stands in for a class that a file names; it does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass


def _stand_in(path: str) -> type[_Inert]:
    """Return a class that torch takes for the one at a dotted path."""
    module, _, name = path.rpartition('.')
    return type(name, (_Inert,), {'__module__': module, '__qualname__': name})


def _read_torch(path: str) -> Any:
    """Read what ``torch.save`` wrote, without executing anything in it.

    Checkpoints of Lightning name the classes of their callbacks, which torch refuses. Beside them
    lie tensors like any others, so that classes without content take their places.
    """
    allowing = getattr(torch.serialization, 'safe_globals', None)  # since torch 2.5
    stand_ins: dict[str, type[_Inert]] = {}
    while True:
        context: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if allowing is not None:
            context = allowing(list(stand_ins.values()))
        try:
            # Given a path, torch looks at its ending.
            with context, open(path, 'rb') as file:
                return torch.load(file, map_location='cpu', weights_only=True)
        except UnpicklingError as error:
            named = _OF_LIGHTNING.search(str(error))
            if allowing is None or named is None or named[0] in stand_ins:
                raise
            stand_ins[named[0]] = _stand_in(named[0])


# The first bytes of what torch.save writes, now and before version 1.6.
_ZIP = b'PK'
_PICKLE = b'\x80'
# How a file is read, by the ending of its name; with any other ending, by torch.load.
READERS: dict[str, Callable[[str], Any]] = {
    '.pth': _read_torch,
    '.pt': _read_torch,
    '.safetensors': _read_safetensors,
}


def _reader_of(path: str, ending: str) -> Callable[[str], Any]:
    """Return what reads a file: of the formats known here by its content, others by its ending."""
    reader = READERS.get(ending, _read_torch)
    if reader not in (_read_torch, _read_safetensors):
        return reader
    with open(path, 'rb') as file:
        head = file.read(9)
    # safetensors: the length of a JSON header, 8 bytes, and the header. The other two have other
    # characters there.
    length = int.from_bytes(head[:8], 'little')
    if head[8:] == b'{' and length < os.path.getsize(path):
        return _read_safetensors
    return _read_torch if head.startswith((_ZIP, _PICKLE)) else reader


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
        content = _reader_of(path, ending)(path)
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


def recorded_network(weights: str, key: str) -> dict[str, Any] | None:
    """Return the block of the network that a checkpoint records; None if it records none.

    Args:
        weights: The checkpoint.
        key: The option that names it, for messages.

    Raises:
        WeightsError: If the checkpoint cannot be read.
    """
    metadata = read_weights(weights, key).get(METADATA) or {}
    return metadata.get('network')


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
    network = metadata['network']
    if registered_name(ARCH_REGISTRY, network.get('type')) is None:
        raise OptionError(
            f"--weights: '{weights}' is of the network {network.get('type')!r}, which nothing here "
            'registers; pass the option file that imports it with -opt'
        )
    return network, metadata['scale']
