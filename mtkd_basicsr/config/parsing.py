"""Reading our blocks out of the options that BasicSR has parsed.

Models parse before BasicSR takes the options apart (it pops ``type`` out of several blocks). An
unknown key is refused with the nearest known one; so is a missing one, a value of the wrong type,
and a key of BasicSR's blocks that looks like one of ours misspelled.
"""

import dataclasses
import difflib
import typing
from collections.abc import Collection
from typing import Any, ClassVar, Protocol, TypeVar

from ..errors import OptionError, did_you_mean
from ..utils.choices import PRECISIONS
from ..utils.resources import weights_file
from .schema import (
    OURS,
    FolderOptions,
    LoggerOptions,
    SpeedOptions,
    TeacherOptions,
    TrainOptions,
    ValOptions,
)


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


_Options = TypeVar('_Options', bound=_Dataclass)

_TYPES: dict[type, str] = {
    dict: 'a mapping',
    list: 'a list',
    str: 'a text',
    bool: 'true or false',
    int: 'a whole number',
    float: 'a number',
}


def _check_type(value: Any, annotation: Any, key: str) -> None:
    optional = getattr(annotation, '__args__', None)
    kind = optional[0] if optional else annotation
    accepted = (int, float) if kind is float else kind
    if (value is None and optional) or (
        isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    ):
        return
    raise OptionError(
        f'{key}: {value!r}; expected {_TYPES[kind]}{" or nothing (~)" if optional else ""}'
    )


def parse(cls: type[_Options], block: Any, key: str) -> _Options:
    """Build a dataclass out of a mapping of an option file.

    Args:
        cls: A dataclass, of which the option file can set every field.
        block: What stands in the option file.
        key: Where it stands, for messages: ``'teachers.edsr'``.

    Returns:
        An instance of ``cls``.

    Raises:
        OptionError: Not a mapping, an unknown or missing key, a value of the wrong type.
    """
    if not isinstance(block, dict):
        raise OptionError(
            f'{key}: {block!r}; expected a mapping with the keys '
            f'{", ".join(f.name for f in dataclasses.fields(cls))}'
        )
    fields = {f.name: f for f in dataclasses.fields(cls)}
    types = typing.get_type_hints(cls)
    for name, value in block.items():
        if name not in fields:
            raise OptionError(f"{key}: unknown key '{name}'; {did_you_mean(name, fields)}")
        _check_type(value, types[name], f'{key}.{name}')
    for name, field in fields.items():
        if name not in block and field.default is field.default_factory is dataclasses.MISSING:
            raise OptionError(f"{key}: key '{name}' is missing; it is needed")
    return cls(**block)


def choice(value: Any, known: Collection[str], key: str) -> None:
    """Raise if a value is none of the known ones.

    Args:
        value: What stands in the option file.
        known: What may stand there.
        key: Where it stands, for messages.

    Raises:
        OptionError: Names the key, the value, and what is known.
    """
    if value not in known:
        raise OptionError(f'{key}: {value!r}; {did_you_mean(value, known)}')


def parse_teacher(block: Any, key: str) -> TeacherOptions | FolderOptions:
    """Parse one entry of ``teachers:``.

    Args:
        block: What stands in the option file.
        key: Where it stands, for messages.

    Returns:
        A network, or a folder of images.

    Raises:
        OptionError: As :func:`parse`, or both kinds in one.
    """
    folder = [
        f.name
        for f in dataclasses.fields(FolderOptions)
        if isinstance(block, dict) and f.name in block
    ]
    network = [name for name in ('network', 'weights') if isinstance(block, dict) and name in block]
    if folder and network:
        raise OptionError(
            f"{key}: '{folder[0]}' and '{network[0]}'; expected either images, a folder of "
            'outputs, or network and weights'
        )
    if folder:
        return parse(FolderOptions, block, key)
    return _with_file(parse(TeacherOptions, block, key), key)


def _with_file(options: TeacherOptions, key: str) -> TeacherOptions:
    return dataclasses.replace(options, weights=weights_file(options.weights, f'{key}.weights'))


def parse_teachers(opt: dict[str, Any]) -> dict[str, TeacherOptions | FolderOptions]:
    """Parse ``teachers:``, in its order.

    Args:
        opt: All options.

    Returns:
        The teachers by name.

    Raises:
        OptionError: No teachers, or something is wrong with one of them.
    """
    teachers = opt.get('teachers')
    if not isinstance(teachers, dict) or not teachers:
        raise OptionError(
            f'teachers: {teachers!r}; expected a mapping of names to a network and its weights, '
            'for example {edsr: {network: {type: EDSR, ...}, weights: edsr.pth}}'
        )
    for name in teachers:
        if not isinstance(name, str):
            raise OptionError(f'teachers: the name {name!r} is not a text; put it in quotes')
    return {name: parse_teacher(block, f'teachers.{name}') for name, block in teachers.items()}


