"""Finding and loading the state that a training goes on from."""

import os
import sys
from typing import Any

import torch
from basicsr.utils import check_resume

from ..errors import WeightsError, why_unreadable


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """Load the state that a training goes on from, on the CPU, and check it.

    This stands in for BasicSR's function of the same name.

    With ``auto_resume`` it is the newest training state that can be read together with its
    networks; those that cannot are named and left where they are.

    Args:
        opt: Options as parsed by BasicSR. ``path.pretrain_network_*`` are set to the
            networks saved with the state.

    Returns:
        The state, tensors on the CPU (the optimizer moves them to its parameters);
        None for a new start.

    Raises:
        WeightsError: The named state, or all there are, cannot be read.
    """
    if opt['auto_resume']:
        path, state = _newest(opt)
        if path is not None:
            opt['path']['resume_state'] = path
    else:
        path = opt['path'].get('resume_state')
        state = None if path is None else _read(path, opt, 'path.resume_state')
    if state is not None:
        check_resume(opt, state['iter'])
    return state


def _load(path: str, key: str) -> Any:
    if not os.path.isfile(path):
        raise WeightsError(f"{key}: no file '{path}'")
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{key}: '{path}' cannot be read: {why_unreadable(error, path)}"
        ) from error


def _read(path: str, opt: dict[str, Any], key: str, networks: bool = False) -> dict[str, Any]:
    state = _load(path, key)
    missing = [
        name
        for name in ('epoch', 'iter', 'optimizers', 'schedulers')
        if not isinstance(state, dict) or name not in state
    ]
    if missing:
        raise WeightsError(
            f"{key}: '{path}' is not a training state of BasicSR: it has no {', '.join(missing)}"
        )
    ignored = opt['path'].get('ignore_resume_networks') or ()
    for name in opt if networks else ():
        if name.startswith('network_') and name not in ignored:
            file = f'net_{name.removeprefix("network_")}_{state["iter"]}.pth'
            _load(os.path.join(opt['path']['models'], file), key)
    return state


def _newest(opt: dict[str, Any]) -> tuple[str, dict[str, Any]] | tuple[None, None]:
    folder = opt['path']['training_states']
    skipped = []
    names = os.listdir(folder) if os.path.isdir(folder) else []
    stems = (name.removesuffix('.state') for name in names if name.endswith('.state'))
    iterations = sorted((int(stem) for stem in stems if stem.isdigit()), reverse=True)
    for iteration in iterations:
        path = os.path.join(folder, f'{iteration}.state')
        try:
            state = _read(path, opt, '--auto_resume', networks=True)
        except WeightsError as error:
            skipped.append(str(error))
            continue
        for text in skipped if opt['rank'] == 0 else ():
            # There is no log yet: the first who asks for BasicSR's logger decides where it goes.
            print(f'{text}; skipped', file=sys.stderr, flush=True)
        return path, state
    if skipped:
        raise WeightsError(
            f"--auto_resume: none of the {len(skipped)} training states in '{folder}' can be gone "
            f'on from: {skipped[0]}; '
            'train anew without --auto_resume (the folder is moved aside)'
        )
    return None, None
