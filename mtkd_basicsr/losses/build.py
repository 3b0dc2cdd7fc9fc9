"""Build a loss from its block in the option file."""

import logging
import math
from typing import Any, cast

import torch
from torch import nn

from ..errors import OptionError, did_you_mean, first_line, yaml_hint
from ..host.api import LOSS_REGISTRY, registered_name
from ..host.option_schema import is_number
from ..utils.random_state import unchanged

# Whose losses have one number as their weight.
_PACKAGES = ('basicsr', __name__.partition('.')[0])


def build(loss: dict[str, Any], key: str) -> nn.Module:
    """Build a loss from BasicSR's registry.

    Args:
        loss: ``type`` and the arguments of that loss.
        key: Where it stands in the option file, for messages.

    Returns:
        (pred, target) -> scalar.

    Raises:
        OptionError: If the loss is unknown or rejects its arguments.
    """
    if not isinstance(loss, dict):
        raise OptionError(f'{key}: {loss!r}; expected a mapping with the type of a loss')
    name = loss.get('type')
    known = registered_name(LOSS_REGISTRY, name)
    if known is None:
        raise OptionError(
            f"{key}.type: unknown loss '{name}'; {did_you_mean(name, sorted(LOSS_REGISTRY.keys()))}"
        )
    weight = loss.get('loss_weight', 1)
    loss_class = LOSS_REGISTRY.get(known)
    # A loss of the user's may have several weights.
    is_own = loss_class.__module__.partition('.')[0] not in _PACKAGES
    if not is_number(weight, -math.inf) and not (is_own and not yaml_hint(weight)):
        raise OptionError(f'{key}.loss_weight: {weight!r}; expected a number{yaml_hint(weight)}')
    try:
        arguments = {k: v for k, v in loss.items() if k != 'type'}
        built = loss_class(**arguments)
    except Exception as error:  # each loss raises errors of its own
        raise OptionError(f'{key}: {name} cannot be built: {error}') from error
    # BasicSR's build_loss sets up the root logger, which a check before the training must leave to
    # the training.
    logging.getLogger('basicsr').info(f'Loss [{name}] is created.')
    return cast(nn.Module, built)


def try_out(
    built: nn.Module, loss: dict[str, Any], key: str, shape: tuple[int, ...], device: torch.device
) -> None:
    """Compute a loss once, of two batches of noise.

    Args:
        built: The loss, which is moved to the device.
        loss: Its block in the option file.
        key: Where it stands in the option file, for messages.
        shape: Shape of the images, (batch, channels, height, width).
        device: Where they are.

    Raises:
        OptionError: If it fails, or gives no single number.
    """
    name = loss['type']
    with unchanged():
        pred, target = torch.rand(shape, device=device), torch.rand(shape, device=device)
        # As the output of a network it has a gradient and is no leaf.
        pred = pred.requires_grad_() * 1
        try:
            value = built.to(device)(pred, target)
        except Exception as error:  # each loss raises errors of its own
            hints = ''.join(yaml_hint(argument) for argument in loss.values())
            raise OptionError(
                f'{key}: {name} fails for images of the shape {shape}: '
                f'{type(error).__name__}: {first_line(error)}{hints}'
            ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        found = type(value).__name__
        if isinstance(value, torch.Tensor):
            found = f'a tensor of the shape {tuple(value.shape)}'
        raise OptionError(
            f'{key}: {name} gives {found}; expected a single number (reduction: mean or sum)'
        )
