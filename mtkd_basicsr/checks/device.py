"""The device of a training on this machine."""

import torch

from ..config import TrainingConfig


def device_of(config: TrainingConfig) -> torch.device:
    """Return the device of a training on this machine."""
    return torch.device('cuda' if config.wants_gpu and torch.cuda.is_available() else 'cpu')
