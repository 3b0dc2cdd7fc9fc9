"""Parsing of the entries of ``teachers``, and of ``fusion``."""

import dataclasses
from typing import Any

from ..errors import OptionError
from ..utils.resources import weights_file
from .collecting import ErrorCollector, RaiseFirst
from .parsing import parse
from .teacher_kinds import TEACHER_KINDS, TeacherConfig, TeacherOptions


def _kind_of(block: Any, key: str) -> type[TeacherConfig]:
    if not isinstance(block, dict):
        return TEACHER_KINDS[0]
    # Kind -> the first of its keys in the entry.
    found: dict[type[TeacherConfig], str] = {}
    for kind in TEACHER_KINDS:
        keys = [name for name in kind.own_keys if name in block]
        if keys:
            found[kind] = keys[0]
    kinds = list(found)
    if len(kinds) > 1:
        first, second = kinds[:2]
        raise OptionError(
            f"{key}: '{found[second]}' and '{found[first]}'; expected either "
            f'{second.described_as}, or {first.described_as}'
        )
    return kinds[0] if kinds else TEACHER_KINDS[0]


def _with_path(config: TeacherOptions, key: str) -> TeacherOptions:
    """Return an entry with ``reference:NAME`` replaced by the path of that file.

    Raises:
        OptionError: The package has no such file.
    """
    return dataclasses.replace(config, weights=weights_file(config.weights, f'{key}.weights'))


def parse_teacher(block: Any, key: str) -> TeacherConfig:
    """Parse one entry of ``teachers``.

    Args:
        block: The entry in the option file.
        key: Its option key, for messages.

    Returns:
        An instance of one of :data:`TEACHER_KINDS`.

    Raises:
        OptionError: The entry has keys of two kinds, or :func:`parse` refuses it.
    """
    kind: Any = _kind_of(block, key)
    config: TeacherConfig = parse(kind, block, key)
    return _with_path(config, key) if isinstance(config, TeacherOptions) else config


def parse_teachers(
    opt: dict[str, Any], errors: ErrorCollector | None = None
) -> dict[str, TeacherConfig]:
    """Parse ``teachers``, preserving the order.

    Args:
        opt: All options.
        errors: Receives the errors; by default the first one is raised.

    Returns:
        The teachers by name, without invalid ones.

    Raises:
        OptionError: There are no teachers, or one of them is invalid.
    """
    errors = RaiseFirst() if errors is None else errors
    entries = opt.get('teachers')
    teachers: dict[str, TeacherConfig] = {}
    with errors.collect_errors():
        if not isinstance(entries, dict) or not entries:
            raise OptionError(
                f'teachers: {entries!r}; expected a mapping of names to a network and its weights, '
                'for example {edsr: {network: {type: EDSR, ...}, weights: edsr.pth}}'
            )
        for name in entries:
            if not isinstance(name, str):
                raise OptionError(f'teachers: the name {name!r} is not a string; put it in quotes')
    # One at a time, so that an invalid entry does not hide errors of the next.
    for name, block in entries.items() if isinstance(entries, dict) else ():
        with errors.collect_errors():
            teachers[name] = parse_teacher(block, f'teachers.{name}')
    return teachers


def parse_fusion(opt: dict[str, Any]) -> TeacherOptions | None:
    """Parse ``fusion``; return None if the option file has none."""
    if opt.get('fusion') is None:
        return None
    return _with_path(parse(TeacherOptions, opt['fusion'], 'fusion'), 'fusion')
