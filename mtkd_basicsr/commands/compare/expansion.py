"""Expansion of a plan: its trainings and caches, their options, and their dependencies."""

import hashlib
import itertools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ...config import TrainingConfig, parse, parse_fusion, parse_teachers
from ...config.plan import OF_METHODS, Condition, PlanOptions
from ...distillers import training_config
from ...errors import OptionError, did_you_mean
from ...host.option_schema import folders_of_training, replaced_folder_errors, structure_errors
from .cache_runs import cache_runs, check_outputs, check_self_ensemble
from .fingerprints import own_fingerprint
from .overlay import fill, merge
from .runs import Run


def _matching_options(
    plan_entry: dict[str, Any],
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
    entries = plan_entry.get('when') or []
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


def _without_plan_keys(plan_entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of a plan without the keys that are not options of a training."""
    return {k: value for k, value in plan_entry.items() if k not in ('when', *OF_METHODS)}


def _placeholders(
    plan: PlanOptions, scale: int, seed: int, out: Path, student: str | None = None
) -> dict[str, Any]:
    """Return the values of the placeholders of a run, by name."""
    values: dict[str, Any] = {
        'scale': scale,
        'seed': seed,
        'out': str(out),
        'gt_size': plan.lq_size * scale,
    }
    if student is not None:
        values['student'] = student
    return values


def _all_options(name: str, values: dict[str, Any], *blocks: dict[str, Any]) -> dict[str, Any]:
    """Return all options of a run: merged blocks with filled placeholders."""
    options = {
        **fill(merge({'name': None}, *blocks), values),
        'name': name,
        'scale': values['scale'],
        'manual_seed': values['seed'],
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
    # Seed by seed: a comparison that is stopped before its end has each method once rather than
    # some methods several times.
    for seed, scale, student, method in itertools.product(
        plan.seeds, plan.scales, plan.students, plan.methods
    ):
        student_block = plan.students[student]
        method_block = plan.methods[method]
        if student not in method_block.get('students', plan.students):
            continue
        name = f'{student}_{method}_x{scale}_s{seed}'
        values = _placeholders(plan, scale, seed, out, student)
        options = _all_options(
            name,
            values,
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
        outputs_from = method_block.get('outputs_from')
        yield Run(
            name,
            'student',
            scale,
            options,
            student,
            method,
            seed,
            self_ensemble=self_ensemble,
            outputs_from=fill(outputs_from, values, f'methods.{method}.outputs_from'),
        )


def _prepare_runs(plan: PlanOptions, out: Path) -> Iterator[Run]:
    for scale, (name, block) in itertools.product(plan.scales, plan.prepare.items()):
        options = _all_options(
            f'{name}_x{scale}',
            _placeholders(plan, scale, 0, out),
            plan.options,
            *_matching_options({'when': plan.when}, '', plan, scale, run=name),
            _without_plan_keys(block),
            *_matching_options(block, f'prepare.{name}.', plan, scale, run=name),
        )
        yield Run(f'{name}_x{scale}', 'prepare', scale, options)


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
            references[run.scale].config = run.config
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
        if run.kind == 'cache':
            return run.outputs_from is not None and caches[run.outputs_from] is other
        path = run.options['datasets']['train'].get('target_cache')
        return run.kind in ('prepare', 'student') and caches.get(path) is other
    if run is other:
        return False
    folder = Path(out) / 'experiments' / other.name
    if other.kind == 'student':  # whose network others may start from
        start = run.config.pretrained_network
        trains = run.kind in ('prepare', 'student')
        return trains and start is not None and folder in Path(start).parents
    if other.kind != 'prepare':
        return False
    options: Any = run.options
    if run.kind in ('cache', 'references'):
        # They do not read the initial weights of the training whose options they have.
        options = [run.options.get(key) for key in ('teachers', 'fusion')]
    return any(other.name in text and folder in Path(text).parents for text in _texts_in(options))


def _parse_options(run: Run, out: Path) -> None:
    """Parse the options of a training; raise if the plan cannot be derived from them."""
    errors = structure_errors(run.options)
    if not errors:
        folders = folders_of_training(str(out), run.name)
        errors = replaced_folder_errors(run.options['path'], folders, is_train=True)
    if not errors:
        try:
            run.config = training_config(run.options)
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
        The runs, in an order in which they could run one by one: what others need first, then the
        students with the first seed, with the next one and so on.

    Raises:
        OptionError: The plan contradicts itself.
    """
    trainings = [*_prepare_runs(plan, out), *_student_runs(plan, out)]
    for run in trainings:
        _parse_options(run, out)
        for key in {'teachers', 'fusion'} - _sections_used(run.config):
            run.options.pop(key, None)
    caches = cache_runs(trainings)
    for run in trainings:
        check_self_ensemble(run)
        check_outputs(run, caches)
    prepared = [run for run in trainings if run.kind == 'prepare']
    students = [run for run in trainings if run.kind == 'student']
    runs = [*prepared, *caches.values(), *students, *_reference_runs(plan, trainings)]
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"plan: two runs have the name '{name}'")
    for run in runs:
        run.after = {other.name for other in runs if _depends_on(run, other, out, caches)}
    return _in_order(runs, out)


def _in_order(runs: list[Run], out: Path) -> list[Run]:
    """Return runs as they are sorted, but each after its predecessors; set their fingerprints."""
    fingerprints: dict[str, str] = {}
    ordered: list[Run] = []
    while len(ordered) < len(runs):
        pending = [run for run in runs if run.name not in fingerprints]
        run = next((run for run in pending if run.after <= set(fingerprints)), None)
        if run is None:
            names = ', '.join(run.name for run in pending)
            raise OptionError(f'plan: these runs wait for each other: {names}')
        predecessors = ''.join(fingerprints[name] for name in sorted(run.after))
        text = own_fingerprint(run, out) + predecessors
        run.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        fingerprints[run.name] = run.fingerprint
        ordered.append(run)
    return ordered
