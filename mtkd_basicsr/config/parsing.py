"""Reading a mapping of an option file into a dataclass, with errors that say where it stands.

An unknown key is refused with the nearest known one; so is a missing key, and a value of another
type. Libraries of typed structures do not name the nearest known key, and speak of Python's types
instead of what stands in a YAML file; this is all that is needed of them.
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
    str: 'a text',
    bool: 'true or false',
    int: 'a whole number',
    float: 'a number',
}


def _check_type(value: Any, annotation: Any, key: str) -> None:
    optional = getattr(annotation, '__args__', None)
    kind = optional[0] if optional else annotation
    accepted = (int, float) if kind is float else kind
    if (value is None and optional) or (
        isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    ):
        return
    raise OptionError(
        f'{key}: {value!r}; expected {_TYPES[kind]}{" or nothing (~)" if optional else ""}'
    )


def parse(cls: type[_Options], block: Any, key: str) -> _Options:
    """Build a dataclass out of a mapping of an option file.

    Args:
        cls: A dataclass, of which the option file can set every field.
        block: What stands in the option file.
        key: Where it stands, for messages: ``'teachers.edsr'``.

    Returns:
        An instance of ``cls``.

    Raises:
        OptionError: Not a mapping, an unknown or missing key, a value of the wrong type.
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
            raise OptionError(f"{key}: key '{name}' is missing; it is needed")
    return cls(**block)


def choice(value: Any, known: Collection[str], key: str) -> None:
    """Raise if a value is none of the known ones.

    Args:
        value: What stands in the option file.
        known: What may stand there.
        key: Where it stands, for messages.

    Raises:
        OptionError: Names the key, the value, and what is known.
    """
    if value not in known:
        raise OptionError(f'{key}: {value!r}; {did_you_mean(value, known)}')


def require(opt: dict[str, Any], *path: str) -> Any:
    """Return the value at a path of keys.

    Args:
        opt: All options.
        *path: Keys from the outside in.

    Returns:
        The value.

    Raises:
        OptionError: A key is missing or empty.
    """
    value: Any = opt
    for i, key in enumerate(path):
        value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise OptionError(f'{".".join(path[: i + 1])}: missing; it is needed here')
    return value
