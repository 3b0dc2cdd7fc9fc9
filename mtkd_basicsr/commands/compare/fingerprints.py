"""Fingerprints of runs, by which finished results are recognised."""

import functools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...data.cache.key import option_keys
from ...utils.digest import sha256
from ...utils.paths import expanded
from ...utils.resources import weights_file
from .runs import Run

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


def relocatable_json(content: Any, out: Path, sort_keys: bool = False) -> str:
    """Return content as JSON in which ``{out}`` replaces the folder of the results.

    Such a text stays the same when the folder is moved.
    """
    text = json.dumps(content, default=str, sort_keys=sort_keys)
    return text.replace(json.dumps(str(out))[1:-1], '{out}')


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
        if run.outputs_from is not None:
            content['outputs_from'] = run.outputs_from
    if run.self_ensemble and run.kind in ('cache', 'references'):
        content['self_ensemble'] = True
    content['files'] = _weight_digests(run, out)
    return relocatable_json([run.kind, content], out, sort_keys=True)


def _weight_digests(run: Run, out: Path) -> list[str | None]:
    """Return the digests of the weights that a run reads.

    Without those that the plan itself writes: the fingerprints of their runs cover them.
    """
    blocks = list((run.options.get('teachers') or {}).values())
    if run.options.get('fusion'):
        blocks.append(run.options['fusion'])
    digests = []
    for method in run.config.distillation.all if run.config.distillation is not None else ():
        # The caches and the targets of a plan do not depend on what a method reads itself.
        for path in method.weight_files if run.kind not in ('cache', 'references') else ():
            digests.append(_hash(expanded(path)))
    for block in blocks:
        weights = block.get('weights') if isinstance(block, dict) else None
        if weights and not str(weights).startswith(str(out)):
            digests.append(_hash(weights_file(weights, 'weights')))
    return digests
