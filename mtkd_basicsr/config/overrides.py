"""``--force_yml``: options given on the command line."""

import ast
import copy
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ..errors import OptionError, did_you_mean, first_line
from .keys import plugin_keys

# BasicSR inserts the keys into a line of Python and executes it.
_KEY_PATH = re.compile(r'[\w.+-]+(:[\w.+-]+)*')


def _parse_value(text: str, entry: str, read_value: Callable[[str], Any]) -> Any:
    try:
        # BasicSR calls eval() on values that begin with a bracket.
        return ast.literal_eval(text) if text.startswith('[') else read_value(text)
    except Exception as error:  # literal_eval raises six different types
        raise OptionError(
            f"--force_yml: '{entry}': the value {text!r} cannot be read ({first_line(error)}); "
            'expected a string, a number, true, false, ~, or a list of these'
        ) from error


def apply_overrides(
    opt: dict[str, Any], entries: Iterable[str] | None, read_value: Callable[[str], Any]
) -> dict[str, Any]:
    """Return a copy of the options with command-line values set as BasicSR will set them.

    Args:
        opt: All options; not modified.
        entries: ``a:b:c=value``, with keys of the option file or of this package.
        read_value: Converts the text of a value as BasicSR does.

    Returns:
        The copy.

    Raises:
        OptionError: An entry does not have this form, or its key is unknown.
    """
    opt = copy.deepcopy(opt)
    for entry in entries or []:
        keys, equals, text = (part.strip() for part in entry.partition('='))
        if not equals or '=' in text or not _KEY_PATH.fullmatch(keys):
            raise OptionError(
                f"--force_yml: '{entry}'; expected KEY=VALUE, for example train:total_iter=100, "
                "with one '='"
            )
        *blocks, last = keys.split(':')
        block = opt
        for i, key in enumerate(blocks):
            _check_known(key, list(block), entry)
            block = block[key]
            if not isinstance(block, dict):
                path = '.'.join(blocks[: i + 1])
                missing = keys.split(':')[i + 1]
                raise OptionError(
                    f"--force_yml: '{entry}': {path} is {block!r}; expected a mapping with the key "
                    f"'{missing}'"
                )
        known = list(block)
        known += [name for name in plugin_keys('.'.join(blocks)) if name not in block]
        value = _parse_value(text, entry, read_value)
        _check_known(last, known, entry)
        block[last] = value
    return opt


def _check_known(key: str, known: Collection[str], entry: str) -> None:
    if key not in known:
        raise OptionError(
            f"--force_yml: '{entry}': no key '{key}' in the option file; {did_you_mean(key, known)}"
        )
