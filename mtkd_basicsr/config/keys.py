"""Unknown keys: typing errors that BasicSR would silently ignore."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import OptionError, did_you_mean
from .collecting import ErrorCollector, RaiseFirst
from .foreign_keys import FOREIGN_KEYS
from .schema import PLUGIN_KEYS


def plugin_keys(section: str) -> list[str]:
    """Return the keys that this package adds to a section, ``'train'`` or ``'datasets.train'``."""
    keys: list[str] = []
    for cls in PLUGIN_KEYS.get(section, ()):
        keys += [field.name for field in dataclasses.fields(cls)]
    return keys


def _section(opt: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the section at a dotted path, ``''`` for all options; empty if there is none."""
    section: Any = opt
    for name in path.split('.') if path else ():
        section = section.get(name) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else {}


def _near_miss(key: str, section: str) -> str | None:
    """Return the key of this package that an unknown key resembles; None without one.

    A key that other projects have is theirs.
    """
    if key in FOREIGN_KEYS.get(section, ()):
        return None
    known = plugin_keys(section)
    nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0.8)
    return nearest[0] if nearest and key not in known else None


def check_near_misses(opt: Mapping[str, Any], errors: ErrorCollector | None = None) -> None:
    """Raise if a key in one of BasicSR's sections looks like a misspelled key of this package.

    Other keys are accepted: a user's own dataset or model may read them.

    Args:
        opt: All options.
        errors: Receives the errors; by default the first one is raised.

    Raises:
        OptionError: A key is misspelled. The message names the key that was probably meant.
    """
    errors = RaiseFirst() if errors is None else errors
    for section in PLUGIN_KEYS:
        for key in _section(opt, section):
            meant = _near_miss(key, section)
            if meant is not None:
                path = f'{section}.{key}' if section else key
                with errors.collect_errors():
                    raise OptionError(f"{path}: unknown key '{key}' (did you mean '{meant}'?)")


def check_train_keys(
    opt: Mapping[str, Any], basicsr_keys: Iterable[str], errors: ErrorCollector | None = None
) -> None:
    """Raise if ``train`` has a key that neither this package nor BasicSR reads.

    Keys that :func:`check_near_misses` reports are skipped.

    Args:
        opt: All options.
        basicsr_keys: The keys of ``train`` that BasicSR's loop and models read.
        errors: Receives the errors; by default the first one is raised.

    Raises:
        OptionError: A key is unknown. The message says what does the same here, if the key is one
            of other projects; otherwise it lists the known keys and the nearest one.
    """
    errors = RaiseFirst() if errors is None else errors
    known = sorted({*plugin_keys('train'), *basicsr_keys})
    foreign = FOREIGN_KEYS['train']
    for key in _section(opt, 'train'):
        if key not in known and _near_miss(key, 'train') is None:
            advice = foreign[key] if key in foreign else did_you_mean(key, known)
            with errors.collect_errors():
                raise OptionError(f"train.{key}: unknown key '{key}'; {advice}")
