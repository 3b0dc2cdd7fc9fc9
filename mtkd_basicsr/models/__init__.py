from .fusion_model import MTKDFusionModel
from .kd_model import KDModel, MTKDModel

__all__ = ['KDModel', 'MTKDFusionModel', 'MTKDModel']
