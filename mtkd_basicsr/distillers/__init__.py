"""The distillation methods, by the name that ``train.kd.type`` gives them."""

import dataclasses
import inspect

from ..config import KDOptions
from ..errors import MTKDError
from ..utils.registry import add
from .at import AT
from .base import Batch, FeatureMethod, Method, Step
from .cross_kd import CrossKD
from .distiller import Distiller, parse_methods
from .dukd import DUKD
from .fakd import FAKD
from .fitnet import FitNet
from .logit_kd import LogitKD, Scratch
from .mtkd import MTKD
from .rkd import RKD

METHODS = {
    method.__name__: method
    for method in (AT, CrossKD, DUKD, FAKD, FitNet, LogitKD, MTKD, RKD, Scratch)
}


def register_method(method):
    """Decorator: ``train.kd.type`` knows a method of your own by the name of its class.

    Args:
        method (type): A :class:`Method`. Its ``Options`` is that of its base, or a frozen
            dataclass derived from it.

    Returns:
        type: ``method``.

    Raises:
        MTKDError: the name belongs to another method, or ``Options`` cannot be used.
    """
    options = method.Options
    # Without the decorator the keys would be there for Python, and unknown in an option file.
    if not issubclass(options, KDOptions) or not set(inspect.get_annotations(options)) <= {
        f.name for f in dataclasses.fields(options)
    }:
        raise MTKDError(
            f'{method.__name__}.Options: expected a class over that of its base, with '
            '@dataclass(frozen=True) before it'
        )
    return add(METHODS, 'train.kd.type', method)


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
        OptionError, WeightsError, CacheError: something in the option file, or a file that it
        names, cannot be used.
    """
    return Distiller(METHODS, block, opt, device, student)


def check_method(block):
    """Refuses a ``train.kd`` that cannot be used, without building anything.

    Args:
        block (dict): ``train.kd``.

    Raises:
        OptionError: an unknown method or key, a value of the wrong type, methods that cannot be
            combined.
    """
    parse_methods(METHODS, block)


__all__ = [
    'Batch',
    'Distiller',
    'FeatureMethod',
    'METHODS',
    'Method',
    'Step',
    'build_distiller',
    'check_method',
    'register_method',
    *METHODS,
]
