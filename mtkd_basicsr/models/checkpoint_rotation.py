"""Checkpoint rotation: removal of old and of partially written checkpoints."""

import os
import re

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


def remove_old_checkpoints(models: str, training_states: str, keep: int, current: int) -> None:
    """Remove all but the newest checkpoints of a training, each with its training state.

    Those beyond the present iteration stay until the training gets there: they are of a training
    that went on from the same state before.

    Args:
        models: Folder of the networks.
        training_states: Folder of the training states.
        keep: Number of checkpoints that stay. ``net_g_latest.pth`` and ``net_g_best.pth`` stay in
            any case.
        current: The present iteration.
    """
    states = _iterations(training_states, r'(\d+)\.state')
    networks = _iterations(models, r'net_g_(\d+)\.pth')
    reached = sorted(i for i in set(states) | set(networks) if i <= current)
    for iteration in reached[:-keep]:
        # The state first: without its network, a training cannot be resumed from it.
        for folder, names in ((training_states, states), (models, networks)):
            if iteration in names:
                os.remove(os.path.join(folder, names[iteration]))


def remove_temporary_files(*folders: str) -> None:
    """Remove temporary files of processes that were killed while writing a checkpoint.

    Args:
        *folders: The folders of the networks and of the training states.
    """
    for folder in folders:
        for name in _list_folder(folder):
            if is_temporary_of(name, r'net_\w+\.pth|\d+\.state'):
                os.remove(os.path.join(folder, name))
