"""What the runs of a plan have left on disk: all that a report needs of them.

Each run writes a file of its own, ``results/NAME.json``. Results of many runs can be kept in one
file as JSON Lines, with the same content in a line for each; any ``results/*.jsonl`` is read too.
"""

import functools
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ...config.plan import PlanOptions
from ...errors import DataError
from ...evaluation.measure import read_json
from ...utils.precision import describe, describe_cpu
from ...utils.version import __version__
from .._jobs import Record
from .runs import Run


def record_of(run: Run, out: Path) -> Record:
    """Return the record of a run."""
    return Record(out / 'runs' / f'{run.name}.json', run.fingerprint)


def result_path(run: Run, out: Path) -> Path:
    """Return the path of the result of a run, which is all that a report needs of it."""
    return out / 'results' / f'{run.name}.json'


@functools.lru_cache(maxsize=64)
def _lines_of(path: Path, modified: int, size: int) -> dict[tuple[str, str], str]:
    """Read a file of results once, as long as it stays as it is.

    Args:
        path: JSON Lines.
        modified: Time of its last change, in ns.
        size: In bytes.

    Returns:
        Name and fingerprint of each run -> its line; the last one where there are several.

    Raises:
        DataError: a line is not the result of a run.
    """
    lines = {}
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        if not line.strip():
            continue
        try:
            result = json.loads(line)
            lines[result['name'], result['fingerprint']] = line
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"'{path}', line {number}: expected the result of a run as one JSON object, with "
                'its name and fingerprint'
            ) from error
    return lines


def _collected(folder: Path) -> Iterable[dict[tuple[str, str], str]]:
    for path in sorted(folder.glob('*.jsonl')):
        status = path.stat()
        yield _lines_of(path, status.st_mtime_ns, status.st_size)


def result_of(run: Run, out: Path) -> dict[str, Any] | None:
    """Return the result of a run with the present options, None where there is none.

    It is in a file of its own, or in one of the files with the results of many runs.

    Raises:
        DataError: a line of such a file is not the result of a run.
    """
    path = result_path(run, out)
    content = read_json(path)
    if content is not None and content['fingerprint'] == run.fingerprint:
        return content
    for lines in _collected(path.parent):
        if (run.name, run.fingerprint) in lines:
            return json.loads(lines[run.name, run.fingerprint])
    return None


def has_all_sets(result: dict[str, Any], plan: PlanOptions) -> bool:
    """Return whether a result has every test set of a plan; trainings and caches have none."""
    return all(set(plan.test) <= set(values) for values in result['results'].values())


def is_done(run: Run, plan: PlanOptions, out: Path) -> bool:
    """Return whether a run was finished with the present options, and what others need is there.

    Of students and references that is the result, which may have been moved here; of caches and
    trainings that others build on it is what they have made in this folder.
    """
    result = result_of(run, out)
    made_here = run.kind in ('student', 'references') or record_of(run, out).is_finished()
    return made_here and result is not None and has_all_sets(result, plan)


def left(runs: list[Run], plan: PlanOptions, out: Path) -> list[Run]:
    """Return the runs that are to be done, in their order.

    A cache, or a training that others build on, whose result was moved here without what it has
    made, is done again where one of them needs it.
    """
    found = []
    needed: set[str] = set()
    for run in reversed(runs):
        moved = run.kind in ('cache', 'prepare') and result_of(run, out) is not None
        if not is_done(run, plan, out) and (not moved or run.name in needed):
            found.append(run)
            needed |= run.after
    return found[::-1]


def describe_machine() -> str:
    """Describe this machine in a line, with the features that its figures depend on."""
    if torch.cuda.is_available():
        device = describe('cuda')
    else:
        device = f'CPU, {torch.get_num_threads()} threads, {describe_cpu()}'
    return (
        f'{device}; torch {torch.__version__}, Python {platform.python_version()}, '
        f'mtkd_basicsr {__version__}'
    )
