"""The registry of distillation methods, by their names in ``train.kd.type``."""

import dataclasses
import inspect
import warnings
from typing import TYPE_CHECKING, TypeVar

from ..config import KDOptions, TargetSource
from ..errors import MTKDError
from ..utils.registry import add

if TYPE_CHECKING:
    from .base import Method

_MethodClass = TypeVar('_MethodClass', bound='type[Method]')

# Filled by `register_method`; importing `distillers` registers the methods of this package.
METHODS: dict[str, type['Method']] = {}

# Class attributes of version 0.1.0 -> their present names.
_OLD_ATTRIBUTES = {
    'adds': 'has_own_losses',
    'alone': 'target_source',
    'fused': 'target_source',
    'needs_targets_of_other_images': 'queries_teacher',
}


def register_method(method: _MethodClass) -> _MethodClass:
    """Register a method, so that ``train.kd.type`` can be the name of its class.

    Use it as a decorator.

    Args:
        method: A subclass of :class:`Method`. Its ``Options`` is that of its base, or a frozen
            dataclass derived from it.

    Returns:
        ``method``.

    Raises:
        MTKDError: Another method has this name, or ``Options`` is not a suitable dataclass.
    """
    options = method.Options
    is_valid = issubclass(options, KDOptions)
    if is_valid:
        # Without @dataclass, keys of the class would be unknown in an option file.
        fields = {field.name for field in dataclasses.fields(options)}
        is_valid = set(inspect.get_annotations(options)) <= fields
    if not is_valid:
        raise MTKDError(
            f'{method.__name__}.Options: expected a subclass of the Options of its base, decorated '
            'with @dataclass(frozen=True)'
        )
    _translate_old_attributes(method)
    if method.needs_target and 'losses' not in _own_attributes(method):
        method.has_own_losses = False
    add(METHODS, 'train.kd.type', method)
    return method


def _own_attributes(method: type['Method']) -> set[str]:
    """Return the names that a method and its bases define, without the bases of all methods."""
    bases = [base for base in method.__mro__ if base.__module__ != f'{__package__}.base']
    return {name for base in bases for name in vars(base)}


def _translate_old_attributes(method: type['Method']) -> None:
    """Set the present attributes of a method that was written for version 0.1.0."""
    old: dict[str, bool] = {}
    for base in reversed(method.__mro__):
        for name, value in vars(base).items():
            if name in _OLD_ATTRIBUTES:
                old[name] = value
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
