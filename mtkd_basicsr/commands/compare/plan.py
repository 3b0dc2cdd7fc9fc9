"""Reading the plan of a comparison."""

import os
from pathlib import Path
from typing import Any

from ...config import parse, require
from ...config.plan import PlanOptions
from ...errors import OptionError, did_you_mean
from ...host.option_schema import is_number, name_errors
from ...host.yaml_loader import read_options
from .overlay import merge

# Blocks of named entries.
_NAMED = ('students', 'methods', 'test', 'prepare')


def _numbers(values: list[Any], key: str, smallest: int) -> None:
    if (
        not values
        or any(not isinstance(v, int) or isinstance(v, bool) or v < smallest for v in values)
        or len(set(values)) < len(values)
    ):
        raise OptionError(
            f'{key}: {values!r}; expected different whole numbers from {smallest} on, for example '
            '[0, 1, 2]'
        )


def _entries(content: dict[str, Any], base: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the entries of a block, each laid over the one of the base that it names."""
    entries: dict[str, Any] = {}
    for name, block in content[key].items():
        if isinstance(block, dict) and 'base' in block:
            below = block['base']
            known = base.get(key) or {}
            if not base:
                raise OptionError(
                    f'{key}.{name}.base: {below!r}; only in a plan that has a base itself, the '
                    'file of another plan'
                )
            if not isinstance(below, str) or below not in known:
                raise OptionError(f'{key}.{name}.base: {below!r}; {did_you_mean(below, known)}')
            block = merge(known[below], {k: v for k, v in block.items() if k != 'base'})
        entries[name] = block
    return entries


def _with_base(path: str | os.PathLike[str], safe: bool) -> tuple[dict[str, Any], Any]:
    """Return the keys of a plan file, and the name of the plan that it is based on."""
    content = dict(read_options(path, safe))
    base: dict[str, Any] = {}
    if content.get('base') is not None:
        if not isinstance(content['base'], str):
            raise OptionError(f'base: {content["base"]!r}; expected the file of another plan')
        base = read_options(Path(path).parent / content['base'], safe)
        if base.get('base') is not None:
            raise OptionError(
                f"base: '{content['base']}' has a base itself, '{base['base']}'; name that one"
            )
        if not all(isinstance(block.get('options', {}), dict) for block in (base, content)):
            raise OptionError('options: expected a mapping')
        content['options'] = merge(base.get('options', {}), content.get('options', {}))
    entries = {
        key: _entries(content, base, key) for key in _NAMED if isinstance(content.get(key), dict)
    }
    return {**base, **content, **entries}, base.get('name')


def read_plan(path: str | os.PathLike[str], safe: bool = False) -> PlanOptions:
    """Read a plan file.

    Args:
        path: YAML.
        safe: Execute nothing that the plan names.

    Returns:
        The plan, checked as far as that is possible without building anything; ``base`` is
            the name of the other plan.

    Raises:
        OptionError: names the key, the value, and what was expected.
    """
    content, base = _with_base(path, safe)
    plan = parse(PlanOptions, {**content, 'base': base}, 'plan')
    for text in (text for name in (plan.name, base or plan.name) for text in name_errors(name)):
        raise OptionError(text)
    if base == plan.name:
        raise OptionError(f"name: '{base}' is also that of the base; use another one")
    if not is_number(plan.lq_size, 1, whole=True):
        raise OptionError(f'lq_size: {plan.lq_size!r}; expected a number of pixels from 1 on')
    _numbers(plan.scales, 'scales', 1)
    _numbers(plan.seeds, 'seeds', 0)
    for key in _NAMED:
        block = getattr(plan, key)
        if not (block or key == 'prepare') or not all(isinstance(v, dict) for v in block.values()):
            raise OptionError(
                f'{key}: {dict(block)!r}; expected a mapping of names to option blocks'
            )
        for name in block:
            if not str(name).replace('-', '').replace('+', '').replace('.', '').isalnum():
                raise OptionError(
                    f"{key}: the name '{name}' is part of the names of files; expected letters, "
                    'digits, -, + and .'
                )
    if plan.baseline not in plan.methods:
        raise OptionError(
            f"baseline: '{plan.baseline}'; {did_you_mean(plan.baseline, plan.methods)}"
        )
    for name, block in plan.methods.items():
        students = block.get('students', list(plan.students))
        if (
            not isinstance(students, list)
            or not students
            or any(student not in list(plan.students) for student in students)
        ):
            raise OptionError(
                f'methods.{name}.students: {students!r}; expected a list of some of '
                f'{", ".join(plan.students)}'
            )
    for name, block in plan.test.items():
        for key in ('dataroot_gt', 'dataroot_lq'):
            if not isinstance(require({'test': {name: block}}, 'test', name, key), str):
                raise OptionError(f'test.{name}.{key}: {block[key]!r}; expected a folder')
    return plan
