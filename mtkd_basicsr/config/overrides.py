"""``--force_yml``: options that are given on the command line."""

import ast
import copy
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ..errors import OptionError, did_you_mean, first_line
from .keys import plugin_keys

# BasicSR puts the keys into a line of Python that it executes.
_KEYS = re.compile(r'[\w.+-]+(:[\w.+-]+)*')


def _value(text: str, entry: str, read_value: Callable[[str], Any]) -> Any:
    try:
        # BasicSR evaluates what begins like a list, whatever is in it.
        return ast.literal_eval(text) if text.startswith('[') else read_value(text)
    except Exception as error:  # literal_eval has six kinds of them
        raise OptionError(
            f"--force_yml: '{entry}': the value {text!r} cannot be read ({first_line(error)}); "
            'expected a text, a number, '
            'true, false, ~, or a list of these'
        ) from error


def apply_overrides(
    opt: dict[str, Any], entries: Iterable[str] | None, read_value: Callable[[str], Any]
) -> dict[str, Any]:
    """Return options with those of the command line in them, as BasicSR will set them.

    Args:
        opt: All options; stays as it is.
        entries: ``a:b:c=value``, of keys that are there, or that are ours.
        read_value: Turns the text of a value into what BasicSR makes of it.

    Returns:
        A copy.

    Raises:
        OptionError: Not of that form, or a key that is not known.
    """
    opt = copy.deepcopy(opt)
    for entry in entries or []:
        keys, equals, text = (part.strip() for part in entry.partition('='))
        if not equals or '=' in text or not _KEYS.fullmatch(keys):
            raise OptionError(
                f"--force_yml: '{entry}'; expected KEY=VALUE, for example train:total_iter=100, "
                "with one '='"
            )
        *blocks, last = keys.split(':')
        block = opt
        for i, key in enumerate(blocks):
            block = _known(block, key, list(block), entry)[key]
            if not isinstance(block, dict):
                raise OptionError(
                    f"--force_yml: '{entry}': {'.'.join(blocks[: i + 1])} is {block!r}; expected a "
                    'mapping with the key '
                    f"'{keys.split(':')[i + 1]}'"
                )
        ours = plugin_keys('.'.join(blocks))
        known = [*block, *(name for name in ours if name not in block)]
        value = _value(text, entry, read_value)
        _known(block, last, known, entry)[last] = value
    return opt


def _known(block: dict[str, Any], key: str, known: Collection[str], entry: str) -> dict[str, Any]:
    if key not in known:
        raise OptionError(
            f"--force_yml: '{entry}': no key '{key}' in the option file; {did_you_mean(key, known)}"
        )
    return block
