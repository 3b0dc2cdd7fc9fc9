"""Importing this module patches BasicSR and registers our models, archs, losses and datasets."""

# ruff: noqa: E402
from ..host import quiet

quiet.apply()

from ..archs import ConvFusion, DCTSwin, Spandrel
from ..checks.preflight import check_options
from ..data import DistillImageDataset
from ..host import patches, scripts
from ..losses import DCTLoss, WaveletLoss
from ..models import KDModel, MTKDFusionModel, MTKDModel

patches.apply()
scripts.repair_running_script(check_options)

__all__ = [
    'ConvFusion',
    'DCTLoss',
    'DCTSwin',
    'DistillImageDataset',
    'KDModel',
    'MTKDFusionModel',
    'MTKDModel',
    'Spandrel',
    'WaveletLoss',
]
