"""The device of a training on this machine."""

from collections.abc import Callable

import torch

from ..config import TrainingConfig
from ..errors import OptionError
from ..utils.launchers import local_rank


def device_of(config: TrainingConfig) -> torch.device:
    """Return the device of a training on this machine."""
    return torch.device('cuda' if config.wants_gpu and torch.cuda.is_available() else 'cpu')


def try_on(config: TrainingConfig, check: Callable[[torch.device], None]) -> None:
    """Run a check on the CPU, and if it fails there, on the GPU of the training.

    Some layers and losses run on a GPU alone.

    Args:
        config: The option file.
        check: The check, as a function of the device.

    Raises:
        OptionError: It fails on both, or the training has no GPU.
    """
    try:
        check(torch.device('cpu'))
    except OptionError:
        device = device_of(config)
        if device.type == 'cpu':
            raise
        # Each process of a launcher uses a GPU of its own.
        check(torch.device('cuda', local_rank() % torch.cuda.device_count()))
