"""Doing one run of a plan: training and testing, or a cache, in this process."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from ...config.plan import PlanOptions
from ...errors import MTKDError
from ...evaluation.measure import load_trained, measure, references
from ...host.log_parser import read_training
from ...utils.atomic import write_json, write_text
from .._arguments import make_folder
from .._jobs import archive
from ..cache import cache
from ..train import train
from .expansion import movable
from .precisions import of_cache, of_training
from .runs import Run
from .store import describe_machine, is_done, record_of, result_of, result_path
from .validation import evaluation_sets

_HEADER = (
    'mtkd_basicsr: !!python/name:mtkd_basicsr.__version__  # registers the plug-in; the log shows '
    'its version\n\n'
)


def options_path(run: Run, out: Path) -> Path:
    """Return the path of the option file of a run."""
    return out / 'options' / f'{run.name}.yml'


def write_options(run: Run, out: Path) -> None:
    """Write the option file of a run.

    It also works with ``mtkd train`` and with BasicSR's ``train.py``.
    """
    path = options_path(run, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _HEADER + yaml.safe_dump(run.options, sort_keys=False))


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Keep other processes from the same run, also those of other machines with this folder."""
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


def _train(run: Run, out: Path) -> None:
    latest = out / 'experiments' / run.name / 'models' / 'net_g_latest.pth'
    # stopped between training and testing: BasicSR writes this file at the end
    if latest.is_file():
        return
    train(options_path(run, out), auto_resume=True, safe=True, root=out)


def _cache(run: Run, out: Path, begun: bool) -> None:
    path = run.options['datasets']['train']['target_cache']
    # What the plan has made for itself it may replace; a cache of somebody else it may not.
    own = os.path.abspath(path).startswith(str(out) + os.sep)
    cache(
        options_path(run, out),
        contents=run.what,
        self_ensemble=run.self_ensemble,
        overwrite=own and not begun,
        safe=True,
    )


def _commit() -> str | None:
    """Return the commit of the source tree that this package is used from.

    None where it was installed from elsewhere.
    """
    root = Path(__file__).resolve().parents[3]
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


def _write_result(
    run: Run,
    out: Path,
    results: dict[str, dict[str, Any]],
    seconds: float,
    precision: dict[str, str] | None,
) -> None:
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
        'machine': describe_machine(),
        'commit': _commit(),
        'options': run.options,
        'precision': precision,
        'seconds': round(seconds, 1),
        'training_seconds': training,
        'curve': curve,
        'results': results,
    }
    result_path(run, out).parent.mkdir(exist_ok=True)
    write_json(result_path(run, out), json.loads(movable(content, out)))


def _test(
    functions: dict[str, Callable[[torch.Tensor], torch.Tensor]],
    run: Run,
    plan: PlanOptions,
    out: Path,
    device: str,
) -> dict[str, dict[str, Any]]:
    """Measure functions on the test sets: name -> test set -> image -> [PSNR in dB, SSIM].

    What was measured before, for another plan, is kept.
    """
    known = result_of(run, out) or {'results': {}}
    results = {name: dict(known['results'].get(name, {})) for name in functions}
    for test_set, dataset in evaluation_sets(plan.test, run.scale, out).items():
        for name, function in functions.items():
            if test_set not in results[name]:
                results[name][test_set] = measure(
                    function, dataset, run.scale, 'cpu' if name == 'bicubic' else device
                )
    return results


def do(run: Run, plan: PlanOptions, out: Path) -> None:
    """Do a run, or what is left of it.

    A folder of other options gives way, under another name.

    Args:
        run: What.
        plan: Where it belongs.
        out: Folder of the results.

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
        device = 'cuda' if run.config.wants_gpu and torch.cuda.is_available() else 'cpu'
        results: dict[str, dict[str, Any]] = {}
        precision: dict[str, str] | None
        if run.kind == 'cache':
            _cache(run, out, begun)
            precision = of_cache(run.options['datasets']['train']['target_cache'])
        elif run.kind == 'references':
            functions, precision = references(run.config, device, run.self_ensemble)
            results = _test(functions, run, plan, out, device)
        else:
            _train(run, out)
            precision = of_training(out / 'experiments' / run.name)
        if run.kind == 'student':
            assert run.method is not None  # every student has one
            results = _test(
                {run.method: load_trained(run.config, out / 'experiments' / run.name, device)},
                run,
                plan,
                out,
                device,
            )
        _write_result(run, out, results, time.time() - start, precision)
        record.write(True, time.time() - start)
