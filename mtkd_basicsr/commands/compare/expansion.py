"""Expansion of a plan: its trainings and caches, their options, and their dependencies."""

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config import TrainingConfig, parse, parse_fusion, parse_teachers
from ...config.plan import Condition, PlanOptions
from ...data.cache.key import option_keys
from ...distillers import training_config
from ...errors import OptionError, did_you_mean
from ...host.option_schema import structure_errors
from ...utils.choices import CacheContents
from ...utils.digest import sha256
from ...utils.resources import weights_file
from .overlay import fill, merge

# Option keys that do not change the result of a training.
_KEYS_WITHOUT_EFFECT = ('num_gpu', 'logger', 'dist_params')


@dataclass
class Run:
    """A run of a plan.

    Attributes:
        name: Name of the folder in ``experiments/``, or of the file in ``caches/``.
        kind: ``'prepare'`` (a training that others build on), ``'cache'``,
            ``'references'`` (bicubic, teachers and target on the test sets), or ``'student'``.
        scale: Factor.
        options: All options of its option file.
        student, method, seed: Student, method and seed of a ``'student'`` run.
        contents: Contents of a cache: ``'target'`` or ``'teachers'``.
        self_ensemble: For a cache and its students: whether targets are averaged over eight flips
            and rotations. For references: whether a student learns from such a cache.
        after: Names of the runs that must finish first.
        fingerprint: Hash of the options and of the fingerprints of all runs in ``after``.
    """

    name: str
    kind: str
    scale: int
    options: dict[str, Any]
    student: str | None = None
    method: str | None = None
    seed: int | None = None
    contents: CacheContents | None = None
    self_ensemble: bool = False
    after: set[str] = field(default_factory=set)
    fingerprint: str = ''

    @functools.cached_property
    def config(self) -> TrainingConfig:
        """Return the parsed options.

        Raises:
            OptionError: An option is invalid.
        """
        return training_config(self.options)


def _matching_options(
    block: dict[str, Any],
    key: str,
    plan: PlanOptions,
    scale: int,
    student: str | None = None,
    run: str | None = None,
) -> list[dict[str, Any]]:
    """Return the options of the entries of ``when`` whose conditions a run meets.

    ``key`` is that of the block, with a final dot. A run is a student or an entry of ``prepare``.
    """
    matching = []
    entries = block.get('when') or []
    if not isinstance(entries, list):
        raise OptionError(f'{key}when: {entries!r}; expected a list')
    for i, entry in enumerate(entries):
        condition = parse(Condition, entry, f'{key}when[{i}]')
        # Required value, value of the run, known values, key.
        requirements: tuple[tuple[Any, Any, Collection[Any], str], ...] = (
            (condition.student, student, plan.students, 'student'),
            (condition.scale, scale, plan.scales, 'scale'),
            (condition.run, run, plan.prepare, 'run'),
        )
        matches = True
        for required, actual, known, name in requirements:
            if required is None:
                continue
            if required not in known:
                hint = did_you_mean(required, known)
                raise OptionError(f'{key}when[{i}].{name}: {required!r}; {hint}')
            matches = matches and required == actual
        if matches:
            matching.append(condition.options)
    return matching


