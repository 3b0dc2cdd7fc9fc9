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

from ...config import required_cache_path
from ...config.plan import PlanOptions
from ...data.cache.format import state_of
from ...errors import DataError, OptionError
from ...utils.precision import describe, describe_cpu
from ...utils.version import __version__
from .._records import Record
from .evaluation_sets import other_sets
from .runs import Run

_EXPECTED = (
    'expected the result of a run as one JSON object, with its name, its fingerprint and its '
    'results; restore it, or remove it to have the run done again'
)


def record_of(run: Run, out: Path) -> Record:
    """Return the record of a run."""
    return Record(out / 'runs' / f'{run.name}.json', run.fingerprint)


def result_path(run: Run, out: Path) -> Path:
    """Return the path of the result of a run."""
    return out / 'results' / f'{run.name}.json'


def _parse(text: str | bytes, where: str) -> dict[str, Any]:
    """Parse the result of a run.

    Args:
        text: JSON.
        where: Where it is from, for the message.

    Raises:
        DataError: It is not the result of a run.
    """
    try:
        result = json.loads(text)
        if isinstance(result['results'], dict) and result['name'] and result['fingerprint']:
            return result
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f'{where}: {_EXPECTED}') from error
    raise DataError(f'{where}: {_EXPECTED}')


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
        if line.strip():
            result = _parse(line, f"'{path}', line {number}")
            lines[result['name'], result['fingerprint']] = line
    return lines


def _collected(folder: Path) -> Iterable[dict[tuple[str, str], str]]:
    for path in sorted(folder.glob('*.jsonl')):
        status = path.stat()
        yield _lines_of(path, status.st_mtime_ns, status.st_size)


def _read_result(path: Path) -> dict[str, Any] | None:
    """Read the file of the result of a run; return None if there is no file.

    Raises:
        DataError: It does not hold such a result, for example because it was cut off.
    """
    return _parse(path.read_bytes(), f"'{path}'") if path.is_file() else None


def result_of(run: Run, out: Path) -> dict[str, Any] | None:
    """Return the result of a run with the current options, None if there is none.

    The result is in its own file, or in a file with the results of many runs.

    Raises:
        DataError: The content of one of these files is not the result of a run.
    """
    path = result_path(run, out)
    content = _read_result(path)
    if content is not None and content['fingerprint'] == run.fingerprint:
        return content
    for lines in _collected(path.parent):
        if (run.name, run.fingerprint) in lines:
            return json.loads(lines[run.name, run.fingerprint])
    return None


@functools.lru_cache(maxsize=8)
def _digests_of(files: tuple[tuple[Path, int, int], ...]) -> dict[str, str]:
    digests: dict[str, str] = {}
    for path, modified, size in files:
        if path.suffix == '.jsonl':
            results = [json.loads(line) for line in _lines_of(path, modified, size).values()]
        else:
            results = [_read_result(path) or {}]
        for result in results:
            digests.update(result.get('weights', {}))
    return digests


def recorded_digests(out: Path) -> dict[str, str]:
    """Return the digests of files with weights that the results in a folder were made of.

    By the name of the file in an option file, with ``{out}`` for the folder. If results name
    several digests, that of the newest file of results.
    """
    files = []
    for path in (out / 'results').glob('*.json*'):
        if path.suffix in ('.json', '.jsonl'):
            status = path.stat()
            files.append((path, status.st_mtime_ns, status.st_size))
    return _digests_of(tuple(sorted(files, key=lambda file: file[1])))


def has_all_sets(result: dict[str, Any], run: Run, plan: PlanOptions, out: Path) -> bool:
    """Return whether a result has every test set of the plan, as it is now.

    Trainings and caches need none.
    """
    complete = all(set(plan.test) <= set(values) for values in result['results'].values())
    return complete and not other_sets(result, run, plan, out)


def trained_network(run: Run, out: Path) -> Path:
    """Return the path of the network that BasicSR writes at the end of a training."""
    return out / 'experiments' / run.name / 'models' / 'net_g_latest.pth'


def measured_on_other_images(run: Run, plan: PlanOptions, out: Path) -> list[str]:
    """Return the test sets whose images are not those that a run was measured on."""
    result = result_of(run, out)
    return [] if result is None else other_sets(result, run, plan, out)


def refuse_other_images(run: Run, plan: PlanOptions, out: Path) -> None:
    """Raise if a student has to be measured on other images, but only its result is here.

    It would have to be trained again, which nobody asked for.

    Raises:
        OptionError: It is so; names the test set, and the folder that it was before, if it was one.
    """
    result = result_of(run, out) if run.kind == 'student' else None
    if result is None or trained_network(run, out).is_file():
        return
    for name in plan.test:
        if not all(name in values for values in result['results'].values()):
            raise OptionError(
                f'test.{name}: the result of {run.name} lacks this test set, and its network is '
                f'not in {out}; expected its network, a plan without the test set, or a folder '
                'without this result, where the student is trained anew'
            )
    for name in other_sets(result, run, plan, out):
        folder = result.get('test_sets', {}).get(name, plan.test[name])['dataroot_gt']
        raise OptionError(
            f"test.{name}: the result of {run.name} is of other images (in '{folder}' then), and "
            f'its network is not in {out}; expected those images, its network, or a folder without '
            'this result, where the student is trained anew'
        )


def has_other_result(run: Run, out: Path) -> bool:
    """Return whether the file of the result of a run is that of other options."""
    content = _read_result(result_path(run, out))
    return content is not None and content.get('fingerprint') != run.fingerprint


def has_other_options(run: Run, out: Path) -> bool:
    """Return whether the folder holds a result, or a begun run, of this name with other options."""
    known = record_of(run, out).read().get('fingerprint')
    return has_other_result(run, out) or known not in (None, run.fingerprint)


def is_done(run: Run, plan: PlanOptions, out: Path) -> bool:
    """Return whether a run is finished with the current options, and its outputs are available.

    The result of a student or of references may have been copied into the folder. A cache, or a
    training that others build on, must have finished in this folder, and still be there.
    """
    result = result_of(run, out)
    if result is None or not has_all_sets(result, run, plan, out):
        return False
    if run.kind in ('student', 'references'):
        return True
    if not record_of(run, out).is_finished():
        return False
    if run.kind == 'cache':
        return state_of(required_cache_path(run.options)) == 'complete'
    return trained_network(run, out).is_file()


def pending(runs: list[Run], plan: PlanOptions, out: Path) -> list[Run]:
    """Return the runs that have to be executed, in order.

    A cache or training whose result is in the folder without its output, which was not copied or
    has been removed, is executed only if a pending run needs that output.
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
