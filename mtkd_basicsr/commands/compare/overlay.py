"""Option blocks laid over each other, and the placeholders in them."""

import copy
import re
from collections.abc import Mapping
from typing import Any

from ...errors import OptionError

_PLACEHOLDER = re.compile(r'\{(\w+)\}')


def merge(*blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Lay mappings over each other; later ones win.

    A mapping with another ``type`` than the one below replaces it, so that an L1 loss does not
    inherit the wavelet of another loss. Where one of the two has no ``type``, they are merged.

    Args:
        *blocks: Option blocks, not changed.

    Returns:
        A new mapping.
    """
    result: dict[str, Any] = {}
    for block in blocks:
        for key, value in block.items():
            below = result.get(key)
            types = [
                block['type']
                for block in (value, below)
                if isinstance(block, dict) and 'type' in block
            ]
            if isinstance(value, dict) and isinstance(below, dict) and len(set(types)) < 2:
                result[key] = merge(below, value)
            else:
                result[key] = copy.deepcopy(value)
    return result


def fill(value: Any, values: Mapping[str, Any], key: str = '') -> Any:
    """Put values into the ``{name}`` of all texts of an option block.

    A text that is one placeholder and nothing else becomes the value itself: ``upscale: '{scale}'``
    is a number.

    Args:
        value: Mapping, list, text or anything else.
        values: By name.
        key: Where it stands, for messages.

    Returns:
        The same value with all placeholders filled.

    Raises:
        OptionError: a name that is not known.
    """
    if isinstance(value, dict):
        return {k: fill(v, values, f'{key}.{k}' if key else str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(v, values, key) for v in value]
    # BasicSR's own filename templates are '{}' and '{}x4', without a name.
    if not isinstance(value, str):
        return value
    for name in _PLACEHOLDER.findall(value):
        if name not in values:
            raise OptionError(
                f"{key}: '{value}' has the placeholder {{{name}}}; known: {', '.join(values)}"
            )
    whole = _PLACEHOLDER.fullmatch(value)
    return (
        values[whole.group(1)]
        if whole
        else _PLACEHOLDER.sub(lambda match: str(values[match.group(1)]), value)
    )
