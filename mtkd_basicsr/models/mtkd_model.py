"""The trainer of students with MTKD, stage 2."""

from basicsr.utils.registry import MODEL_REGISTRY

from ..config import MODELS
from ..utils.registry import register
from .kd_model import KDModel


@register(MODEL_REGISTRY)
class MTKDModel(KDModel):
    """:class:`KDModel` with the default ``train.kd: {type: MTKD}``."""

    spec = MODELS['MTKDModel']
