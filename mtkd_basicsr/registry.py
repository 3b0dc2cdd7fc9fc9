"""Registration in BasicSR's registries that does no harm when it happens twice."""

from .errors import MTKDError


def register(registry):
    """Decorator: registers a class under its own name in a registry of BasicSR.

    BasicSR's ``register`` refuses a name that it has, which turns a second import (a reload, a notebook, a test) into an
    error. Here a class of the same module and name replaces the earlier one; a class of somebody else is not touched.

    Args:
        registry: One of ``basicsr.utils.registry``'s.

    Raises:
        MTKDError: another package has registered something else under this name.
    """
    def decorate(cls):
        known = registry._obj_map.get(cls.__name__)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise MTKDError(f"registry '{registry._name}': the name '{cls.__name__}' belongs to {known.__module__}; "
                            f'{cls.__module__} cannot register its own')
        registry._obj_map[cls.__name__] = cls
        return cls

    return decorate
