"""The distillation methods, by the name that ``train.kd.type`` gives them."""

from .at import AT
from .base import Batch, Method, Step
from .cross_kd import CrossKD
from .distiller import Distiller, parse_methods
from .dukd import DUKD
from .fakd import FAKD
from .fitnet import FitNet
from .logit_kd import LogitKD, Scratch
from .mtkd import MTKD
from .rkd import RKD

METHODS = {method.__name__: method for method in (AT, CrossKD, DUKD, FAKD, FitNet, LogitKD, MTKD, RKD, Scratch)}


def build_distiller(block, opt, device, student):
    """Builds the method of a training, and those combined with it.

    Args:
        block (dict): ``train.kd``.
        opt (dict): All options.
        device: Where the student is.
        student (nn.Module): The bare network that is trained.

    Returns:
        Distiller: Its losses are those of the training.

    Raises:
        OptionError, WeightsError, CacheError: something in the option file, or a file that it names, cannot be used.
    """
    return Distiller(METHODS, block, opt, device, student)


def check_method(block):
    """Refuses a ``train.kd`` that cannot be used, without building anything.

    Args:
        block (dict): ``train.kd``.

    Raises:
        OptionError: an unknown method or key, a value of the wrong type, methods that cannot be combined.
    """
    parse_methods(METHODS, block)


__all__ = ['Batch', 'Distiller', 'METHODS', 'Method', 'Step', 'build_distiller', 'check_method', *METHODS]
