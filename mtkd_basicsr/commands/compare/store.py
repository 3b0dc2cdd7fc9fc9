"""What the runs of a plan have left on disk: all that a report needs of them."""

import platform
from pathlib import Path
from typing import Any

import torch

from ...config.plan import PlanOptions
from ...evaluation.measure import read_json
from ...utils.precision import describe, describe_cpu
from ...utils.version import __version__
from .._jobs import Record
from .expansion import Run


def record_of(run: Run, out: Path) -> Record:
    """Return the record of a run."""
    return Record(out / 'runs' / f'{run.name}.json', run.fingerprint)


def result_path(run: Run, out: Path) -> Path:
    """Return the path of the result of a run, which is all that a report needs of it."""
    return out / 'results' / f'{run.name}.json'


def result_of(run: Run, out: Path) -> dict[str, Any] | None:
    """Return the result of a run with the present options, None where there is none."""
    content = read_json(result_path(run, out))
    return content if content is not None and content['fingerprint'] == run.fingerprint else None


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
