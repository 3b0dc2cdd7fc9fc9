"""Registration by name that does no harm when it happens twice."""

from ..errors import MTKDError


def add(table, title, cls):
    """Enters a class under its own name.

    A class of the same module and name replaces the earlier one; a class of somebody else is not
    touched.

    Args:
        table (dict[str, type]): Where it goes.
        title (str): What the table is, for messages.
        cls (type): The class.

    Returns:
        type: ``cls``.

    Raises:
        MTKDError: another module has entered something else under this name.
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


def register(registry):
    """Decorator: registers a class under its own name in a registry of BasicSR.

    BasicSR's ``register`` refuses a name that it has, which turns a second import (a reload, a
    notebook, a test) into an error; see :func:`add`.

    Args:
        registry: One of ``basicsr.utils.registry``'s.

    Raises:
        MTKDError: another package has registered something else under this name.
    """
    return lambda cls: add(registry._obj_map, f"registry '{registry._name}'", cls)
