"""The results of runs on disk, from which a report is built.

Each run writes ``results/NAME.json``. A JSON Lines file ``results/*.jsonl`` can hold the results of
many runs, with the content of such a file in each line.
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
from ...utils.precision import describe, describe_cpu
from ...utils.version import __version__
from .._jobs import Record
from .runs import Run


def record_of(run: Run, out: Path) -> Record:
    """Return the record of a run."""
    return Record(out / 'runs' / f'{run.name}.json', run.fingerprint)


def result_path(run: Run, out: Path) -> Path:
    """Return the path of the result of a run."""
    return out / 'results' / f'{run.name}.json'


@functools.lru_cache(maxsize=64)
def _lines_of(path: Path, modified: int, size: int) -> dict[tuple[str, str], str]:
    """Read a file of results, once for each version of it.

    Args:
        path: JSON Lines file.
        modified: Time of its last change, in ns; identifies the version with ``size``.
        size: Size in bytes.

    Returns:
        Name and fingerprint of each run -> its line; the last of several lines.

    Raises:
        DataError: A line is not the result of a run.
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


def _read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON file that holds an object; return None if there is no file."""
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None


def result_of(run: Run, out: Path) -> dict[str, Any] | None:
    """Return the result of a run with the current options, None if there is none.

    The result is in its own file, or in a file with the results of many runs.

    Raises:
        DataError: A line of such a file is not the result of a run.
    """
    path = result_path(run, out)
    content = _read_json(path)
    if content is not None and content['fingerprint'] == run.fingerprint:
        return content
    for lines in _collected(path.parent):
        if (run.name, run.fingerprint) in lines:
            return json.loads(lines[run.name, run.fingerprint])
    return None


def has_all_sets(result: dict[str, Any], plan: PlanOptions) -> bool:
    """Return whether a result has every test set of the plan; trainings and caches need none."""
    return all(set(plan.test) <= set(values) for values in result['results'].values())


def has_other_result(run: Run, out: Path) -> bool:
    """Return whether the file of the result of a run is that of other options."""
    content = _read_json(result_path(run, out))
    return content is not None and content.get('fingerprint') != run.fingerprint


def has_other_options(run: Run, out: Path) -> bool:
    """Return whether the folder holds a result, or a begun run, of this name with other options."""
    known = record_of(run, out).read().get('fingerprint')
    return has_other_result(run, out) or known not in (None, run.fingerprint)


def is_done(run: Run, plan: PlanOptions, out: Path) -> bool:
    """Return whether a run is finished with the current options, and its outputs are available.

    The result of a student or of references may have been copied into the folder. A cache, or a
    training that others build on, must have finished in this folder.
    """
    result = result_of(run, out)
    if result is None or not has_all_sets(result, plan):
        return False
    return run.kind in ('student', 'references') or record_of(run, out).is_finished()


def pending(runs: list[Run], plan: PlanOptions, out: Path) -> list[Run]:
    """Return the runs that have to be executed, in order.

    A cache or training whose result was copied into the folder without its output is executed
    only if a pending run needs that output.
    """
    found = []
    needed: set[str] = set()
    for run in reversed(runs):
        if is_done(run, plan, out):
            continue
        copied = run.kind in ('cache', 'prepare') and result_of(run, out) is not None
        if not copied or run.name in needed:
            found.append(run)
            needed |= run.after
    return found[::-1]


def describe_machine() -> str:
    """Describe this machine in one line, with the features that measured times depend on."""
    if torch.cuda.is_available():
        device = describe('cuda')
    else:
        device = f'CPU, {torch.get_num_threads()} threads, {describe_cpu()}'
    return (
        f'{device}; torch {torch.__version__}, Python {platform.python_version()}, '
        f'mtkd_basicsr {__version__}'
    )
