"""The functions and registries of BasicSR that other layers call.

Layers that subclass BasicSR's classes (archs, losses, data, models) import those themselves; all
others go through this module, so that a new release of BasicSR is reviewed in one place. Packages
that search for their modules on import are looked up at each call: a model inside
``basicsr/models/`` may import this package before that import is complete.
"""

from typing import Any

import basicsr
import basicsr.archs
import basicsr.data
import basicsr.metrics
import basicsr.models
import torch
from basicsr.archs.swinir_arch import SwinTransformerBlock
from basicsr.metrics.psnr_ssim import calculate_psnr, calculate_ssim
from basicsr.models.base_model import BaseModel
from basicsr.utils.logger import initialized_logger
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)

__all__ = [
    'ARCH_REGISTRY',
    'DATASET_REGISTRY',
    'METRIC_REGISTRY',
    'MODEL_REGISTRY',
    'BaseModel',
    'SwinTransformerBlock',
    'build_dataset',
    'build_model',
    'build_network',
    'calculate_psnr',
    'calculate_ssim',
    'initialized_logger',
]


def build_network(block: dict[str, Any]) -> torch.nn.Module:
    """Build a network from a block of an option file, which is not changed."""
    return basicsr.archs.build_network(block)


def build_dataset(block: dict[str, Any]) -> torch.utils.data.Dataset:
    """Build a dataset from a block of an option file, which is not changed."""
    return basicsr.data.build_dataset(block)


def build_model(opt: dict[str, Any]) -> BaseModel:
    """Build a model from the options, which the model may change."""
    return basicsr.models.build_model(opt)
