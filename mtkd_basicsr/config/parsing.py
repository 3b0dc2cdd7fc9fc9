"""Parse a mapping of an option file into a dataclass, with errors that name the option key.

Unknown keys, missing keys and values of the wrong type are errors; for an unknown key the message
gives the nearest known one. Libraries of typed structures do not suggest the nearest key, and their
messages name Python types instead of YAML's.
"""

import dataclasses
import typing
from collections.abc import Collection
from typing import Any, ClassVar, Protocol, TypeVar

from ..errors import OptionError, did_you_mean


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


_Options = TypeVar('_Options', bound=_Dataclass)

_TYPES: dict[type, str] = {
    dict: 'a mapping',
    list: 'a list',
    str: 'a string',
    bool: 'true or false',
    int: 'a whole number',
    float: 'a number',
    type(None): 'nothing (~)',
}


def _check_type(value: Any, annotation: Any, key: str) -> None:
    """Raise if a value does not have the type of a field, ``X``, ``X | None`` or ``X | Y``."""
    types = typing.get_args(annotation) or (annotation,)
    if not any(_fits(value, expected) for expected in types):
        names = [_TYPES[expected] for expected in types]
        raise OptionError(f'{key}: {value!r}; expected {" or ".join(names)}')


def _fits(value: Any, expected: type) -> bool:
    if isinstance(value, bool):
        return expected is bool  # a bool is an int for Python
    if expected is float:
        return isinstance(value, (int, float))
    return isinstance(value, expected)


def parse(cls: type[_Options], block: Any, key: str) -> _Options:
    """Build a dataclass from a mapping of an option file.

    Args:
        cls: A dataclass whose fields are the keys of the mapping.
        block: The value in the option file.
        key: Its option key, for messages: ``'teachers.edsr'``.

    Returns:
        An instance of ``cls``.

    Raises:
        OptionError: The value is not a mapping, a key is unknown or missing, or a value has the
            wrong type.
    """
    if not isinstance(block, dict):
        raise OptionError(
            f'{key}: {block!r}; expected a mapping with the keys '
            f'{", ".join(f.name for f in dataclasses.fields(cls))}'
        )
    fields = {f.name: f for f in dataclasses.fields(cls)}
    types = typing.get_type_hints(cls)
    for name, value in block.items():
        if name not in fields:
            raise OptionError(f"{key}: unknown key '{name}'; {did_you_mean(name, fields)}")
        _check_type(value, types[name], f'{key}.{name}')
    for name, field in fields.items():
        if name not in block and field.default is field.default_factory is dataclasses.MISSING:
            raise OptionError(f"{key}: key '{name}' is missing")
    return cls(**block)


def choice(value: Any, known: Collection[str], key: str) -> None:
    """Raise if a value is not one of the known values.

    Args:
        value: The value in the option file.
        known: The accepted values.
        key: Its option key, for messages.

    Raises:
        OptionError: The value is unknown. The message lists the known values.
    """
    if value not in known:
        raise OptionError(f'{key}: {value!r}; {did_you_mean(value, known)}')


def require(opt: dict[str, Any], *path: str) -> Any:
    """Return the value at a path of keys.

    Args:
        opt: All options.
        *path: Keys, outermost first.

    Returns:
        The value.

    Raises:
        OptionError: A key is missing or empty.
    """
    value: Any = opt
    for i, key in enumerate(path):
        value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise OptionError(f'{".".join(path[: i + 1])}: missing')
    return value
