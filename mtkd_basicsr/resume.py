"""Finding and loading the state that a training goes on from."""

import os

import torch

from .errors import WeightsError


def load_resume_state(opt):
    """What BasicSR's function of this name does, without a CUDA device: the newest or the named training state.

    Args:
        opt (dict): Options as parsed by BasicSR. ``path.pretrain_network_*`` are set to the networks saved with the
            state.

    Returns:
        dict | None: The state, tensors on the CPU (the optimizer moves them to its parameters); None for a new start.

    Raises:
        WeightsError: the state is missing or cannot be read.
    """
    from basicsr.utils import check_resume
    path = opt['path'].get('resume_state')
    if opt['auto_resume']:
        path = _newest(opt['path']['training_states'])
        if path is not None:
            opt['path']['resume_state'] = path
    if path is None:
        return None
    if not os.path.isfile(path):
        raise WeightsError(f"path.resume_state: no file '{path}'")
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
        iteration = state['iter']
    except Exception as error:
        raise WeightsError(f"path.resume_state: '{path}' is not a training state of BasicSR: {error}") from error
    check_resume(opt, iteration)
    return state


def _newest(folder):
    if not os.path.isdir(folder):
        return None
    iterations = [int(name[:-len('.state')]) for name in os.listdir(folder)
                  if name.endswith('.state') and name[:-len('.state')].isdigit()]
    return os.path.join(folder, f'{max(iterations)}.state') if iterations else None
