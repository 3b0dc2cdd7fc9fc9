"""Keys that nobody reads: a typing error, which BasicSR would ignore in silence."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import OptionError, did_you_mean
from .collecting import ErrorCollector, RaiseFirst
from .schema import PLUGIN_KEYS


def plugin_keys(section: str) -> list[str]:
    """Return the keys that this package adds to a section, ``'train'`` or ``'datasets.train'``."""
    return [field.name for cls in PLUGIN_KEYS.get(section, ()) for field in dataclasses.fields(cls)]


def _section(opt: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    found: Any = opt
    for name in filter(None, path.split('.')):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def check_near_misses(opt: Mapping[str, Any], errors: ErrorCollector | None = None) -> None:
    """Raise if a key of BasicSR's sections is one of ours, misspelled.

    Other keys are left alone: somebody's own dataset or model may read them.

    Args:
        opt: All options.
        errors: Takes the errors; by default the first one is raised.

    Raises:
        OptionError: Names the key and the one that was probably meant.
    """
    errors = RaiseFirst() if errors is None else errors
    for section in PLUGIN_KEYS:
        ours = plugin_keys(section)
        for key in _section(opt, section):
            near = difflib.get_close_matches(str(key), ours, n=1, cutoff=0.8)
            if near and key not in ours:
                path = f'{section}.{key}' if section else key
                with errors.collect_errors():
                    raise OptionError(f"{path}: unknown key '{key}' (did you mean '{near[0]}'?)")


def check_train_keys(
    opt: Mapping[str, Any], basicsr_keys: Iterable[str], errors: ErrorCollector | None = None
) -> None:
    """Raise if ``train`` has a key that neither this package nor BasicSR reads.

    Args:
        opt: All options.
        basicsr_keys: The keys of ``train`` that BasicSR's loop and models read.
        errors: Takes the errors; by default the first one is raised.

    Raises:
        OptionError: Names the key, what is known, and the nearest of it.
    """
    errors = RaiseFirst() if errors is None else errors
    known = sorted({*plugin_keys('train'), *basicsr_keys})
    for key in _section(opt, 'train'):
        if key not in known:
            with errors.collect_errors():
                raise OptionError(f"train.{key}: unknown key '{key}'; {did_you_mean(key, known)}")
