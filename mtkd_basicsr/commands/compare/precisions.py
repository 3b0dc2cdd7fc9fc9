"""Precisions of runs, and rows of a report that mix several."""

from pathlib import Path
from typing import Any, Protocol

from ...data.cache.reader import CacheReader
from ...distillers.training_config import used_teachers
from ...evaluation.measure import weights_path
from ...weights.loading import read_weights
from ...weights.metadata import METADATA

# Mark after the name of a row that mixes precisions.
MARK = ' †'


class _Row(Protocol):
    # The part of a Cell that is needed here; its module imports this one.
    seeds: list[int]
    precisions: list[dict[str, str]]


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


def in_words(precision: dict[str, str]) -> str:
    """Return a text such as ``'student bf16, teachers fp32'``."""
    return ', '.join(f'{name} {value}' for name, value in precision.items())


def _differ(one: dict[str, str], other: dict[str, str]) -> bool:
    # Old results record fewer names.
    return any(one[name] != other[name] for name in set(one) & set(other))


def mixed(cell: _Row, baseline: _Row | None) -> str:
    """Describe the precisions of a row that mixes several, or differs from the baseline.

    Args:
        cell: Cell of a method.
        baseline: Cell of the baseline; None if it is not finished.

    Returns:
        A description; empty if all values were computed in the same precision.
    """
    by_precision: dict[str, list[int]] = {}
    # strict=False: a cell may lack precisions.
    for seed, precision in zip(cell.seeds, cell.precisions, strict=False):
        by_precision.setdefault(in_words(precision), []).append(seed)
    if any(_differ(one, other) for one in cell.precisions for other in cell.precisions):
        parts = []
        for text, seeds in by_precision.items():
            parts.append(f'{text} (seed {", ".join(map(str, seeds))})')
        return '; '.join(parts)
    others = [] if baseline is None else baseline.precisions
    if not any(_differ(one, other) for one in cell.precisions for other in others):
        return ''
    base = '; '.join(dict.fromkeys(in_words(precision) for precision in others))
    return f'{"; ".join(by_precision)}, the baseline {base}'
