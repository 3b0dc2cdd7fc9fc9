"""The functions, classes and registries of BasicSR that other layers use.

Outside of ``host/`` nothing imports BasicSR, so that a new release of it is reviewed in one folder.
Packages that search for their modules on import are looked up at each call: a model inside
``basicsr/models/`` may import this package before that import is complete.
"""

import contextlib
import io
from typing import Any

import basicsr
import basicsr.archs
import basicsr.data
import basicsr.losses
import basicsr.metrics
import basicsr.models
import torch
from basicsr.archs.arch_util import ResidualBlockNoBN
from basicsr.archs.ecbsr_arch import ECB
from basicsr.archs.swinir_arch import SwinTransformerBlock
from basicsr.archs.vgg_arch import NAMES as VGG_LAYERS
from basicsr.archs.vgg_arch import VGGFeatureExtractor
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.data.single_image_dataset import SingleImageDataset
from basicsr.data.transforms import augment, paired_random_crop
from basicsr.metrics.psnr_ssim import calculate_psnr, calculate_ssim
from basicsr.models.base_model import BaseModel
from basicsr.models.lr_scheduler import CosineAnnealingRestartLR, MultiStepRestartLR
from basicsr.models.sr_model import SRModel
from basicsr.utils import FileClient, get_root_logger
from basicsr.utils.dist_util import master_only
from basicsr.utils.logger import initialized_logger
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)

__all__ = [
    'ARCH_REGISTRY',
    'DATASET_REGISTRY',
    'LOSS_REGISTRY',
    'METRIC_REGISTRY',
    'MODEL_REGISTRY',
    'VGG_LAYERS',
    'ECB',
    'BaseModel',
    'CosineAnnealingRestartLR',
    'FileClient',
    'MultiStepRestartLR',
    'PairedImageDataset',
    'ResidualBlockNoBN',
    'SRModel',
    'SingleImageDataset',
    'SwinTransformerBlock',
    'VGGFeatureExtractor',
    'augment',
    'build_dataset',
    'build_model',
    'build_network',
    'calculate_psnr',
    'calculate_ssim',
    'get_root_logger',
    'initialized_logger',
    'master_only',
    'paired_random_crop',
    'registered_name',
]


def model_class(name: str) -> type | None:
    """Return the registered model of a name; None if there is none."""
    return MODEL_REGISTRY.get(name) if name in MODEL_REGISTRY else None


def registered_name(registry: Registry, name: Any) -> str | None:
    """Return the name that a registry knows a class by, as its ``get`` finds it.

    Args:
        registry: One of BasicSR's.
        name: The ``type`` in an option file.

    Returns:
        ``name``, or ``name`` with the suffix that ``get`` adds (``SRVGGNetCompact_basicsr``); None
        if the registry has neither.
    """
    if not isinstance(name, str) or name in registry:
        return name if isinstance(name, str) else None
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it tries
        try:
            found = registry.get(name)
        except KeyError:
            return None
    return next(known for known, value in registry if value is found)


def build_network(block: dict[str, Any]) -> torch.nn.Module:
    """Build a network from a block of an option file, which is not changed."""
    return basicsr.archs.build_network(block)


def build_dataset(block: dict[str, Any]) -> torch.utils.data.Dataset:
    """Build a dataset from a block of an option file, which is not changed."""
    return basicsr.data.build_dataset(block)


def build_model(opt: dict[str, Any]) -> BaseModel:
    """Build a model from the options, which the model may change."""
    return basicsr.models.build_model(opt)
