"""The table of the distillation methods, by the name that ``train.kd.type`` gives them."""

import dataclasses
import inspect
from typing import Any, TypeVar

import torch
from torch import nn

from ..config import KDOptions
from ..errors import MTKDError
from ..utils.registry import add
from .at import AT
from .base import Method
from .cross_kd import CrossKD
from .distiller import Distiller, parse_methods
from .dukd import DUKD
from .fakd import FAKD
from .fitnet import FitNet
from .logit_kd import LogitKD, Scratch
from .mtkd import MTKD
from .rkd import RKD

_MethodClass = TypeVar('_MethodClass', bound=type[Method])

METHODS: dict[str, type[Method]] = {
    method.__name__: method
    for method in (AT, CrossKD, DUKD, FAKD, FitNet, LogitKD, MTKD, RKD, Scratch)
}


def register_method(method: _MethodClass) -> _MethodClass:
    """Make a method of your own known to ``train.kd.type`` by the name of its class.

    Use it as a decorator.

    Args:
        method: A :class:`Method`. Its ``Options`` is that of its base, or a frozen dataclass
            derived from it.

    Returns:
        ``method``.

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
    add(METHODS, 'train.kd.type', method)
    return method


def build_distiller(
    block: Any, opt: dict[str, Any], device: str | torch.device, student: nn.Module
) -> Distiller:
    """Build the method of a training, and those combined with it.

    Args:
        block: ``train.kd``, as it stands in the option file; anything but a usable mapping is
            refused.
        opt: All options.
        device: Where the student is.
        student: The bare network that is trained.

    Returns:
        Its losses are those of the training.

    Raises:
        OptionError, WeightsError, CacheError: something in the option file, or a file that it
        names, cannot be used.
    """
    return Distiller(METHODS, block, opt, device, student)


def check_method(block: Any) -> None:
    """Raise if a ``train.kd`` cannot be used, without building anything.

    Args:
        block: ``train.kd``, as it stands in the option file.

    Raises:
        OptionError: an unknown method or key, a value of the wrong type, methods that cannot be
            combined.
    """
    parse_methods(METHODS, block)
