"""Parsing of the entries of ``teachers``, and of ``fusion``."""

from typing import Any

from ..errors import OptionError
from .collecting import ErrorCollector, RaiseFirst
from .parsing import parse
from .teacher_kinds import TEACHER_KINDS, TeacherConfig, TeacherOptions


def _kind_of(block: Any, key: str) -> type[TeacherConfig]:
    if not isinstance(block, dict):
        return TEACHER_KINDS[0]
    found = []
    for kind in TEACHER_KINDS:
        keys = [name for name in kind.own_keys if name in block]
        if keys:
            found.append((kind, keys[0]))
    if len(found) > 1:
        (second, second_key), (first, first_key) = found[1], found[0]
        raise OptionError(
            f"{key}: '{second_key}' and '{first_key}'; expected either {second.described_as}, or "
            f'{first.described_as}'
        )
    return found[0][0] if found else TEACHER_KINDS[0]


def parse_teacher(block: Any, key: str) -> TeacherConfig:
    """Parse one entry of ``teachers``.

    Args:
        block: What stands in the option file.
        key: Where it stands, for messages.

    Returns:
        An instance of one of :data:`TEACHER_KINDS`.

    Raises:
        OptionError: As :func:`parse`, or keys of two kinds in one entry.
    """
    kind: Any = _kind_of(block, key)
    config: TeacherConfig = parse(kind, block, key)
    return config.resolved(key)


def parse_teachers(
    opt: dict[str, Any], errors: ErrorCollector | None = None
) -> dict[str, TeacherConfig]:
    """Parse ``teachers``, in its order.

    Args:
        opt: All options.
        errors: Takes the errors; by default the first one is raised.

    Returns:
        The teachers by name; without those that were wrong.

    Raises:
        OptionError: No teachers, or something is wrong with one of them.
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
                raise OptionError(f'teachers: the name {name!r} is not a text; put it in quotes')
    # One by one, so that one that is wrong does not hide the next.
    for name, block in entries.items() if isinstance(entries, dict) else ():
        with errors.collect_errors():
            teachers[name] = parse_teacher(block, f'teachers.{name}')
    return teachers


def parse_fusion(opt: dict[str, Any]) -> TeacherOptions | None:
    """Parse ``fusion``; return None where the option file has none."""
    if opt.get('fusion') is None:
        return None
    return parse(TeacherOptions, opt['fusion'], 'fusion').resolved('fusion')
