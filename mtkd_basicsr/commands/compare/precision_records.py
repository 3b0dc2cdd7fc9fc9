"""The precisions that runs were computed in, as their files record them."""

from pathlib import Path
from typing import Any

from ...data.cache.reader import CacheReader
from ...distillers.training_config import used_teachers
from ...host.training_loop import weights_path
from ...weights.metadata import METADATA
from ...weights.reading import read_weights


def of_training(experiment: Path) -> dict[str, str] | None:
    """Return the precisions that the last checkpoint of a training records.

    Returns:
        ``'bf16'`` or ``'fp32'`` by name: ``student``, ``teachers``, ``features``; None if the
        checkpoint records none.
    """
    path = str(weights_path(experiment))
    return read_weights(path, path).get(METADATA, {}).get('precision')


def of_cache(path: str) -> dict[str, str]:
    """Return the precision of a cache as that of ``teachers``; empty if it was not recorded."""
    precision = CacheReader(path).key.settings.precision
    return {} if precision is None else {'teachers': precision}


def _requested(value: str | None, default: str) -> str:
    """Return the precision that an option requested before ``auto`` replaced ``bf16``."""
    if value is None:
        return default
    return 'bf16' if value == 'auto' else value


def recorded(result: dict[str, Any]) -> dict[str, str]:
    """Return the precisions of a result, derived from its options if it does not record them.

    Args:
        result: Content of a file in ``results/``.

    Returns:
        Precisions by name: ``student`` is the trained network, ``teachers`` the networks that
        computed its targets or inputs. Empty for references and caches without a record.
    """
    if result.get('precision') is not None:
        return result['precision']
    options = result['options']
    train = options.get('train') or {}
    if result['kind'] not in ('student', 'prepare'):
        return {}
    found = {'student': _requested(train.get('amp'), 'fp32')}
    if used_teachers(options['model_type'], train.get('kd')):
        # Caches were made in bf16 on a GPU, in fp32 on a CPU.
        default = 'fp32' if result['machine'].startswith('CPU') else 'bf16'
        cached = options['datasets']['train'].get('target_cache') is not None
        if cached:
            found['teachers'] = default
        else:
            found['teachers'] = _requested(train.get('teacher_precision'), default)
    return found