def parse_fusion(opt: dict[str, Any]) -> TeacherOptions | None:
    """Parse ``fusion:``; return None where the option file has none."""
    if opt.get('fusion') is None:
        return None
    return _with_file(parse(TeacherOptions, opt['fusion'], 'fusion'), 'fusion')


def parse_val(opt: dict[str, Any]) -> ValOptions:
    """Parse our keys of ``val:``.

    Raises:
        OptionError: Tile or overlap cannot be used.
    """
    names = [f.name for f in dataclasses.fields(ValOptions)]
    val = parse(ValOptions, {k: v for k, v in (opt.get('val') or {}).items() if k in names}, 'val')
    if val.tile is not None and val.tile < 1:
        raise OptionError(
            f'val.tile: {val.tile}; expected a number of pixels from 1 on, or nothing (~) for '
            'whole images'
        )
    if val.tile_overlap < 0 or (val.tile is not None and val.tile_overlap >= val.tile):
        raise OptionError(
            f'val.tile_overlap: {val.tile_overlap}; expected a number of pixels from 0 on, '
            f'less than val.tile, {val.tile}'
        )
    return val


def parse_speed(opt: dict[str, Any]) -> SpeedOptions:
    """Parse the keys of ``train`` that make it faster.

    They are ``amp``, ``teacher_precision``, ``channels_last`` and ``compile``.

    Raises:
        OptionError: A value that is not known.
    """
    names = [f.name for f in dataclasses.fields(SpeedOptions)]
    speed = parse(SpeedOptions, {k: v for k, v in opt['train'].items() if k in names}, 'train')
    for name, nothing in (
        ('amp', 'fp32'),
        ('teacher_precision', 'auto on a GPU and fp32 on a CPU'),
    ):
        value = getattr(speed, name)
        if value is not None and value not in PRECISIONS:
            raise OptionError(
                f'train.{name}: {value!r}; {did_you_mean(value, PRECISIONS)}; nothing (~) is '
                f'{nothing}'
            )
    return speed


def parse_max_skipped(opt: dict[str, Any]) -> int:
    """Parse ``train.max_skipped``.

    Raises:
        OptionError: Not a number of steps.
    """
    return _number(
        opt['train'].get('max_skipped', TrainOptions.max_skipped), 0, 'steps', 'train.max_skipped'
    )


def parse_keep_last(opt: dict[str, Any]) -> int | None:
    """Parse ``logger.keep_last``; None keeps all.

    Raises:
        OptionError: Not a number of checkpoints.
    """
    keep = opt['logger'].get('keep_last', LoggerOptions.keep_last)
    return None if keep is None else _number(keep, 1, 'checkpoints', 'logger.keep_last')


def _number(value: Any, least: int, of: str, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise OptionError(f'{key}: {value!r}; expected a number of {of}, from {least} on')
    return value


def parse_mix_batches(opt: dict[str, Any]) -> int:
    """Parse ``train.mix_batches``, 0 where it is left out.

    Raises:
        OptionError: Not a number of batches, or the fusion network has no mix.
    """
    value = opt['train'].get('mix_batches', TrainOptions.mix_batches)
    for name in ('amp', 'channels_last', 'compile'):
        # fp32 is what stage 1 runs in.
        if opt['train'].get(name) and opt['train'][name] != 'fp32':
            raise OptionError(
                f'train.{name}: {opt["train"][name]!r}; it is for students, not for stage 1'
            )
    batches = _number(value, 0, 'batches', 'train.mix_batches')
    if batches and opt['network_g'].get('skip') not in ('learned', 'adaptive'):
        raise OptionError(
            f'train.mix_batches: {batches}, but network_g.skip is '
            f'{opt["network_g"].get("skip")!r}; '
            "only 'learned' and 'adaptive' have a mix"
        )
    return batches


def check_near_misses(opt: dict[str, Any]) -> None:
    """Raise if a key of BasicSR's blocks is one of ours, misspelled.

    BasicSR would ignore it in silence.

    Raises:
        OptionError: Names the key and the one that was probably meant.
    """
    for block, classes in OURS.items():
        ours = [f.name for cls in classes for f in dataclasses.fields(cls)]
        found: Any = opt
        for name in filter(None, block.split('.')):
            found = (found.get(name) if isinstance(found, dict) else None) or {}
        for key in found:
            near = difflib.get_close_matches(str(key), ours, n=1, cutoff=0.8)
            if near and key not in ours:
                where = f'{block}.{key}' if block else key
                raise OptionError(f"{where}: unknown key '{key}' (did you mean '{near[0]}'?)")


def require(opt: dict[str, Any], *path: str) -> Any:
    """Return the value at a path of keys.

    Args:
        opt: All options.
        *path: Keys from the outside in.

    Returns:
        The value.

    Raises:
        OptionError: A key is missing or empty.
    """
    value: Any = opt
    for i, key in enumerate(path):
        value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise OptionError(f'{".".join(path[: i + 1])}: missing; it is needed here')
    return value
