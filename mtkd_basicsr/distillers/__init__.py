"""The distillation methods, by the name that ``train.kd.type`` gives them."""

from ..errors import OptionError, did_you_mean
from .base import Batch, Distiller
from .mtkd import MTKD

METHODS = {'MTKD': MTKD}


def build_distiller(kd, opt, device):
    """Builds the method of ``train.kd``.

    Args:
        kd (KDOptions): Which method.
        opt (dict): All options.
        device: Where the student is.

    Raises:
        OptionError: no such method.
    """
    if kd.type not in METHODS:
        raise OptionError(f"train.kd.type: unknown method '{kd.type}'; {did_you_mean(kd.type, METHODS)}")
    return METHODS[kd.type](opt, device)


__all__ = ['Batch', 'Distiller', 'METHODS', 'MTKD', 'build_distiller']
