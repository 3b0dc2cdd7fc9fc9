"""Registration by name that is harmless when repeated."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ..errors import MTKDError

_Class = TypeVar('_Class', bound=type)


class _Registry(Protocol):
    """The parts of ``basicsr.utils.registry.Registry`` used here; this layer cannot import it."""

    _name: str
    _obj_map: dict[str, Any]


def _origin(cls: Any) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def add(table: dict[str, Any], title: str, cls: _Class) -> _Class:
    """Enter a class into a table under its own name.

    A class of the same module and name replaces the earlier one; a class of another module is never
    replaced.

    Args:
        table: Classes by name.
        title: What the table is, for messages.
        cls: The class.

    Returns:
        ``cls``.

    Raises:
        MTKDError: If another module has already entered a class under this name.
    """
    known = table.get(cls.__name__)
    if known is not None and _origin(known) != _origin(cls):
        raise MTKDError(
            f"{title}: the name '{cls.__name__}' belongs to {known.__module__}; {cls.__module__} "
            'cannot register another class under it'
        )
    table[cls.__name__] = cls
    return cls


def register(registry: _Registry) -> Callable[[_Class], _Class]:
    """Return a decorator that registers a class under its own name in a registry of BasicSR.

    BasicSR's ``register`` refuses a known name, which turns a second import (a reload, a notebook,
    a test) into an error; see :func:`add`.

    Args:
        registry: One of ``basicsr.utils.registry``'s.

    Returns:
        The decorator, which returns the class itself.

    Raises:
        MTKDError: If another package has already registered a class under this name.
    """

    def decorate(cls: _Class) -> _Class:
        return add(registry._obj_map, f"registry '{registry._name}'", cls)

    return decorate
