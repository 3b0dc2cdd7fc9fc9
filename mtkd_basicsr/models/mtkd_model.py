"""The second stage of MTKD."""

from basicsr.utils.registry import MODEL_REGISTRY

from ..config import MODELS
from ..utils.registry import register
from .kd_model import KDModel


@register(MODEL_REGISTRY)
class MTKDModel(KDModel):
    """:class:`KDModel` with the method MTKD: ``train.kd`` can be left out."""

    spec = MODELS['MTKDModel']
