"""Reading of plan files."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...config import parse, require
from ...config.plan import OF_METHODS, PlanOptions
from ...errors import OptionError, did_you_mean
from ...host.option_schema import is_number, name_errors
from ...host.yaml_loader import read_options
from ...utils.paths import expanded
from .._file_kinds import refuse_other_kind
from .overlay import merge

# What stands at the top of an option file of a training.
_OF_TRAININGS = (
    'model_type',
    'num_gpu',
    'datasets',
    'network_g',
    'teachers',
    'fusion',
    'path',
    'train',
    'val',
    'logger',
    'dist_params',
    # which a plan sets itself
    'name',
    'scale',
    'manual_seed',
)
# The keys of the entries of each block. Others may stand there, as in an option file.
_KNOWN = {
    'options': _OF_TRAININGS,
    'prepare': (*_OF_TRAININGS, 'when', 'base'),
    'students': (*_OF_TRAININGS, 'when', 'base'),
    'methods': (*_OF_TRAININGS, 'when', 'base', *OF_METHODS),
    'test': (
        'dataroot_gt',
        'dataroot_lq',
        'filename_tmpl',
        'io_backend',
        'meta_info_file',
        'name',
        'type',
        'base',
    ),
}
# Keys of blocks with named entries.
_ENTRY_BLOCKS = ('students', 'methods', 'test', 'prepare')


def _check_numbers(values: list[Any], key: str, smallest: int) -> None:
    """Raise if values are not different whole numbers of at least ``smallest``."""
    valid = all(is_number(value, smallest, whole=True) for value in values)
    if not values or not valid or len(set(values)) < len(values):
        raise OptionError(
            f'{key}: {values!r}; expected different whole numbers from {smallest} on, for example '
            '[0, 1, 2]'
        )


def refuse_typos(entry: Mapping[str, Any], known: Iterable[str], key: str) -> None:
    """Raise if an entry has a key that is nearly a known one, and would be ignored.

    Args:
        entry: Options by key.
        known: Known keys.
        key: Key of the entry, for messages.
    """
    names = set(known)
    for name in entry:
        hint = did_you_mean(name, known)
        if name not in names and 'did you mean' in hint:
            raise OptionError(f"{key}: unknown key '{name}'; {hint}")


def _entries(content: dict[str, Any], base: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the entries of a block, each merged with the entry of the base that it names."""
    entries: dict[str, Any] = {}
    for name, block in content[key].items():
        if isinstance(block, dict) and 'base' in block:
            base_name = block['base']
            known = base.get(key) or {}
            if not base:
                raise OptionError(
                    f'{key}.{name}.base: {base_name!r}; allowed only in a plan that has a base '
                    'itself, the file of another plan'
                )
            if not isinstance(base_name, str) or base_name not in known:
                raise OptionError(
                    f'{key}.{name}.base: {base_name!r}; {did_you_mean(base_name, known)}'
                )
            block = merge(known[base_name], {k: v for k, v in block.items() if k != 'base'})
        elif key == 'students' and isinstance(block, dict) and name in (base.get(key) or {}):
            _refuse_part(name, merge(content.get('options', {}), block))
        entries[name] = block
    return entries


def _refuse_part(name: str, merged: dict[str, Any]) -> None:
    """Raise if a student that replaces one of the base is only a part of it.

    Args:
        name: Name of the student.
        merged: Options of all trainings, merged with its own.
    """
    network = merged.get('network_g')
    if not isinstance(network, dict) or network.get('type') is None:
        raise OptionError(
            f'students.{name}: no network_g.type, but this replaces the student of that name in '
            f'the base; to change a part of that one, add base: {name}'
        )


