"""Doing one run of a plan: training and testing, or a cache, in this process."""

import argparse
import json
import os
import platform
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml

from .. import __version__, commands
from .. import cache as cache_command
from .. import train as train_command
from ..arguments import make_folder
from ..errors import MTKDError
from ..jobs import Record, archive, write_json
from ..precision import describe, describe_cpu
from .check import test_sets
from .logs import read_training
from .measure import measure, read_json, references, trained
from .precisions import of_cache, of_training
from .runs import movable

_HEADER = 'mtkd_basicsr: !!python/name:mtkd_basicsr.__version__  # registers the plug-in; the log shows its version\n\n'


def record_of(run, out):
    """The record of a run."""
    return Record(out / 'runs' / f'{run.name}.json', run.fingerprint)


def options_path(run, out):
    """Where the option file of a run is."""
    return out / 'options' / f'{run.name}.yml'


def write_options(run, out):
    """Writes the option file of a run; it also works with ``mtkd train`` and with BasicSR's
    ``train.py``.
    """
    path = options_path(run, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f'.{os.getpid()}.tmp')
    temporary.write_text(_HEADER + yaml.safe_dump(run.options, sort_keys=False), encoding='utf-8')
    os.replace(temporary, path)


@contextmanager
def _locked(path, name):
    """Keeps a second process, also of another machine with the same folder, from the same run."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(path, 'w', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise MTKDError(
                f'{name}: another process is doing this run (it holds {path})'
            ) from error
        yield


def _train(run, out):
    latest = out / 'experiments' / run.name / 'models' / 'net_g_latest.pth'
    # stopped between training and testing: BasicSR writes this file at the end
    if latest.is_file():
        return
    parser = argparse.ArgumentParser()
    commands.train.add_arguments(parser)
    train_command.train(
        parser.parse_args(['-opt', str(options_path(run, out)), '--auto_resume', '--safe']),
        root=str(out),
    )


def _cache(run, out, begun):
    path = run.options['datasets']['train']['target_cache']
    parser = argparse.ArgumentParser()
    commands.cache.add_arguments(parser)
    # What the plan has made for itself it may replace; a cache of somebody else it may not.
    more = (
        ['--overwrite'] if not begun and os.path.abspath(path).startswith(str(out) + os.sep) else []
    )
    more += ['--self-ensemble'] if run.self_ensemble else []
    cache_command.cache(
        parser.parse_args(
            ['-opt', str(options_path(run, out)), '--what', run.what, '--safe', *more]
        )
    )


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


def machine():
    """What trains and measures, in a line, with the features that its figures depend on."""
    if torch.cuda.is_available():
        device = describe('cuda')
    else:
        device = f'CPU, {torch.get_num_threads()} threads, {describe_cpu()}'
    return f'{device}; torch {torch.__version__}, Python {platform.python_version()}, mtkd_basicsr {__version__}'


def _commit():
    """Of the source tree that this package is used from; None where it was installed from
    elsewhere.
    """
    root = Path(__file__).resolve().parents[2]
    try:
        if not (root / '.git').exists():
            return None
        commit, changes = (
            subprocess.run(
                ['git', '-C', str(root), *command],
                capture_output=True,
                encoding='utf-8',
                errors='replace',
                check=True,
            ).stdout.strip()
            for command in (
                ('rev-parse', 'HEAD'),
                ('status', '--porcelain', '--untracked-files=no'),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + (' and changes' if changes else '')


def _write_result(run, out, results, seconds, precision):
    curve, training = (
        read_training(out / 'experiments' / run.name)
        if run.kind in ('prepare', 'student')
        else (None, None)
    )
    content = {
        'name': run.name,
        'kind': run.kind,
        'student': run.student,
        'method': run.method,
        'scale': run.scale,
        'seed': run.seed,
        'fingerprint': run.fingerprint,
        'machine': machine(),
        'commit': _commit(),
        'options': run.options,
        'precision': precision,
        'seconds': round(seconds, 1),
        'training_seconds': training,
        'curve': curve,
        'results': results,
    }
    result_path(run, out).parent.mkdir(exist_ok=True)
    write_json(json.loads(movable(content, out)), result_path(run, out))


def _test(functions, run, plan, out, device):
    """PSNR and SSIM of functions: name -> test set -> image -> (dB, SSIM). What was measured
    before, for another plan, is kept.
    """
    known = result_of(run, out) or {'results': {}}
    results = {name: dict(known['results'].get(name, {})) for name in functions}
    for test_set, block in test_sets(plan.test, run.scale, out).items():
        for name, function in functions.items():
            if test_set not in results[name]:
                results[name][test_set] = measure(
                    function, block, run.scale, 'cpu' if name == 'bicubic' else device
                )
    return results


def _device(options):
    return 'cuda' if options.get('num_gpu') != 0 and torch.cuda.is_available() else 'cpu'


def do(run, plan, out):
    """Does a run, or what is left of it. A folder of other options gives way, under another name.

    Args:
        run (Run): What.
        plan (PlanOptions): Where it belongs.
        out (Path): Folder of the results.

    Raises:
        MTKDError: it failed, or another process is at it.
    """
    for folder in ('runs', 'caches'):
        make_folder(out / folder)
    with _locked(out / 'runs' / f'{run.name}.lock', run.name):
        record = record_of(run, out)
        start = time.time()
        if is_done(run, plan, out):
            print(f'{run.name}: finished before')
            return
        begun = record.is_begun()
        if not begun:
            archive(out / 'experiments' / run.name)
            record.write(finished=False)
        write_options(run, out)
        device = _device(run.options)
        results = {}
        if run.kind == 'cache':
            _cache(run, out, begun)
            precision = of_cache(run.options['datasets']['train']['target_cache'])
        elif run.kind == 'references':
            functions, precision = references(run.options, device, run.self_ensemble)
            results = _test(functions, run, plan, out, device)
        else:
            _train(run, out)
            precision = of_training(out / 'experiments' / run.name)
        if run.kind == 'student':
            results = _test(
                {run.method: trained(run.options, out / 'experiments' / run.name, device)},
                run,
                plan,
                out,
                device,
            )
        _write_result(run, out, results, time.time() - start, precision)
        record.write(True, time.time() - start)
