"""Kinds of files that ``-opt`` names: of a training, of a test, or the plan of a comparison."""

import os
from collections.abc import Mapping
from typing import Any

from ..errors import OptionError

# Keys that a plan has and an option file has not.
_PLAN_KEYS = ('scales', 'seeds', 'lq_size', 'students', 'methods', 'prepare', 'when', 'baseline')
_OPTION_KEYS = ('model_type', 'network_g', 'datasets')

_WHAT = {
    'plan': 'is the plan of a comparison',
    'test': 'is the option file of a test',
    'training': 'is the option file of a training',
}
_COMMANDS = {'plan': ('compare',), 'test': ('test',), 'training': ('train', 'check', 'cache')}


def _kind_of(content: Mapping[str, Any]) -> str | None:
    """Return ``'plan'``, ``'test'`` or ``'training'``; None for a file that could be any."""
    if not any(key in content for key in _OPTION_KEYS):
        is_plan = 'base' in content or any(key in content for key in _PLAN_KEYS)
        return 'plan' if is_plan else None
    datasets = content.get('datasets')
    phases = list(datasets) if isinstance(datasets, dict) else []
    if 'train' in phases:
        return 'training'
    if any(str(phase).startswith('test') for phase in phases):
        return 'test'  # BasicSR ignores the `train` of a training that it was made from
    return 'training' if 'train' in content else None


def refuse_other_kind(
    content: Mapping[str, Any], path: str | os.PathLike[str], command: str
) -> None:
    """Raise if a file is for another command.

    Args:
        content: The keys of the file.
        path: The file, for the message.
        command: Name of the command that got it.

    Raises:
        OptionError: Names the command that takes the file.
    """
    kind = _kind_of(content)
    if kind is not None and command not in _COMMANDS[kind]:
        takes_it = _COMMANDS[kind][0]
        raise OptionError(f"-opt: '{path}' {_WHAT[kind]}; use it with: mtkd {takes_it} -opt {path}")