def _without_plan_keys(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block without the keys that are not options of a training."""
    return {k: v for k, v in block.items() if k not in ('when', 'self_ensemble', 'students')}


def _all_options(
    plan: PlanOptions, name: str, scale: int, seed: int, out: Path, *blocks: dict[str, Any]
) -> dict[str, Any]:
    """Return all options of a run: merged blocks with filled placeholders."""
    values = {'scale': scale, 'seed': seed, 'out': str(out), 'gt_size': plan.lq_size * scale}
    options = {
        **fill(merge({'name': None}, *blocks), values),
        'name': name,
        'scale': scale,
        'manual_seed': seed,
    }
    if isinstance(options.get('teachers'), dict):  # null removes a teacher
        options['teachers'] = {
            teacher: block for teacher, block in options['teachers'].items() if block is not None
        }
    return options


def _sections_used(config: TrainingConfig) -> set[str]:
    """Return which of ``teachers`` and ``fusion`` a training uses."""
    used = set()
    if config.uses_teachers:
        used.add('teachers')
    if config.uses_fusion:
        used.add('fusion')
    return used


def _student_runs(plan: PlanOptions, out: Path) -> Iterator[Run]:
    for scale, student, method, seed in itertools.product(
        plan.scales, plan.students, plan.methods, plan.seeds
    ):
        student_block = plan.students[student]
        method_block = plan.methods[method]
        if student not in method_block.get('students', plan.students):
            continue
        name = f'{student}_{method}_x{scale}_s{seed}'
        options = _all_options(
            plan,
            name,
            scale,
            seed,
            out,
            plan.options,
            *_matching_options({'when': plan.when}, '', plan, scale, student),
            _without_plan_keys(student_block),
            *_matching_options(student_block, f'students.{student}.', plan, scale, student),
            _without_plan_keys(method_block),
            *_matching_options(method_block, f'methods.{method}.', plan, scale, student),
        )
        options.setdefault('model_type', 'KDModel')
        self_ensemble = method_block.get('self_ensemble', False)
        if not isinstance(self_ensemble, bool):
            raise OptionError(
                f'methods.{method}.self_ensemble: {self_ensemble!r}; expected true or false'
            )
        yield Run(
            name, 'student', scale, options, student, method, seed, self_ensemble=self_ensemble
        )


def _prepare_runs(plan: PlanOptions, out: Path) -> Iterator[Run]:
    for scale, (name, block) in itertools.product(plan.scales, plan.prepare.items()):
        options = _all_options(
            plan,
            f'{name}_x{scale}',
            scale,
            0,
            out,
            plan.options,
            *_matching_options({'when': plan.when}, '', plan, scale, run=name),
            _without_plan_keys(block),
            *_matching_options(block, f'prepare.{name}.', plan, scale, run=name),
        )
        yield Run(f'{name}_x{scale}', 'prepare', scale, options)


def _describe_cache(contents: CacheContents | None, self_ensemble: bool) -> str:
    return f'{contents} {"with" if self_ensemble else "without"} self_ensemble'


def _cache_runs(runs: list[Run]) -> dict[str, Run]:
    """Return a run for each file that ``datasets.train.target_cache`` names, by path."""
    caches: dict[str, Run] = {}
    for run in runs:
        path = run.options['datasets']['train'].get('target_cache')
        contents = run.config.cache_contents
        if path is None or contents is None:
            continue
        cache = caches.setdefault(
            path,
            Run(
                f'cache_{Path(path).stem}',
                'cache',
                run.scale,
                run.options,
                contents=contents,
                self_ensemble=run.self_ensemble,
            ),
        )
        first = _describe_cache(cache.contents, cache.self_ensemble)
        second = _describe_cache(contents, run.self_ensemble)
        if first != second:
            raise OptionError(
                f"{run.name}: datasets.train.target_cache: '{path}' holds {first} for "
                f'{cache.options["name"]}, and {second} here; use two files'
            )
    return caches


def _reference_runs(plan: PlanOptions, runs: list[Run]) -> list[Run]:
    """Return a run for each scale that measures bicubic, the teachers and the target.

    It has the options of the student that uses the most of ``teachers`` and ``fusion``.
    """
    references: dict[int, Run] = {}
    name = f'references_{plan.name}' if plan.base else 'references'
    for run in runs:
        if run.kind != 'student':
            continue
        present = references.get(run.scale)
        if present is None or (
            len(_sections_used(present.config)) < len(_sections_used(run.config))
        ):
            references[run.scale] = Run(
                f'{name}_x{run.scale}',
                'references',
                run.scale,
                run.options,
                self_ensemble=any(r.self_ensemble for r in runs if r.scale == run.scale),
            )
    return list(references.values())


def _texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in nested mappings and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _texts_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts_in(entry)


def _depends_on(run: Run, other: Run, out: Path, caches: dict[str, Run]) -> bool:
    """Return whether a run reads a file that another run writes."""
    if other.kind == 'cache':
        path = run.options['datasets']['train'].get('target_cache')
        return run.kind in ('prepare', 'student') and caches.get(path) is other
    if other.kind != 'prepare' or run is other:
        return False
    folder = Path(out) / 'experiments' / other.name
    options: Any = run.options
    if run.kind in ('cache', 'references'):
        # They do not read the initial weights of the training whose options they have.
        options = [run.options.get(key) for key in ('teachers', 'fusion')]
    return any(other.name in text and folder in Path(text).parents for text in _texts_in(options))


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


def _own_fingerprint(run: Run, out: Path) -> str:
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
        # bf16, the value of the oldest results.
        content['train'] = dict(content['train'])
        for key in ('amp', 'teacher_precision'):
            if content['train'].get(key) == 'auto':
                content['train'][key] = 'bf16'
    if run.kind == 'cache':
        train = run.options['datasets']['train']
        content.update({key: train.get(key) for key in option_keys('datasets.train')})
        content['what'] = run.contents
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
    for block in blocks:
        weights = block.get('weights') if isinstance(block, dict) else None
        if weights and not str(weights).startswith(str(out)):
            digests.append(_hash(weights_file(weights, 'weights')))
    return digests


def _check_options(run: Run) -> None:
    """Raise if a training has options that the rest of the plan cannot be derived from."""
    errors = structure_errors(run.options)
    if not errors:
        try:
            _ = run.config
            # Also sections that this training does not use: another training may use them.
            if run.options.get('teachers') is not None:
                parse_teachers(run.options)
            parse_fusion(run.options)
        except OptionError as error:
            errors = [str(error)]
    if errors:
        raise OptionError('\n'.join(f'{run.name}: {text}' for text in errors))


def expand(plan: PlanOptions, out: Path) -> list[Run]:
    """Return all runs of a plan, each after its predecessors.

    Args:
        plan: The plan.
        out: Absolute path of the folder of the results.

    Returns:
        The runs, in an order in which they could run one by one.

    Raises:
        OptionError: The plan contradicts itself.
    """
    trainings = [*_prepare_runs(plan, out), *_student_runs(plan, out)]
    for run in trainings:
        _check_options(run)
        for key in {'teachers', 'fusion'} - _sections_used(run.config):
            run.options.pop(key, None)
    caches = _cache_runs(trainings)
    runs = [*trainings, *caches.values(), *_reference_runs(plan, trainings)]
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"plan: two runs have the name '{name}'")
    for run in runs:
        run.after = {other.name for other in runs if _depends_on(run, other, out, caches)}
    return _in_order(runs, out)


def _in_order(runs: list[Run], out: Path) -> list[Run]:
    """Return runs in an order in which they could run, and set their fingerprints."""
    fingerprints: dict[str, str] = {}
    ordered: list[Run] = []
    while len(ordered) < len(runs):
        pending = [run for run in runs if run.name not in fingerprints]
        ready = [run for run in pending if run.after <= set(fingerprints)]
        if not ready:
            names = ', '.join(run.name for run in pending)
            raise OptionError(f'plan: these runs wait for each other: {names}')
        for run in ready:
            predecessors = ''.join(fingerprints[name] for name in sorted(run.after))
            text = _own_fingerprint(run, out) + predecessors
            run.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        fingerprints.update({run.name: run.fingerprint for run in ready})
        ordered += ready
    return ordered
