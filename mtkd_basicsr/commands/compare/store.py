"""What the runs of a plan have left on disk: all that a report needs of them."""

import platform

import torch

from ...evaluation.measure import read_json
from ...utils.precision import describe, describe_cpu
from ...utils.version import __version__
from .._jobs import Record


def record_of(run, out):
    """The record of a run."""
    return Record(out / 'runs' / f'{run.name}.json', run.fingerprint)


def result_path(run, out):
    """Where the result of a run is: all that a report needs of it."""
    return out / 'results' / f'{run.name}.json'


def result_of(run, out):
    """What a run has given with the options of this time: the content of its file, or None."""
    content = read_json(result_path(run, out))
    return content if content is not None and content['fingerprint'] == run.fingerprint else None


def has_all_sets(result, plan):
    """Whether a result has every test set of a plan; trainings and caches have none."""
    return all(set(plan.test) <= set(values) for values in result['results'].values())


def is_done(run, plan, out):
    """Whether a run was finished with the options of this time, and what others need of it is
    there.

    Of students and references that is the result, which may have been moved here; of caches and
    trainings that others build on it is what they have made in this folder.
    """
    result = result_of(run, out)
    made_here = run.kind in ('student', 'references') or record_of(run, out).is_finished()
    return made_here and result is not None and has_all_sets(result, plan)


def left(runs, plan, out):
    """Runs that are to be done, in their order.

    A cache, or a training that others build on, whose result was moved here without what it has
    made, is done again where one of them needs it.
    """
    found = []
    needed = set()
    for run in reversed(runs):
        moved = run.kind in ('cache', 'prepare') and result_of(run, out) is not None
        if not is_done(run, plan, out) and (not moved or run.name in needed):
            found.append(run)
            needed |= run.after
    return found[::-1]


def describe_machine():
    """What trains and measures, in a line, with the features that its figures depend on."""
    if torch.cuda.is_available():
        device = describe('cuda')
    else:
        device = f'CPU, {torch.get_num_threads()} threads, {describe_cpu()}'
    return f'{device}; torch {torch.__version__}, Python {platform.python_version()}, mtkd_basicsr {__version__}'
