"""The table of the distillation methods, by the name that ``train.kd.type`` gives them."""

import dataclasses
import inspect
import warnings
from typing import TypeVar

from ..config import KDOptions, TargetSource
from ..errors import MTKDError
from ..utils.registry import add
from .at import AT
from .base import Method
from .cross_kd import CrossKD
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

# Class attributes of version 0.1.0, and what they are called now.
_OLD_ATTRIBUTES = {
    'adds': 'has_own_losses',
    'alone': 'target_source',
    'fused': 'target_source',
    'needs_targets_of_other_images': 'queries_teacher',
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
    _translate_old_attributes(method)
    add(METHODS, 'train.kd.type', method)
    return method


def _translate_old_attributes(method: type[Method]) -> None:
    """Give a method that was written for version 0.1.0 the attributes of today."""
    old = {
        name: value
        for base in reversed(method.__mro__)
        for name, value in vars(base).items()
        if name in _OLD_ATTRIBUTES
    }
    for name, value in old.items():
        attribute = _OLD_ATTRIBUTES[name]
        warnings.warn(
            f'{method.__name__}.{name} is called {attribute} now', DeprecationWarning, stacklevel=3
        )
        if name in ('fused', 'alone'):
            if value:
                source = TargetSource.FUSED if name == 'fused' else TargetSource.NONE
                method.target_source = source
        else:
            setattr(method, attribute, value)
