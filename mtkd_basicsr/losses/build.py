"""Build a loss from its block in the option file."""

import logging
from typing import Any, cast

from torch import nn

from ..errors import OptionError, did_you_mean
from ..host.api import LOSS_REGISTRY, registered_name


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
    try:
        arguments = {k: v for k, v in loss.items() if k != 'type'}
        built = LOSS_REGISTRY.get(known)(**arguments)
    except Exception as error:  # each loss raises errors of its own
        raise OptionError(f'{key}: {name} cannot be built: {error}') from error
    # BasicSR's build_loss sets up the root logger, which a check before the training must leave to
    # the training.
    logging.getLogger('basicsr').info(f'Loss [{name}] is created.')
    return cast(nn.Module, built)
