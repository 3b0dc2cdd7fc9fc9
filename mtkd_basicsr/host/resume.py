"""Find and load the training state that a training resumes from."""

import os
import sys
from typing import Any

import torch
from basicsr.utils import check_resume, make_exp_dirs

from ..errors import OptionError, WeightsError, why_unreadable

# What a training state of BasicSR holds at least.
_ENTRIES = ('epoch', 'iter', 'optimizers', 'schedulers')


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """Load the state that a training resumes from, on the CPU, and check it.

    This replaces BasicSR's function of the same name.

    With ``auto_resume`` it is the newest training state that can be read together with its
    networks; those that cannot are reported and left in place. Where there is none, it is that of
    ``path.resume_state``, as without ``auto_resume``.

    A state of another experiment is resumed with the networks beside it, in new folders; BasicSR
    looks for the networks, and writes, in folders of the present name that do not exist.

    Args:
        opt: Options as parsed by BasicSR. ``path.pretrain_network_*`` are set to the
            networks saved with the state.

    Returns:
        The state, tensors on the CPU (the optimizer moves them to its parameters);
        None if the training starts from the beginning.

    Raises:
        OptionError: If the state is beyond the last iteration of the option file.
        WeightsError: If the given state, or with ``auto_resume`` every state, cannot be read.
    """
    state: dict[str, Any] | None = None
    path, state = _newest(opt) if opt['auto_resume'] else (None, None)
    if path is None:
        path = opt['path'].get('resume_state')
        state = None if path is None else _read(path, opt, 'path.resume_state')
    if path is None or state is None:
        return None
    _refuse_beyond(state['iter'], path, opt)
    opt['path']['resume_state'] = path
    check_resume(opt, state['iter'])
    for key in _saved_networks(opt, state['iter']):
        # Whatever entry the option file names of the weights that a new training begins with.
        opt['path'][key.replace('pretrain_network', 'param_key')] = 'params'
    _use_networks_beside(opt, path, state['iter'])
    return state


def _refuse_beyond(iteration: int, path: str, opt: dict[str, Any]) -> None:
    """Raise if a training state is beyond the last iteration of the option file."""
    total = opt['train']['total_iter']
    if iteration > total:
        raise OptionError(
            f"train.total_iter: {total}, but '{path}', which the training would go on from, is of "
            f'iteration {iteration}: there is nothing to train; expected a larger number, or '
            'another state as path.resume_state (without --auto_resume)'
        )


def given_state(opt: dict[str, Any], auto_resume: bool) -> str | None:
    """Return ``path.resume_state``, unless the training resumes from its newest state instead."""
    path: str | None = opt['path'].get('resume_state')
    if auto_resume and _iterations(opt['path']['training_states']):
        return None
    return path


def networks_of_state(path: str, opt: dict[str, Any]) -> dict[str, str]:
    """Return the network files that a training state belongs to, by key of ``path``.

    Args:
        path: The training state.
        opt: Options as parsed by BasicSR; not modified.

    Raises:
        OptionError: The state is beyond the last iteration of the option file.
        WeightsError: The state cannot be read, or a network is missing.
    """
    iteration = _read(path, opt, 'path.resume_state')['iter']
    _refuse_beyond(iteration, path, opt)
    found = {}
    beside = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(path))), 'models')
    for key, name in _saved_networks(opt, iteration).items():
        candidates = [os.path.join(folder, name) for folder in (beside, opt['path']['models'])]
        files = [file for file in candidates if os.path.isfile(file)]
        if not files:
            raise WeightsError(f"path.resume_state: '{path}' needs '{candidates[0]}': no such file")
        found[key] = files[0]
    return found


def without_replaced_weights(opt: dict[str, Any], auto_resume: bool) -> dict[str, Any]:
    """Return options without the weights that a resumed training does not begin with.

    Args:
        opt: Options as parsed by BasicSR; not modified.
        auto_resume: Whether the training resumes from its newest state, if there is one.
    """
    if begins_anew(opt, auto_resume):
        return opt
    return {**opt, 'path': {**opt['path'], **dict.fromkeys(_saved_networks(opt, 0))}}


def begins_anew(opt: dict[str, Any], auto_resume: bool) -> bool:
    """Return whether a training begins at its first iteration.

    Args:
        opt: Options as parsed by BasicSR.
        auto_resume: Whether the training resumes from its newest state, if there is one.
    """
    path = opt['path']
    resumes = auto_resume and _iterations(path['training_states'])
    return not path.get('resume_state') and not resumes


def moves_folder_aside(opt: dict[str, Any], auto_resume: bool) -> bool:
    """Return whether a training renames a folder of its name that is there when it begins.

    Args:
        opt: Options as parsed by BasicSR.
        auto_resume: Whether the training resumes from its newest state, if there is one.

    Raises:
        WeightsError: The state that is given cannot be read.
    """
    path = given_state(opt, auto_resume)
    if path is None:
        return begins_anew(opt, auto_resume)
    if not _is_elsewhere(path, opt):
        return False
    iteration = _read(path, opt, 'path.resume_state')['iter']
    return _networks_beside(opt, path, iteration) is not None


def _saved_networks(opt: dict[str, Any], iteration: int) -> dict[str, str]:
    """Return the names of the network files of a training state, by key of ``path``."""
    ignored = opt['path'].get('ignore_resume_networks') or ()
    files = {}
    for name in opt:
        if name.startswith('network_') and name not in ignored:
            files[f'pretrain_{name}'] = f'net_{name.removeprefix("network_")}_{iteration}.pth'
    return files


def _is_elsewhere(path: str, opt: dict[str, Any]) -> bool:
    """Return whether a training state lies outside the folder of the experiment."""
    root = os.path.realpath(opt['path']['experiments_root'])
    return not os.path.realpath(os.path.dirname(path)).startswith(root + os.sep)


def _networks_beside(opt: dict[str, Any], path: str, iteration: int) -> dict[str, str] | None:
    """Return the networks that lie beside a state of another experiment, by key of ``path``; None
    for a state of this one, and where they lie in the folder of this one.
    """
    states = os.path.dirname(os.path.abspath(path))
    if os.path.realpath(states) == os.path.realpath(opt['path']['training_states']):
        return None
    models = os.path.join(os.path.dirname(states), 'models')
    networks = _saved_networks(opt, iteration)
    beside = {key: os.path.join(models, name) for key, name in networks.items()}
    beside = {key: file for key, file in beside.items() if os.path.isfile(file)}
    # All may be in path.ignore_resume_networks.
    return beside if beside or not networks else None


def _use_networks_beside(opt: dict[str, Any], path: str, iteration: int) -> None:
    """Take the networks of a state of another experiment from there, and make new folders."""
    beside = _networks_beside(opt, path, iteration)
    if beside is None:
        return
    opt['path'].update(beside)
    if _is_elsewhere(path, opt):
        # BasicSR moves a folder of this name, which is of another training, aside.
        make_exp_dirs(opt)


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
    for file in _saved_networks(opt, iteration).values():
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
