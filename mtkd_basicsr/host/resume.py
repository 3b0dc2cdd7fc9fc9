"""Find and load the training state that a training resumes from."""

import os
import sys
from typing import Any

import torch
from basicsr.utils import check_resume

from ..errors import WeightsError, why_unreadable

# What a training state of BasicSR holds at least.
_ENTRIES = ('epoch', 'iter', 'optimizers', 'schedulers')


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """Load the state that a training resumes from, on the CPU, and check it.

    This replaces BasicSR's function of the same name.

    With ``auto_resume`` it is the newest training state that can be read together with its
    networks; those that cannot are reported and left in place.

    Args:
        opt: Options as parsed by BasicSR. ``path.pretrain_network_*`` are set to the
            networks saved with the state.

    Returns:
        The state, tensors on the CPU (the optimizer moves them to its parameters);
        None if the training starts from the beginning.

    Raises:
        WeightsError: If the given state, or with ``auto_resume`` every state, cannot be read.
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
    entries = state if isinstance(state, dict) else {}
    missing = [name for name in _ENTRIES if name not in entries]
    if missing:
        raise WeightsError(
            f"{key}: '{path}' is not a training state of BasicSR: it has no {', '.join(missing)}"
        )
    if networks:
        _check_networks(opt, entries['iter'], key)
    return entries


def _check_networks(opt: dict[str, Any], iteration: int, key: str) -> None:
    """Raise if a network that was saved with a training state cannot be read."""
    ignored = opt['path'].get('ignore_resume_networks') or ()
    for name in opt:
        if name.startswith('network_') and name not in ignored:
            file = f'net_{name.removeprefix("network_")}_{iteration}.pth'
            _load(os.path.join(opt['path']['models'], file), key)


def _iterations(folder: str) -> list[int]:
    """List the iterations of the training states in a folder, the newest first."""
    if not os.path.isdir(folder):
        return []
    iterations = []
    for name in os.listdir(folder):
        stem, ending = os.path.splitext(name)
        if ending == '.state' and stem.isdigit():
            iterations.append(int(stem))
    return sorted(iterations, reverse=True)


def _newest(opt: dict[str, Any]) -> tuple[str, dict[str, Any]] | tuple[None, None]:
    folder = opt['path']['training_states']
    skipped: list[str] = []
    for iteration in _iterations(folder):
        path = os.path.join(folder, f'{iteration}.state')
        try:
            state = _read(path, opt, '--auto_resume', networks=True)
        except WeightsError as error:
            skipped.append(str(error))
            continue
        if opt['rank'] == 0:
            # Not to the log: its first use would decide where BasicSR's log goes.
            for text in skipped:
                print(f'{text}; skipped', file=sys.stderr, flush=True)
        return path, state
    if skipped:
        raise WeightsError(
            f"--auto_resume: none of the {len(skipped)} training states in '{folder}' can be "
            f'resumed: {skipped[0]}; start again without --auto_resume (the folder is then moved '
            'aside)'
        )
    return None, None
