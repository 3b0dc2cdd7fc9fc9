"""What a plan consists of: all trainings and caches, their options, and what each waits for."""

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from ...config import TrainingConfig, parse, parse_fusion, parse_teachers
from ...config.plan import Condition, PlanOptions
from ...data.cache.key import option_keys
from ...distillers import training_config
from ...errors import OptionError, did_you_mean
from ...host.option_schema import structure_errors
from ...utils.digest import sha256
from ...utils.resources import weights_file
from .overlay import fill, merge
from .runs import Run

# What does not change the result of a training.
_INDIFFERENT = ('num_gpu', 'logger', 'dist_params')


def _conditions(
    entry_of_plan: dict[str, Any],
    key: str,
    plan: PlanOptions,
    scale: int,
    student: str | None = None,
    run: str | None = None,
) -> list[dict[str, Any]]:
    """Return the option blocks of the entries of ``when`` that fit."""
    fitting = []
    entries = entry_of_plan.get('when') or []
    if not isinstance(entries, list):
        raise OptionError(f'{key}when: {entries!r}; expected a list')
    for i, entry in enumerate(entries):
        condition = parse(Condition, entry, f'{key}when[{i}]')
        named: tuple[tuple[Any, Collection[Any], str], ...] = (
            (condition.student, plan.students, 'student'),
            (condition.scale, plan.scales, 'scale'),
            (condition.run, plan.prepare, 'run'),
        )
        for value, known, name in named:
            if value is not None and value not in known:
                raise OptionError(f'{key}when[{i}].{name}: {value!r}; {did_you_mean(value, known)}')
        if all(
            wanted is None or wanted == found
            for wanted, found in (
                (condition.student, student),
                (condition.scale, scale),
                (condition.run, run),
            )
        ):
            fitting.append(condition.options)
    return fitting


def _options_of(entry_of_plan: dict[str, Any]) -> dict[str, Any]:
    of_the_plan = ('when', 'self_ensemble', 'students')
    return {key: value for key, value in entry_of_plan.items() if key not in of_the_plan}


def _whole(
    plan: PlanOptions, name: str, scale: int, seed: int, out: Path, *blocks: dict[str, Any]
) -> dict[str, Any]:
    values = {'scale': scale, 'seed': seed, 'out': str(out), 'gt_size': plan.lq_size * scale}
    options = {
        **fill(merge({'name': None}, *blocks), values),
        'name': name,
        'scale': scale,
        'manual_seed': seed,
    }
    if isinstance(options.get('teachers'), dict):  # ~ leaves one out
        options['teachers'] = {
            teacher: block for teacher, block in options['teachers'].items() if block is not None
        }
    return options


def _sections_used(config: TrainingConfig) -> set[str]:
    """Return which of ``teachers`` and ``fusion`` a training uses."""
    used = {'teachers'} if config.uses_teachers else set()
    return used | {'fusion'} if config.uses_fusion else used


def _students(plan: PlanOptions, out: Path) -> Iterator[Run]:
    for scale, student, method, seed in itertools.product(
        plan.scales, plan.students, plan.methods, plan.seeds
    ):
        s = plan.students[student]
        m = plan.methods[method]
        if student not in m.get('students', plan.students):
            continue
        name = f'{student}_{method}_x{scale}_s{seed}'
        options = _whole(
            plan,
            name,
            scale,
            seed,
            out,
            plan.options,
            *_conditions({'when': plan.when}, '', plan, scale, student),
            _options_of(s),
            *_conditions(s, f'students.{student}.', plan, scale, student),
            _options_of(m),
            *_conditions(m, f'methods.{method}.', plan, scale, student),
        )
        options.setdefault('model_type', 'KDModel')
        self_ensemble = m.get('self_ensemble', False)
        if not isinstance(self_ensemble, bool):
            raise OptionError(
                f'methods.{method}.self_ensemble: {self_ensemble!r}; expected true or false'
            )
        yield Run(
            name, 'student', scale, options, student, method, seed, self_ensemble=self_ensemble
        )


def _prepared(plan: PlanOptions, out: Path) -> Iterator[Run]:
    for scale, (name, block) in itertools.product(plan.scales, plan.prepare.items()):
        options = _whole(
            plan,
            f'{name}_x{scale}',
            scale,
            0,
            out,
            plan.options,
            *_conditions({'when': plan.when}, '', plan, scale, run=name),
            _options_of(block),
            *_conditions(block, f'prepare.{name}.', plan, scale, run=name),
        )
        yield Run(f'{name}_x{scale}', 'prepare', scale, options)


def _caches(runs: list[Run]) -> dict[str, Run]:
    """Return a run for each file that ``datasets.train.target_cache`` names."""
    caches: dict[str, Run] = {}
    for run in runs:
        path = run.options['datasets']['train'].get('target_cache')
        what = run.config.cache_contents
        if path is None or what is None:
            continue
        cache = Run(
            f'cache_{Path(path).stem}',
            'cache',
            run.scale,
            run.options,
            what=what,
            self_ensemble=run.self_ensemble,
        )
        cache.config = run.config
        cache = caches.setdefault(path, cache)
        if (cache.what, cache.self_ensemble) != (what, run.self_ensemble):
            held, wanted = (
                f'{w}{" with" if s else " without"} self_ensemble'
                for w, s in ((cache.what, cache.self_ensemble), (what, run.self_ensemble))
            )
            raise OptionError(
                f"{run.name}: datasets.train.target_cache: '{path}' holds {held} for "
                f'{cache.options["name"]}, '
                f'and {wanted} here; give them two files'
            )
    return caches


