"""Merging of option blocks, and placeholders in them."""

import copy
import re
from collections.abc import Mapping
from typing import Any

from ...errors import OptionError

_PLACEHOLDER = re.compile(r'\{(\w+)\}')


def merge(*blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; later ones win.

    A mapping with a different ``type`` replaces the earlier one, so that an L1 loss does not
    inherit the wavelet of another loss. If one of the two has no ``type``, they are merged.

    Args:
        *blocks: Option blocks; not modified.

    Returns:
        A new mapping.
    """
    result: dict[str, Any] = {}
    for block in blocks:
        for key, value in block.items():
            earlier = result.get(key)
            if (
                isinstance(earlier, dict)
                and isinstance(value, dict)
                and not _have_different_types(earlier, value)
            ):
                result[key] = merge(earlier, value)
            else:
                result[key] = copy.deepcopy(value)
    return result


def _have_different_types(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    """Return whether both mappings have a ``type``, and not the same one."""
    return 'type' in earlier and 'type' in later and earlier['type'] != later['type']


def fill(value: Any, values: Mapping[str, Any], key: str = '') -> Any:
    """Replace the placeholders ``{name}`` in all texts of an option block.

    A text that consists of one placeholder becomes the value itself: ``upscale: '{scale}'`` is a
    number.

    Args:
        value: Mapping, list, text or anything else.
        values: Values by name.
        key: Key of the value, for messages.

    Returns:
        A copy of the value without placeholders.

    Raises:
        OptionError: The name of a placeholder is unknown.
    """
    if isinstance(value, dict):
        return {k: fill(v, values, f'{key}.{k}' if key else str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(v, values, key) for v in value]
    if not isinstance(value, str):
        return value
    # BasicSR's own filename templates, '{}' and '{}x4', have no name and are not placeholders.
    for name in _PLACEHOLDER.findall(value):
        if name not in values:
            raise OptionError(
                f"{key}: '{value}' has the placeholder {{{name}}}; known: {', '.join(values)}"
            )
    whole = _PLACEHOLDER.fullmatch(value)
    if whole:
        return values[whole.group(1)]
    return _PLACEHOLDER.sub(lambda match: str(values[match.group(1)]), value)
