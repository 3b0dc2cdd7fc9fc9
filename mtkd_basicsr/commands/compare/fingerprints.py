"""Fingerprints of runs, by which finished results are recognised."""

import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...data.cache.key import option_keys
from ...utils.digest import sha256
from ...utils.paths import expanded
from ...utils.resources import weights_file
from .relocatable import relocatable, relocatable_json
from .runs import Run
from .store import recorded_digests

# Option keys that do not change the result of a training.
_KEYS_WITHOUT_EFFECT = ('num_gpu', 'logger', 'dist_params')


@functools.lru_cache(maxsize=64)
def _hash_of_version(path: str, modified: int, size: int) -> str | None:
    return sha256(path)


def _hash(path: str) -> str | None:
    """Return the SHA-256 of a file, computed once per version; None if there is no file."""
    if not os.path.isfile(path):
        return None
    status = os.stat(path)
    return _hash_of_version(path, status.st_mtime_ns, status.st_size)


def own_fingerprint(run: Run, out: Path) -> str:
    """Return the inputs of a run as text, by which finished results are recognised.

    For a cache these are the options that determine its ``CacheKey``. The key itself does not
    exist yet when the plan still has to train some of the weights.
    """
    keys: Iterable[str]
    if run.kind in ('cache', 'references'):
        keys = option_keys()
    else:
        keys = set(run.options) - set(_KEYS_WITHOUT_EFFECT)
    content: dict[str, Any] = {key: run.options.get(key) for key in sorted(keys)}
    if 'train' in content:
        # The value of auto depends on the machine and is recorded with the result. The text has
        # bf16, the value of the oldest results. Compilation changes the speed.
        content['train'] = dict(content['train'])
        content['train'].pop('compile', None)
        for key in ('amp', 'teacher_precision'):
            if content['train'].get(key) == 'auto':
                content['train'][key] = 'bf16'
    if run.kind == 'cache':
        train = run.options['datasets']['train']
        content.update({key: train.get(key) for key in option_keys('datasets.train')})
        content['what'] = run.contents
        if train.get('meta_info_file'):  # not in the texts of the oldest results
            content['meta_info_file'] = [
                train['meta_info_file'],
                _hash(expanded(train['meta_info_file'])),
            ]
        if run.outputs_from is not None:
            content['outputs_from'] = run.outputs_from
    if run.self_ensemble and run.kind in ('cache', 'references'):
        content['self_ensemble'] = True
    content['files'] = [digest for _, digest in weight_digests(run, out)]
    return relocatable_json([run.kind, content], out, sort_keys=True)


def weight_digests(run: Run, out: Path) -> list[tuple[str, str | None]]:
    """Return the files with weights that a run reads, as its options name them, and their digests.

    Without those of trainings that the plan, or its base, writes: the fingerprints of their runs
    cover them. The digest of a file that is not here is that of the results in the folder; None if
    they do not know it.
    """
    found = []
    for path in _weight_files(run):
        if not _is_inside(path, out / 'experiments'):
            digest = _hash(expanded(weights_file(path, 'weights')))
            name = relocatable(path, out)
            found.append((name, digest or recorded_digests(out).get(name)))
    return found


def _weight_files(run: Run) -> Iterator[str]:
    is_training = run.kind not in ('cache', 'references')
    # The caches and the targets of a plan do not depend on what a method reads itself.
    if is_training and run.config.distillation is not None:
        for method in run.config.distillation.all:
            yield from method.weight_files
    blocks = list((run.options.get('teachers') or {}).values())
    if run.options.get('fusion'):
        blocks.append(run.options['fusion'])
    for block in blocks:
        if isinstance(block, dict) and block.get('weights'):
            yield str(block['weights'])
    start = (run.options.get('path') or {}).get('pretrain_network_g')
    if is_training and start:
        yield str(start)


def _is_inside(path: str, folder: Path) -> bool:
    return path.startswith(str(folder) + os.sep)
