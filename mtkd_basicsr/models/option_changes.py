"""What differs between the options of a training state and those that it is resumed with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config import TrainingConfig

# The options that a training state records: those that decide what is learned.
_RECORDED = ('model_type', 'scale', 'num_gpu', 'world_size', 'network_g', 'teachers', 'fusion')
# What BasicSR adds to the entries of datasets.
_ADDED = ('phase', 'scale')


@dataclass(frozen=True)
class Change:
    """An option that differs from that of a training state.

    Attributes:
        key: Its option key.
        saved: Its value in the state; None without one.
        used: Its value in the option file, which is used.
    """

    key: str
    saved: Any
    used: Any

    def __str__(self) -> str:
        saved = '~' if self.saved is None else self.saved
        used = '~' if self.used is None else self.used
        where = 'now' if self.key == 'world_size' else 'in the option file'
        return f'{self.key}: {saved} in the training state, {used} {where}; the latter is used'


def recorded_options(config: 'TrainingConfig') -> dict[str, Any]:
    """Return the options of a training to store in its states, in the types that JSON knows."""
    options = config.options
    recorded = {key: options.get(key) for key in _RECORDED}
    recorded['train'] = options['train']
    recorded['val'] = {'metrics': (options.get('val') or {}).get('metrics')}
    datasets = {}
    for phase, dataset in config.datasets.items():
        datasets[phase] = {k: v for k, v in dataset.options.items() if k not in _ADDED}
    recorded['datasets'] = datasets
    return json.loads(json.dumps(recorded, default=str))  # type: ignore[no-any-return]


def _flat(nested: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Return all values of nested mappings by dotted key."""
    values: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            values.update(_flat(value, f'{prefix}{key}.'))
        else:
            values[f'{prefix}{key}'] = value
    return values


def differences(
    saved: Mapping[str, Any], used: Mapping[str, Any], prefix: str = ''
) -> list[Change]:
    """Compare options.

    Args:
        saved: Options of a training state, nested.
        used: Those of the option file.
        prefix: What comes before their keys: ``'train.optim_g.'``.

    Returns:
        The keys whose values differ; a key without a value equals one that is missing.
    """
    before = _flat(saved, prefix)
    now = _flat(used, prefix)
    changes = []
    for key in dict.fromkeys((*now, *before)):
        if before.get(key) != now.get(key):
            changes.append(Change(key, before.get(key), now.get(key)))
    return changes
