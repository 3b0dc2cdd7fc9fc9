"""Execution of one run of a plan in this process: training and testing, or a cache."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from ...config import required_cache_path
from ...config.plan import PlanOptions
from ...evaluation.measure import load_trained, measure, references
from ...host.log_parser import read_training
from ...utils.atomic import write_json, write_text
from .._arguments import make_folder
from .._lock import locked
from .._records import archive
from ..cache import cache
from ..train import train
from .evaluation_sets import evaluation_sets, other_sets
from .fingerprints import weight_digests
from .image_digests import digests_of
from .precision_records import of_cache, of_training
from .relocatable import relocatable
from .runs import Run
from .store import (
    describe_machine,
    has_other_result,
    is_done,
    record_of,
    refuse_other_images,
    result_of,
    result_path,
    trained_network,
)

_HEADER = (
    'mtkd_basicsr: !!python/name:mtkd_basicsr.__version__  # registers the plug-in; the log shows '
    'its version\n\n'
)


def options_path(run: Run, out: Path) -> Path:
    """Return the path of the option file of a run."""
    return out / 'options' / f'{run.name}.yml'


def write_options(run: Run, out: Path) -> None:
    """Write the option file of a run, also usable by ``mtkd train`` and BasicSR's ``train.py``."""
    path = options_path(run, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _HEADER + yaml.safe_dump(run.options, sort_keys=False))


def _train(run: Run, out: Path) -> None:
    if trained_network(run, out).is_file():  # it was stopped between training and testing
        return
    train(options_path(run, out), auto_resume=True, safe=True, root=out)


def _cache(run: Run, out: Path) -> None:
    path = required_cache_path(run.options)
    # The plan may replace its own caches, but not a cache outside of its folder.
    is_own = os.path.abspath(path).startswith(str(out) + os.sep)
    cache(
        options_path(run, out),
        contents=run.contents,
        self_ensemble=run.self_ensemble,
        outputs_from=run.outputs_from,
        overwrite=is_own,
        safe=True,
    )


def _git(root: Path, *command: str) -> str:
    return subprocess.run(
        ['git', '-C', str(root), *command],
        capture_output=True,
        encoding='utf-8',
        errors='replace',
        check=True,
    ).stdout.strip()


def _commit() -> str | None:
    """Return the commit of the source tree that this package runs from.

    None if the package does not run from a Git repository.
    """
    root = Path(__file__).resolve().parents[3]
    try:
        if not (root / '.git').exists():
            return None
        commit = _git(root, 'rev-parse', 'HEAD')
        changes = _git(root, 'status', '--porcelain', '--untracked-files=no')
    except (OSError, subprocess.CalledProcessError):
        return None
    return f'{commit} and changes' if changes else commit


class Measured(NamedTuple):
    """What was measured on the test sets.

    Attributes:
        results: Name -> test set -> image -> [PSNR in dB, SSIM]; with earlier measurements.
        digests: Digests of the images (:mod:`.image_digests`) of the test sets that were read now,
            by name; None if they are unknown.
    """

    results: dict[str, dict[str, Any]]
    digests: dict[str, dict[str, str] | None]


def _write_result(
    run: Run,
    plan: PlanOptions,
    out: Path,
    measured: Measured,
    known: dict[str, Any],
    seconds: float,
    precision: dict[str, str] | None,
) -> None:
    """Write the result of a run.

    Args:
        run: The run.
        plan: Its plan.
        out: Folder of the results.
        measured: Its measurements.
        known: Its earlier result, or an empty mapping.
        seconds: Time that the run took.
        precision: Precisions by name; None if they are unknown.
    """
    results, digests = measured
    test_images = {**known.get('test_images', {}), **digests}
    curve = None
    training_seconds = None
    if run.kind in ('prepare', 'student'):
        curve, training_seconds = read_training(out / 'experiments' / run.name, run.options)
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
        'training_seconds': training_seconds,
        'curve': curve,
        'weights': {name: digest for name, digest in weight_digests(run, out) if digest},
        'test_sets': {**known.get('test_sets', {}), **plan.test} if results else {},
        'test_images': {name: digest for name, digest in test_images.items() if digest},
        'results': results,
    }
    if run.kind == 'cache' and run.outputs_from is not None:
        content['outputs_from'] = run.outputs_from
    result_path(run, out).parent.mkdir(exist_ok=True)
    write_json(result_path(run, out), relocatable(content, out))