def _references(plan: PlanOptions, runs: list[Run]) -> list[Run]:
    """Return a run for each scale that measures bicubic, the teachers, and the target.

    It has the options of one student.
    """
    found: dict[int, Run] = {}
    name = f'references_{plan.name}' if plan.base else 'references'
    for run in runs:
        known = found.get(run.scale)
        if run.kind == 'student' and (
            known is None or len(_sections_used(known.config)) < len(_sections_used(run.config))
        ):
            reference = Run(
                f'{name}_x{run.scale}',
                'references',
                run.scale,
                run.options,
                self_ensemble=any(r.self_ensemble for r in runs if r.scale == run.scale),
            )
            reference.config = run.config
            found[run.scale] = reference
    return list(found.values())


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for v in value.values() for text in _texts(v)]
    if isinstance(value, list):
        return [text for v in value for text in _texts(v)]
    return [value] if isinstance(value, str) else []


def _uses(run: Run, other: Run, out: Path, caches: dict[str, Run]) -> bool:
    """Return whether a run reads what another one writes."""
    if other.kind == 'cache':
        path = run.options['datasets']['train'].get('target_cache')
        return run.kind in ('prepare', 'student') and caches.get(path) is other
    if other.kind != 'prepare' or run is other:
        return False
    folder = Path(out) / 'experiments' / other.name
    # A cache does not depend on what the training that it is for starts from.
    blocks = (
        [run.options.get(key) for key in ('teachers', 'fusion')]
        if run.kind in ('cache', 'references')
        else run.options
    )
    return any(other.name in text and folder in Path(text).parents for text in _texts(blocks))


@functools.lru_cache(maxsize=64)
def _hash_of_version(path: str, modified: int, size: int) -> str | None:
    return sha256(path)


def _hash(path: str) -> str | None:
    """Compute the SHA-256 of a file once for each version of it; None where there is none."""
    if not os.path.isfile(path):
        return None
    status = os.stat(path)
    return _hash_of_version(path, status.st_mtime_ns, status.st_size)


def movable(content: Any, out: Path, **form: Any) -> str:
    """Return content as JSON that does not depend on where the folder of the results is.

    ``{out}`` stands in the place of the folder.
    """
    return json.dumps(content, default=str, **form).replace(json.dumps(str(out))[1:-1], '{out}')


def _own_fingerprint(run: Run, out: Path) -> str:
    """Return what a run depends on, as text; finished results are recognised by it.

    Of a cache these are the options that its ``CacheKey`` comes from. It cannot be the key itself:
    weights that the plan is about to train have no digest yet.
    """
    keys: Iterable[str] = (
        option_keys()
        if run.kind in ('cache', 'references')
        else set(run.options) - set(_INDIFFERENT)
    )
    content: dict[str, Any] = {key: run.options.get(key) for key in sorted(keys)}
    if 'train' in content:
        # What auto is depends on the machine, and is recorded with the result; the first results
        # had bf16.
        content['train'] = dict(content['train'])
        for key in ('amp', 'teacher_precision'):
            if content['train'].get(key) == 'auto':
                content['train'][key] = 'bf16'
    if run.kind == 'cache':
        train = run.options['datasets']['train']
        content.update(
            {key: train.get(key) for key in option_keys('datasets.train')},
            what=run.what,
        )
    if run.self_ensemble and run.kind in ('cache', 'references'):
        content['self_ensemble'] = True
    # Files that the plan itself writes have fingerprints of their own, in the runs that write them.
    blocks = [
        *(run.options.get('teachers') or {}).values(),
        *([run.options['fusion']] if run.options.get('fusion') else []),
    ]
    content['files'] = [
        _hash(weights_file(block['weights'], 'weights'))
        for block in blocks
        if isinstance(block, dict)
        and block.get('weights')
        and not str(block['weights']).startswith(str(out))
    ]
    return movable([run.kind, content], out, sort_keys=True)


def _parse(run: Run) -> None:
    """Set the parsed options of a training; refuse what the plan cannot be worked out with."""
    wrong = structure_errors(run.options)
    if not wrong:
        try:
            run.config = training_config(run.options)
            # What this training does not use, another one of the plan may.
            if run.options.get('teachers') is not None:
                parse_teachers(run.options)
            parse_fusion(run.options)
        except OptionError as error:
            wrong = [str(error)]
    if wrong:
        raise OptionError('\n'.join(f'{run.name}: {text}' for text in wrong))


def expand(plan: PlanOptions, out: Path) -> list[Run]:
    """Return all runs of a plan, each after those that it waits for.

    Args:
        plan: The plan.
        out: Absolute path of the folder of the results.

    Returns:
        The runs, in an order in which they could run one by one.

    Raises:
        OptionError: the plan contradicts itself.
    """
    trainings = [*_prepared(plan, out), *_students(plan, out)]
    for run in trainings:
        _parse(run)
        for key in {'teachers', 'fusion'} - _sections_used(run.config):
            run.options.pop(key, None)
    caches = _caches(trainings)
    runs = [*trainings, *caches.values(), *_references(plan, trainings)]
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"plan: two runs have the name '{name}'")
    for run in runs:
        run.after = {other.name for other in runs if _uses(run, other, out, caches)}
    done: set[str] = set()
    ordered: list[Run] = []
    by_name = {run.name: run for run in runs}
    while len(ordered) < len(runs):
        ready = [run for run in runs if run.name not in done and run.after <= done]
        if not ready:
            raise OptionError(
                'plan: these runs wait for each other: '
                f'{", ".join(n for n in names if n not in done)}'
            )
        for run in ready:
            text = _own_fingerprint(run, out) + ''.join(
                by_name[name].fingerprint for name in sorted(run.after)
            )
            run.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        done |= {run.name for run in ready}
        ordered += ready
    return ordered
