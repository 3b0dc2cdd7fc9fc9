"""Registration by name that does no harm when it happens twice."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ..errors import MTKDError

_Class = TypeVar('_Class', bound=type)


class _Registry(Protocol):
    """What is used of ``basicsr.utils.registry.Registry``, which this layer cannot import."""

    _name: str
    _obj_map: dict[str, Any]


def add(table: dict[str, Any], title: str, cls: _Class) -> _Class:
    """Enter a class into a table under its own name.

    A class of the same module and name replaces the earlier one; a class of somebody else is not
    touched.

    Args:
        table: Classes by name.
        title: What the table is, for messages.
        cls: The class.

    Returns:
        ``cls``.

    Raises:
        MTKDError: Another module has entered something else under this name.
    """
    known = table.get(cls.__name__)
    if known is not None and (known.__module__, known.__qualname__) != (
        cls.__module__,
        cls.__qualname__,
    ):
        raise MTKDError(
            f"{title}: the name '{cls.__name__}' belongs to {known.__module__}; {cls.__module__} "
            'cannot register its own'
        )
    table[cls.__name__] = cls
    return cls


def register(registry: _Registry) -> Callable[[_Class], _Class]:
    """Return a decorator that registers a class under its own name in a registry of BasicSR.

    BasicSR's ``register`` refuses a name that it has, which turns a second import (a reload, a
    notebook, a test) into an error; see :func:`add`.

    Args:
        registry: One of ``basicsr.utils.registry``'s.

    Returns:
        The decorator, which returns the class itself.

    Raises:
        MTKDError: Another package has registered something else under this name.
    """
    return lambda cls: add(registry._obj_map, f"registry '{registry._name}'", cls)
