"""The best results of the validations of a training that is resumed."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config import TrainingConfig

# By dataset and metric: value, iteration, and whether higher is better.
Best = dict[str, dict[str, dict[str, Any]]]


def comparable(best: Best, config: 'TrainingConfig', changed: Iterable[str]) -> Best:
    """Return the best results that the next validations can be compared with.

    BasicSR would compare with those of other images and of other metrics, and fail at a metric
    that was added.

    Args:
        best: The best results that were saved.
        config: Options of the training.
        changed: Keys of options that differ from those of the training state.

    Returns:
        The results of datasets and metrics that are the same; the others begin anew.
    """
    metrics = (config.options.get('val') or {}).get('metrics') or {}
    keys = tuple(changed)
    kept: Best = {}
    for phase, dataset in config.datasets.items():
        results = best.get(dataset.options['name'])
        if results is None or any(key.startswith(f'datasets.{phase}.') for key in keys):
            continue
        records = {}
        for name, metric in metrics.items():
            better = metric.get('better', 'higher')
            record = results.get(name)
            if record is None or any(key.startswith(f'val.metrics.{name}.') for key in keys):
                worst = float('-inf') if better == 'higher' else float('inf')
                record = {'better': better, 'val': worst, 'iter': -1}
            records[name] = record
        kept[dataset.options['name']] = records
    return kept
