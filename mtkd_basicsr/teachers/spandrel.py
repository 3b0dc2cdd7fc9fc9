"""Teachers of any architecture known to spandrel, which infers it from the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..archs import SpandrelNetwork
from ..errors import OptionError, WeightsError
from ..weights.networks import SPANDREL
from ..weights.reading import read_weights
from ..weights.state_dicts import state_dict_of

if TYPE_CHECKING:
    from ..config import TeacherOptions


def load_spandrel(options: TeacherOptions, key: str) -> SpandrelNetwork:
    """Build and load a teacher whose architecture is inferred from its weights.

    Args:
        options: Options with ``network: {type: Spandrel}``, or without a network.
        key: Option key of the teacher, for messages.

    Returns:
        A super-resolution network for RGB images.

    Raises:
        OptionError: ``network`` has arguments; and see :func:`read_spandrel`.
        WeightsError: See :func:`read_spandrel`.
    """
    block = options.network or {}
    arguments = [name for name in block if name != 'type']
    if arguments:
        raise OptionError(
            f'{key}.network.{arguments[0]}: {SPANDREL} takes no arguments, because it infers them '
            'from the weights; remove it'
        )
    network_key = f'{key}.network.type' if block else f'{key}.network'
    return read_spandrel(
        options.weights, f'{key}.weights', network_key, options.param_key, asked_for=bool(block)
    )


def read_spandrel(
    weights: str,
    key: str,
    network_key: str,
    param_key: str | None = None,
    asked_for: bool = True,
) -> SpandrelNetwork:
    """Build and load the network that spandrel infers from a weight file.

    Args:
        weights: The file.
        key: Option that names the file, for messages.
        network_key: Option that names the network, for messages.
        param_key: Entry of the file to load; None for the usual ones.
        asked_for: Whether that option asks for spandrel; else it is missing.

    Returns:
        A super-resolution network for RGB images.

    Raises:
        OptionError: Spandrel is not installed, or it was not asked for and knows no such network.
        WeightsError: The file is unreadable, or its architecture is unknown to spandrel or not for
            super-resolution of RGB images.
    """
    try:
        from spandrel import MAIN_REGISTRY, ImageModelDescriptor, canonicalize_state_dict
    except ImportError as error:
        extra = "pip install 'mtkd_basicsr[spandrel]'"
        if not asked_for:
            raise OptionError(
                f"{network_key}: missing; '{weights}' does not record its network. Set it, "
                f'or let spandrel find it: {extra} ({error})'
            ) from error
        raise OptionError(f'{network_key}: {SPANDREL} needs an extra: {extra} ({error})') from error
    content = read_weights(weights, key)
    try:
        # If the state dict is nested under other names than BasicSR's, spandrel unpacks it.
        state = state_dict_of(content, weights, key, param_key)
    except WeightsError:
        if param_key is not None:
            raise
        state = content
    try:
        descriptor = MAIN_REGISTRY.load(canonicalize_state_dict(state))
    # Spandrel has one loader per architecture, and they raise many types for unknown weights.
    except Exception as error:
        first_keys = ', '.join(str(name) for name in list(state)[:5])
        if not asked_for:
            raise OptionError(
                f"{network_key}: missing; '{weights}' does not record its network, and "
                f'spandrel knows none that it fits; its first keys are {first_keys}'
            ) from error
        raise WeightsError(
            f"{key}: '{weights}': spandrel knows no network that it fits "
            f'({type(error).__name__}); its first keys are {first_keys}'
        ) from error
    inputs = descriptor.input_channels
    outputs = descriptor.output_channels
    is_super_resolution = (
        isinstance(descriptor, ImageModelDescriptor) and descriptor.purpose == 'SR'
    )
    if not is_super_resolution or (inputs, outputs) != (3, 3):
        raise WeightsError(
            f"{key}: '{weights}' is {descriptor.architecture.name} for "
            f'{descriptor.purpose}, {inputs} to {outputs} channels; expected super-resolution (SR) '
            'of RGB images, 3 to 3'
        )
    return SpandrelNetwork(descriptor)
