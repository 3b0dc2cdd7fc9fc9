from .fusion_model import MTKDFusionModel
from .kd_model import KDModel
from .mtkd_model import MTKDModel

__all__ = ['KDModel', 'MTKDFusionModel', 'MTKDModel']
