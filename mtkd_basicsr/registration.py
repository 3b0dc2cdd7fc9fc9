"""Importing this module repairs BasicSR and registers our models, archs, losses and datasets in its
registries.
"""

# ruff: noqa: E402
from . import compat, quiet

quiet.apply()
compat.apply()

from . import basicsr_scripts
from .archs import ConvFusion, DCTSwin
from .data import DistillImageDataset
from .losses import DCTLoss, WaveletLoss
from .models import KDModel, MTKDFusionModel, MTKDModel

basicsr_scripts.repair_running_script()

__all__ = [
    'ConvFusion',
    'DCTLoss',
    'DCTSwin',
    'DistillImageDataset',
    'KDModel',
    'MTKDFusionModel',
    'MTKDModel',
    'WaveletLoss',
]
