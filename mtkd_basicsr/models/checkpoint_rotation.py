"""Which checkpoints stay."""

import os
import re


def _iterations(folder, pattern):
    """Iteration -> file name of what a folder has."""
    found = (
        re.fullmatch(pattern, name)
        for name in (os.listdir(folder) if os.path.isdir(folder) else ())
    )
    return {int(match[1]): match[0] for match in found if match}


def thin(path, keep):
    """Removes all but the newest checkpoints of a training, each with its training state.

    Args:
        path (dict): BasicSR's ``path`` block, with ``models`` and ``training_states``.
        keep (int): How many stay. ``net_g_latest.pth`` and ``net_g_best.pth`` do in any case.
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


def remove_unfinished(path):
    """Removes the temporary files of processes that were killed while they wrote a checkpoint.

    Args:
        path (dict): As for :func:`thin`.
    """
    for folder in (path['models'], path['training_states']):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if re.fullmatch(r'(net_\w+\.pth|\d+\.state)\.\d+\.tmp', name):
                os.remove(os.path.join(folder, name))
