"""The distillation methods, and the distiller that applies them to a student."""

from .at import AT
from .base import Batch, FeatureMethod, Method, Step
from .cross_kd import CrossKD
from .dckd import DCKD
from .distiller import Distiller
from .dukd import DUKD
from .fakd import FAKD
from .fitnet import FitNet
from .logit_kd import LogitKD
from .mtkd import MTKD
from .registry import METHODS, register_method
from .rkd import RKD
from .scratch import Scratch
from .teacher_provider import TeacherProvider
from .training_config import check_method, training_config

__all__ = [
    'AT',
    'Batch',
    'CrossKD',
    'DCKD',
    'DUKD',
    'Distiller',
    'FAKD',
    'FeatureMethod',
    'FitNet',
    'LogitKD',
    'METHODS',
    'MTKD',
    'Method',
    'RKD',
    'Scratch',
    'Step',
    'TeacherProvider',
    'check_method',
    'register_method',
    'training_config',
]
