"""Removal of old and of unfinished checkpoints."""

import os
import re

from ..utils.atomic import is_temporary_of


def _iterations(folder: str, pattern: str) -> dict[int, str]:
    """Return the names of the files of a folder that fit a pattern, by iteration."""
    found = (
        re.fullmatch(pattern, name)
        for name in (os.listdir(folder) if os.path.isdir(folder) else ())
    )
    return {int(match[1]): match[0] for match in found if match}


def remove_old_checkpoints(models: str, training_states: str, keep: int) -> None:
    """Remove all but the newest checkpoints of a training, each with its training state.

    Args:
        models: Folder of the networks.
        training_states: Folder of the training states.
        keep: Number of checkpoints that stay. ``net_g_latest.pth`` and ``net_g_best.pth`` stay in
            any case.
    """
    states = _iterations(training_states, r'(\d+)\.state')
    networks = _iterations(models, r'net_g_(\d+)\.pth')
    for iteration in sorted(set(states) | set(networks))[:-keep]:
        # The state first: without its network, a training cannot be resumed from it.
        for folder, names in ((training_states, states), (models, networks)):
            if iteration in names:
                os.remove(os.path.join(folder, names[iteration]))


def remove_unfinished(*folders: str) -> None:
    """Remove the temporary files of processes that were killed while they wrote a checkpoint.

    Args:
        *folders: Those of the networks and of the training states.
    """
    for folder in folders:
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if is_temporary_of(name, r'net_\w+\.pth|\d+\.state'):
                os.remove(os.path.join(folder, name))
