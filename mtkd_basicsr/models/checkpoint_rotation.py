"""Checkpoint rotation: removal of old and of partially written checkpoints."""

import os
import re
from typing import Any

from ..utils.atomic import is_temporary_of


def _list_folder(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _iterations(folder: str, pattern: str) -> dict[int, str]:
    """Return the names of the files in a folder that match a pattern, by iteration."""
    found: dict[int, str] = {}
    for name in _list_folder(folder):
        match = re.fullmatch(pattern, name)
        if match:
            found[int(match[1])] = name
    return found


def remove_old_checkpoints(path: dict[str, Any], keep: int) -> None:
    """Remove all but the newest checkpoints of a training, with their training states.

    Args:
        path: BasicSR's ``path`` block, with ``models`` and ``training_states``.
        keep: Number of checkpoints to keep, besides ``net_g_latest.pth`` and ``net_g_best.pth``.
    """
    states = _iterations(path['training_states'], r'(\d+)\.state')
    networks = _iterations(path['models'], r'net_g_(\d+)\.pth')
    for iteration in sorted({*states, *networks})[:-keep]:
        # The state first: a state without its network could not be resumed.
        if iteration in states:
            os.remove(os.path.join(path['training_states'], states[iteration]))
        if iteration in networks:
            os.remove(os.path.join(path['models'], networks[iteration]))


def remove_temporary_files(path: dict[str, Any]) -> None:
    """Remove temporary files of processes that were killed while writing a checkpoint.

    Args:
        path: BasicSR's ``path`` block, with ``models`` and ``training_states``.
    """
    for folder in (path['models'], path['training_states']):
        for name in _list_folder(folder):
            if is_temporary_of(name, r'net_\w+\.pth|\d+\.state'):
                os.remove(os.path.join(folder, name))