def _with_base(path: str | os.PathLike[str], safe: bool) -> tuple[dict[str, Any], Any]:
    """Return the keys of a plan file, merged with those of its base, and the name of the base."""
    content = dict(read_options(path, safe))
    refuse_other_kind(content, path, 'compare')
    base: dict[str, Any] = {}
    if content.get('base') is not None:
        if not isinstance(content['base'], str):
            raise OptionError(f'base: {content["base"]!r}; expected the file of another plan')
        base = read_options(Path(path).parent / expanded(content['base']), safe)
        if base.get('base') is not None:
            raise OptionError(
                f"base: '{content['base']}' has a base itself; expected a plan without one, such "
                f"as '{base['base']}'"
            )
        if not all(isinstance(block.get('options', {}), dict) for block in (base, content)):
            raise OptionError('options: expected a mapping')
        content['options'] = merge(base.get('options', {}), content.get('options', {}))
    merged = {**base, **content}
    for key in _ENTRY_BLOCKS:
        if isinstance(content.get(key), dict):
            merged[key] = _entries(content, base, key)
    return merged, base.get('name')


def read_plan(path: str | os.PathLike[str], safe: bool = False) -> PlanOptions:
    """Read a plan file.

    Args:
        path: Plan file (YAML).
        safe: Whether to refuse Python tags, so that no code is executed.

    Returns:
        The plan, checked without building anything; its ``base`` is the name of the other plan.

    Raises:
        OptionError: The plan is invalid; names the key, the value and what was expected.
    """
    content, base = _with_base(path, safe)
    plan = parse(PlanOptions, {**content, 'base': base}, 'plan')
    invalid_names = [*name_errors(plan.name), *name_errors(base or plan.name)]
    if invalid_names:
        raise OptionError(invalid_names[0])
    if base == plan.name:
        raise OptionError(f"name: '{base}' is also the name of the base; use another one")
    if not is_number(plan.lq_size, 1, whole=True):
        raise OptionError(f'lq_size: {plan.lq_size!r}; expected a number of pixels from 1 on')
    refuse_typos(plan.options, _KNOWN['options'], 'options')
    _refuse_keys_of_methods(plan.options, 'options')
    _check_numbers(plan.scales, 'scales', 1)
    _check_numbers(plan.seeds, 'seeds', 0)
    for key in _ENTRY_BLOCKS:
        _check_entries(key, getattr(plan, key))
    if plan.baseline not in plan.methods:
        raise OptionError(
            f"baseline: '{plan.baseline}'; {did_you_mean(plan.baseline, plan.methods)}"
        )
    for name, block in plan.methods.items():
        _check_students(f'methods.{name}.students', block, plan)
    for name, block in plan.test.items():
        for key in ('dataroot_gt', 'dataroot_lq'):
            if not isinstance(require({'test': {name: block}}, 'test', name, key), str):
                raise OptionError(f'test.{name}.{key}: {block[key]!r}; expected a folder')
    return plan


def _check_entries(key: str, entries: Mapping[str, Any]) -> None:
    """Raise if a block is not a mapping of valid names to option blocks."""
    if not entries and key != 'prepare':
        raise OptionError(f'{key}: {dict(entries)!r}; expected a mapping of names to option blocks')
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise OptionError(f'{key}.{name}: {entry!r}; expected a mapping of options')
        refuse_typos(entry, _KNOWN[key], f'{key}.{name}')
        if key != 'methods':
            _refuse_keys_of_methods(entry, f'{key}.{name}')
        if not str(name).replace('-', '').replace('+', '').replace('.', '').isalnum():
            raise OptionError(
                f"{key}: the name '{name}' becomes part of file names; expected letters, digits, "
                '-, + and .'
            )


def _refuse_keys_of_methods(entry: Mapping[str, Any], key: str) -> None:
    """Raise for a key of methods that an entry of another block would ignore."""
    for name in OF_METHODS:
        if name in entry:
            raise OptionError(f'{key}.{name}: {entry[name]!r}; allowed only in an entry of methods')


def _check_students(key: str, method: dict[str, Any], plan: PlanOptions) -> None:
    """Raise if a method names students that are not in the plan."""
    known = list(plan.students)
    students = method.get('students', known)
    is_list = isinstance(students, list) and bool(students)
    if not is_list or any(student not in known for student in students):
        raise OptionError(f'{key}: {students!r}; expected a list of some of {", ".join(known)}')
