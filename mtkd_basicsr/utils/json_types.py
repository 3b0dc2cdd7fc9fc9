"""Option values in the types that JSON knows."""

from collections.abc import Iterator
from typing import Any

import numpy as np

_PLAIN = (str, int, float, type(None))  # a bool is an int


def to_json_types(value: Any) -> Any:
    """Convert option values to what they are after being written to JSON and read back.

    Ordered mappings become dicts with texts as keys, tuples become lists, numbers of NumPy those of
    Python. A class or function, which a tag of YAML can stand for, becomes its import path.

    Args:
        value: Mapping, list, tuple, text, number or anything else.

    Returns:
        The same values in dicts, lists, texts and numbers.
    """
    if isinstance(value, dict):
        return {str(name): to_json_types(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_types(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    named = value if hasattr(value, '__qualname__') else type(value)
    return f'{named.__module__}.{named.__qualname__}'


def of_other_types(value: Any, key: str) -> Iterator[str]:
    """Yield the keys of values that JSON has no type for, and that cannot be read back from it.

    Args:
        value: As for :func:`to_json_types`.
        key: Option key of the value.
    """
    if isinstance(value, dict):
        for name, each in value.items():
            yield from of_other_types(each, f'{key}.{name}')
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from of_other_types(each, key)
    elif not isinstance(value, (np.generic, *_PLAIN)):
        yield key