def _test(
    functions: dict[str, Callable[[torch.Tensor], torch.Tensor]],
    known: dict[str, dict[str, Any]],
    run: Run,
    plan: PlanOptions,
    out: Path,
    device: str,
) -> Measured:
    """Measure functions on the test sets.

    Args:
        functions: By name.
        known: Earlier measurements of this run, which are kept.
        run: The run.
        plan: Its plan.
        out: Folder of the results.
        device: Where to compute.
    """
    results = {name: dict(known.get(name, {})) for name in functions}
    digests = {}
    for test_set, dataset in evaluation_sets(plan.test, run.scale, out).items():
        missing = [name for name in functions if test_set not in results[name]]
        if missing:
            digests[test_set] = digests_of(dataset)
        for name in missing:
            where = 'cpu' if name == 'bicubic' else device
            results[name][test_set] = measure(functions[name], dataset, run.scale, where)
    return Measured(results, digests)


def execute(run: Run, plan: PlanOptions, out: Path) -> None:
    """Execute or resume a run.

    An experiment folder with different options is archived first.

    Args:
        run: The run.
        plan: Its plan.
        out: Folder of the results.

    Raises:
        MTKDError: The run failed, or another process is executing it.
    """
    for folder in ('runs', 'caches'):
        make_folder(out / folder)
    experiment = out / 'experiments' / run.name
    text = f'{run.name}: another process is executing this run'
    with locked(out / 'runs' / f'{run.name}.lock', text):
        record = record_of(run, out)
        start = time.time()
        if is_done(run, plan, out):
            print(f'{run.name}: finished before')
            return
        refuse_other_images(run, plan, out)
        known = result_of(run, out) or {'results': {}}
        replaced = other_sets(known, run, plan, out)
        kept = {
            name: {
                test_set: images for test_set, images in sets.items() if test_set not in replaced
            }
            for name, sets in known['results'].items()
        }
        begun = record.is_begun()
        if not begun:
            archive(experiment)
            if has_other_result(run, out):
                archive(result_path(run, out))
            record.write(finished=False)
        write_options(run, out)
        before = record.seconds_of_stopped()
        try:
            measured, precision = _execute(run, plan, out, kept)
        except BaseException:
            # On a full disk this fails as well; the first error is the one that says what happened.
            with contextlib.suppress(OSError):
                record.write(finished=False, seconds=before + time.time() - start)
            raise
        seconds = before + time.time() - start
        if replaced:
            archive(result_path(run, out))
        _write_result(run, plan, out, measured, known, seconds, precision)
        record.write(finished=True, seconds=seconds)


def _execute(
    run: Run, plan: PlanOptions, out: Path, kept: dict[str, dict[str, Any]]
) -> tuple[Measured, dict[str, str] | None]:
    """Train, measure or compute what a run makes.

    Args:
        run: The run.
        plan: Its plan.
        out: Folder of the results.
        kept: Earlier measurements that are kept.

    Returns:
        What was measured, and the precisions by name, None if they are unknown.
    """
    experiment = out / 'experiments' / run.name
    device = 'cuda' if run.config.wants_gpu and torch.cuda.is_available() else 'cpu'
    if run.kind == 'cache':
        _cache(run, out)
        return Measured({}, {}), of_cache(required_cache_path(run.options))
    if run.kind == 'references':
        functions, precisions = references(run.config, device, run.self_ensemble)
        return _test(functions, kept, run, plan, out, device), precisions
    _train(run, out)
    precision = of_training(experiment)
    if run.kind != 'student':
        return Measured({}, {}), precision
    assert run.method is not None  # every student has one
    trained = load_trained(run.config, experiment, device)
    return _test({run.method: trained}, kept, run, plan, out, device), precision
