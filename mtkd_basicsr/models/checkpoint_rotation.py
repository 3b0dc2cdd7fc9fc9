"""Removal of old and of unfinished checkpoints."""

import os
import re
from typing import Any

from ..utils.atomic import is_temporary_of


def _iterations(folder: str, pattern: str) -> dict[int, str]:
    """Return the names of the files of a folder that fit a pattern, by iteration."""
    found = (
        re.fullmatch(pattern, name)
        for name in (os.listdir(folder) if os.path.isdir(folder) else ())
    )
    return {int(match[1]): match[0] for match in found if match}


def thin(path: dict[str, Any], keep: int) -> None:
    """Remove all but the newest checkpoints of a training, each with its training state.

    Args:
        path: BasicSR's ``path`` block, with ``models`` and ``training_states``.
        keep: How many stay. ``net_g_latest.pth`` and ``net_g_best.pth`` do in any case.
    """
    states, networks = (
        _iterations(path[folder], pattern)
        for folder, pattern in (
            ('training_states', r'(\d+)\.state'),
            ('models', r'net_g_(\d+)\.pth'),
        )
    )
    for iteration in sorted(set(states) | set(networks))[:-keep]:
        # The state first: one without its network could not be gone on from.
        for folder, names in (('training_states', states), ('models', networks)):
            if iteration in names:
                os.remove(os.path.join(path[folder], names[iteration]))


def remove_unfinished(path: dict[str, Any]) -> None:
    """Remove the temporary files of processes that were killed while they wrote a checkpoint.

    Args:
        path: As for :func:`thin`.
    """
    for folder in (path['models'], path['training_states']):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if is_temporary_of(name, r'net_\w+\.pth|\d+\.state'):
                os.remove(os.path.join(folder, name))
