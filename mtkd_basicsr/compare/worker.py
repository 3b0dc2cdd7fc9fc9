"""Doing one run of a plan: training and testing, or a cache, in this process."""

import argparse
import os
import time
from contextlib import contextmanager

import torch
import yaml

from .. import cache as cache_command
from .. import train as train_command
from ..arguments import make_folder
from ..errors import MTKDError
from ..jobs import Record, archive, write_json
from .check import test_sets
from .measure import enlarger, measure, references, student_network

_HEADER = 'mtkd_basicsr: !!python/name:mtkd_basicsr.__version__  # registers the plug-in; the log shows its version\n\n'


def record_of(run, out):
    """The record of a run."""
    return Record(out / 'runs' / f'{run.name}.json', run.fingerprint)


def options_path(run, out):
    """Where the option file of a run is."""
    return out / 'options' / f'{run.name}.yml'


def write_options(run, out):
    """Writes the option file of a run; it also works with ``mtkd train`` and with BasicSR's ``train.py``."""
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
    with open(path, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise MTKDError(f'{name}: another process is doing this run (it holds {path})') from error
        yield


def _train(run, out):
    latest = out / 'experiments' / run.name / 'models' / 'net_g_latest.pth'
    if latest.is_file():  # stopped between training and testing: BasicSR writes this file at the end
        return
    parser = argparse.ArgumentParser()
    train_command.add_arguments(parser)
    train_command.train(parser.parse_args(['-opt', str(options_path(run, out)), '--auto_resume', '--safe']), root=str(out))


def _cache(run, out, begun):
    path = run.options['datasets']['train']['target_cache']
    parser = argparse.ArgumentParser()
    cache_command.add_arguments(parser)
    # What the plan has made for itself it may replace; a cache of somebody else it may not.
    overwrite = ['--overwrite'] if not begun and os.path.abspath(path).startswith(str(out) + os.sep) else []
    cache_command.cache(parser.parse_args(['-opt', str(options_path(run, out)), '--what', run.what, '--safe', *overwrite]))


def _test(functions, run, plan, out, device):
    """Measures functions on all test sets: ``tests/<name>.json``."""
    results = {name: {} for name in functions}
    for test_set, block in test_sets(plan, run.scale, out).items():
        for name, function in functions.items():
            results[name][test_set] = measure(function, block, run.scale, 'cpu' if name == 'bicubic' else device)
    (out / 'tests').mkdir(exist_ok=True)
    write_json({'fingerprint': run.fingerprint, 'results': results}, out / 'tests' / f'{run.name}.json')


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
        record, start = record_of(run, out), time.time()
        if record.is_finished():
            print(f'{run.name}: finished before')
            return
        begun = record.is_begun()
        if not begun:
            archive(out / 'experiments' / run.name)
            record.write(finished=False)
        write_options(run, out)
        device = _device(run.options)
        if run.kind == 'cache':
            _cache(run, out, begun)
        elif run.kind == 'references':
            _test(references(run.options, device), run, plan, out, device)
        else:
            _train(run, out)
        if run.kind == 'student':
            net = student_network(run.options, out / 'experiments' / run.name, device)
            _test({run.method: enlarger(net, run.options)}, run, plan, out, device)
        record.write(True, time.time() - start)
