"""Which precision runs were made in, and where those of one row differ."""

from pathlib import Path
from typing import Any, Protocol

from ...data.cache.reader import CacheReader
from ...distillers.training_config import used_teachers
from ...evaluation.measure import weights_path
from ...weights.loading import read_weights
from ...weights.metadata import METADATA

# Behind the name of a row whose values were not all made in one precision.
MARK = ' †'


class _Row(Protocol):
    # A ``Cell``, whose module imports this one.
    seeds: list[int]
    precisions: list[dict[str, str]]


def of_training(experiment: Path) -> dict[str, str] | None:
    """Return the precisions of a training by name, out of its last checkpoint.

    They are ``'bf16'`` or ``'fp32'``; None where the checkpoint has none. The names are
    ``student``, ``teachers``, ``features``.
    """
    path = str(weights_path(experiment))
    return read_weights(path, path).get(METADATA, {}).get('precision')


def of_cache(path: str) -> dict[str, str]:
    """Return the precision of a cache as that of ``teachers``; empty if it was not recorded."""
    precision = CacheReader(path).key.settings.precision
    return {} if precision is None else {'teachers': precision}


def _asked(value: str | None, default: str) -> str:
    """Return what a plan of that time meant: ``auto`` came later, in the place of ``bf16``."""
    if value is None:
        return default
    return 'bf16' if value == 'auto' else value


def recorded(result: dict[str, Any]) -> dict[str, str]:
    """Return the precision of a result: its record, or what was meant where there was none yet.

    Args:
        result: Content of a file in ``results/``.

    Returns:
        By name: ``student`` is the network that was trained, ``teachers`` what its targets or
        inputs came from. Empty for references and caches without a record.
    """
    if result.get('precision') is not None:
        return result['precision']
    options = result['options']
    train = result['options'].get('train') or {}
    if result['kind'] not in ('student', 'prepare'):
        return {}
    found = {'student': _asked(train.get('amp'), 'fp32')}
    if used_teachers(options['model_type'], train.get('kd')):
        # Caches were made in bf16 on a GPU, in fp32 on a CPU.
        default = 'fp32' if result['machine'].startswith('CPU') else 'bf16'
        cached = options['datasets']['train'].get('target_cache') is not None
        found['teachers'] = default if cached else _asked(train.get('teacher_precision'), default)
    return found


def in_words(precision: dict[str, str]) -> str:
    """Return a text such as ``'student bf16, teachers fp32'``."""
    return ', '.join(f'{name} {value}' for name, value in precision.items())


def _differ(one: dict[str, str], other: dict[str, str]) -> bool:
    # An old result has not all that a new one has.
    return any(one[name] != other[name] for name in set(one) & set(other))


def mixed(cell: _Row, baseline: _Row | None) -> str:
    """Describe a row that was not made in one precision, or not in that of the baseline.

    Args:
        cell: The cell of a method.
        baseline: The one that its gains are over, where that is finished.

    Returns:
        In words; empty where all of it was made in one.
    """
    by_precision: dict[str, list[int]] = {}
    # A cell need not have precisions.
    for seed, precision in zip(cell.seeds, cell.precisions, strict=False):
        by_precision.setdefault(in_words(precision), []).append(seed)
    if any(_differ(one, other) for one in cell.precisions for other in cell.precisions):
        return '; '.join(
            f'{text} (seed {", ".join(map(str, seeds))})' for text, seeds in by_precision.items()
        )
    others = [] if baseline is None else baseline.precisions
    if not any(_differ(one, other) for one in cell.precisions for other in others):
        return ''
    base = '; '.join(dict.fromkeys(in_words(precision) for precision in others))
    return f'{"; ".join(by_precision)}, the baseline {base}'
