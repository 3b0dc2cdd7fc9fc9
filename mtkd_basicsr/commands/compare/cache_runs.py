"""The caches of a plan: which it makes, and which are computed from others."""

from collections.abc import Mapping
from pathlib import Path

from ...data.cache.key import option_keys
from ...errors import OptionError, did_you_mean
from .runs import Run


def _description(run: Run) -> str:
    """Describe what the cache of a training, or a run that makes a cache, holds."""
    text = f'{run.contents or run.config.cache_contents} '
    text += f'{"with" if run.self_ensemble else "without"} self_ensemble'
    return text if run.outputs_from is None else f"{text} from '{run.outputs_from}'"


def cache_runs(runs: list[Run]) -> dict[str, Run]:
    """Return a run for each file that ``datasets.train.target_cache`` names, by path.

    Args:
        runs: The trainings of a plan.

    Raises:
        OptionError: Two trainings want different contents in one file.
    """
    caches: dict[str, Run] = {}
    for run in runs:
        path = run.options['datasets']['train'].get('target_cache')
        contents = run.config.cache_contents
        if path is None or contents is None:
            continue
        if path not in caches:
            caches[path] = Run(
                f'cache_{Path(path).stem}',
                'cache',
                run.scale,
                run.options,
                contents=contents,
                self_ensemble=run.self_ensemble,
                outputs_from=run.outputs_from,
            )
            caches[path].config = run.config
        cache = caches[path]
        first = _description(cache)
        second = _description(run)
        if first != second:
            raise OptionError(
                f"{run.name}: datasets.train.target_cache: '{path}' holds {first} for "
                f'{cache.options["name"]}, and {second} here; use two files'
            )
    return caches


def check_self_ensemble(run: Run) -> None:
    """Raise if the targets of a training are to be averaged, but do not come from a cache.

    Raises:
        OptionError: Names the key, the value and what was expected.
    """
    train = run.options['datasets']['train']
    has_cache = run.config.cache_contents is not None and train.get('target_cache') is not None
    if run.self_ensemble and not has_cache:
        raise OptionError(
            f'{run.name}: methods.{run.method}.self_ensemble: True; only the targets of a cache '
            'are averaged; expected a method with teachers, and datasets.train.target_cache'
        )


def check_outputs(run: Run, caches: Mapping[str, Run]) -> None:
    """Raise if the fused target of a training cannot be computed from the outputs that it names.

    Args:
        run: The training.
        caches: Path -> run that makes this cache.

    Raises:
        OptionError: Names the key, the value and what was expected.
    """
    path = run.outputs_from
    if path is None:
        return
    key = f'{run.name}: methods.{run.method}.outputs_from: {path!r}'
    if not isinstance(path, str):
        raise OptionError(f'{key}; expected the path of a cache')
    train = run.options['datasets']['train']
    if run.config.cache_contents != 'target' or train.get('target_cache') is None:
        raise OptionError(f'{key}; for a method with a fused target in datasets.train.target_cache')
    if run.self_ensemble:
        raise OptionError(f'{key}; not allowed with self_ensemble, for which the teachers run')
    outputs = {name: cache for name, cache in caches.items() if cache.contents == 'teachers'}
    if path not in outputs:
        raise OptionError(
            f'{key}; expected a cache of the outputs of teachers that the plan makes; '
            f'{did_you_mean(path, outputs)}'
        )
    cached = outputs[path].options
    different = []
    if cached['scale'] != run.scale or cached.get('teachers') != run.options.get('teachers'):
        different.append('teachers')
    for name in option_keys('datasets.train'):
        if cached['datasets']['train'].get(name) != train.get(name):
            different.append(f'datasets.train.{name}')
    if different:
        raise OptionError(
            f'{key} is made with other values of {", ".join(different)} than the target needs'
        )
