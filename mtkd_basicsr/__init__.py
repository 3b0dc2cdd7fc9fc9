"""Multi-teacher knowledge distillation (MTKD) for super-resolution, as a plug-in for BasicSR.

Importing this package registers its models, archs and losses in BasicSR's registries.
"""

__version__ = '0.1.0'

from . import compat, quiet

quiet.apply()
compat.apply()

from .archs import ConvFusion, DCTSwin  # noqa: E402
from .data import DistillImageDataset  # noqa: E402
from .losses import DCTLoss, WaveletLoss  # noqa: E402
from .models import KDModel, MTKDFusionModel, MTKDModel  # noqa: E402

__all__ = ['ConvFusion', 'DCTLoss', 'DCTSwin', 'DistillImageDataset', 'KDModel', 'MTKDFusionModel', 'MTKDModel', 'WaveletLoss']
