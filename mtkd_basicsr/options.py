"""Our blocks of an option file as frozen dataclasses. BasicSR's own keys are left to BasicSR.

Models parse before BasicSR takes the options apart (it pops ``type`` out of several blocks). An unknown key is refused
with the nearest known one; so is a missing one, a value of the wrong type, and a key of BasicSR's blocks that looks like
one of ours misspelled.
"""

import dataclasses
import difflib
import typing
from dataclasses import dataclass
from typing import Optional

from .errors import OptionError, did_you_mean


@dataclass(frozen=True)
class FileOptions:
    """Our blocks of an option file.

    Attributes:
        teachers: Names, each with a network and its weights. Every model needs them but ``KDModel`` with ``Scratch``; testing a student
            needs none.
        fusion: The trained fusion network, for the method ``MTKD``.
    """
    teachers: Optional[dict] = None
    fusion: Optional[dict] = None


@dataclass(frozen=True)
class DatasetOptions:
    """Our key of ``datasets.train``, with ``type: DistillImageDataset``.

    Attributes:
        target_cache: LMDB that ``mtkd cache`` makes. Where there is none the teachers run at every step.
    """
    target_cache: Optional[str] = None


@dataclass(frozen=True)
class TrainOptions:
    """Our keys of ``train``.

    Attributes:
        pixel_opt: Loss against the ground truth: ``type`` and arguments of a loss that BasicSR knows.
        distill_opt: Loss against the target: the fused image, or the output of one teacher. ``MTKD`` and ``LogitKD`` need it.
        kd: The method, with its keys. ``MTKDModel`` takes ``{type: MTKD}`` where it is left out.
        mix_batches: Stage 1 with ``skip: learned`` or ``adaptive``: number of first batches from which the best mix of the teachers is
            computed. 0 starts at their mean.
    """
    pixel_opt: dict
    distill_opt: Optional[dict] = None
    kd: Optional[dict] = None
    mix_batches: int = 0


@dataclass(frozen=True)
class TeacherOptions:
    """One entry of ``teachers:``, or ``fusion:``: a network and its weights.

    Attributes:
        network: ``type`` and arguments of a network that BasicSR knows.
        weights: File with its weights.
        strict: Names in the file and in the network have to be the same. Shapes have to in any case.
        param_key: Which entry of the file; ``~`` takes ``params_ema``, else ``params``, else the file itself.
    """
    network: dict
    weights: str
    strict: bool = True
    param_key: Optional[str] = None


@dataclass(frozen=True)
class KDOptions:
    """``train.kd``: the keys that every distillation method has. Most have more, in ``distillers/``.

    Attributes:
        type: Name of the method.
        teacher: Which of ``teachers`` a method with one teacher learns from; ``~`` takes the only one.
        also: Methods whose losses are added: names, or mappings with ``type`` and keys.
    """
    type: str
    teacher: Optional[str] = None
    also: Optional[list] = None


@dataclass(frozen=True)
class ValOptions:
    """Our keys of ``val``: tiled inference.

    Attributes:
        tile: Height and width of tiles in low-resolution pixels, for images that do not fit into memory; ``~`` takes whole images.
        tile_overlap: What neighbouring tiles share, in low-resolution pixels.
    """
    tile: Optional[int] = None
    tile_overlap: int = 16


@dataclass(frozen=True)
class SpeedOptions:
    """Our keys of ``train`` that make the student faster; with their defaults nothing changes by a bit.

    Attributes:
        amp: ``bf16``: the student runs in bfloat16 autocast; ``~`` is fp32.
        compile: The student is compiled by ``torch.compile``.
    """
    amp: Optional[str] = None
    compile: bool = False


# Keys that we add to blocks which otherwise belong to BasicSR: a near miss of one of them is a typing error.
OURS = {'': (FileOptions, ), 'datasets.train': (DatasetOptions, ), 'train': (TrainOptions, SpeedOptions), 'val': (ValOptions, )}

_TYPES = {dict: 'a mapping', list: 'a list', str: 'a text', bool: 'true or false', int: 'a whole number', float: 'a number'}


def _check_type(value, annotation, key):
    optional = getattr(annotation, '__args__', None)
    kind = optional[0] if optional else annotation
    accepted = (int, float) if kind is float else kind
    if (value is None and optional) or (isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))):
        return
    raise OptionError(f'{key}: {value!r}; expected {_TYPES[kind]}{" or nothing (~)" if optional else ""}')


def parse(cls, block, key):
    """Builds a dataclass out of a mapping of an option file.

    Args:
        cls: A dataclass of this module.
        block: What stands in the option file.
        key (str): Where it stands, for messages: ``'teachers.edsr'``.

    Returns:
        An instance of ``cls``.

    Raises:
        OptionError: not a mapping, an unknown or missing key, a value of the wrong type.
    """
    if not isinstance(block, dict):
        raise OptionError(f'{key}: {block!r}; expected a mapping with the keys '
                          f"{', '.join(f.name for f in dataclasses.fields(cls))}")
    fields, types = {f.name: f for f in dataclasses.fields(cls)}, typing.get_type_hints(cls)
    for name, value in block.items():
        if name not in fields:
            raise OptionError(f"{key}: unknown key '{name}'; {did_you_mean(name, fields)}")
        _check_type(value, types[name], f'{key}.{name}')
    for name, field in fields.items():
        if name not in block and field.default is field.default_factory is dataclasses.MISSING:
            raise OptionError(f"{key}: key '{name}' is missing; it is needed")
    return cls(**block)


def choice(value, known, key):
    """Refuses a value that is none of the known ones.

    Raises:
        OptionError: names the key, the value, and what is known.
    """
    if value not in known:
        raise OptionError(f"{key}: {value!r}; {did_you_mean(value, known)}")


def parse_teachers(opt):
    """``teachers:`` in its order.

    Args:
        opt (dict): All options.

    Returns:
        dict[str, TeacherOptions]: By name.

    Raises:
        OptionError: no teachers, or something is wrong with one of them.
    """
    teachers = opt.get('teachers')
    if not isinstance(teachers, dict) or not teachers:
        raise OptionError(f'teachers: {teachers!r}; expected a mapping of names to a network and its weights, '
                          'for example {edsr: {network: {type: EDSR, ...}, weights: edsr.pth}}')
    for name in teachers:
        if not isinstance(name, str):
            raise OptionError(f'teachers: the name {name!r} is not a text; put it in quotes')
    return {name: parse(TeacherOptions, block, f'teachers.{name}') for name, block in teachers.items()}


def parse_fusion(opt):
    """``fusion:``, or None where the option file has none."""
    return None if opt.get('fusion') is None else parse(TeacherOptions, opt['fusion'], 'fusion')


def parse_val(opt):
    """Our keys of ``val:``.

    Raises:
        OptionError: tile or overlap cannot be used.
    """
    names = [f.name for f in dataclasses.fields(ValOptions)]
    val = parse(ValOptions, {k: v for k, v in (opt.get('val') or {}).items() if k in names}, 'val')
    if val.tile is not None and val.tile < 1:
        raise OptionError(f'val.tile: {val.tile}; expected a number of pixels from 1 on, or nothing (~) for whole images')
    if val.tile_overlap < 0 or (val.tile is not None and val.tile_overlap >= val.tile):
        raise OptionError(f'val.tile_overlap: {val.tile_overlap}; expected a number of pixels from 0 on, '
                          f'less than val.tile, {val.tile}')
    return val


def parse_speed(opt):
    """``train.amp`` and ``train.compile``.

    Raises:
        OptionError: a value that is not known.
    """
    names = [f.name for f in dataclasses.fields(SpeedOptions)]
    speed = parse(SpeedOptions, {k: v for k, v in opt['train'].items() if k in names}, 'train')
    if speed.amp not in (None, 'bf16'):
        raise OptionError(f"train.amp: {speed.amp!r}; expected bf16, or nothing (~) for fp32")
    return speed


def parse_mix_batches(opt):
    """``train.mix_batches``, 0 where it is left out.

    Raises:
        OptionError: not a number of batches, or the fusion network has no mix.
    """
    batches = opt['train'].get('mix_batches', TrainOptions.mix_batches)
    for name in ('amp', 'compile'):
        if opt['train'].get(name):
            raise OptionError(f"train.{name}: {opt['train'][name]!r}; it is for students, not for stage 1")
    if not isinstance(batches, int) or isinstance(batches, bool) or batches < 0:
        raise OptionError(f'train.mix_batches: {batches!r}; expected a number of batches, from 0 on')
    if batches and opt['network_g'].get('skip') not in ('learned', 'adaptive'):
        raise OptionError(f"train.mix_batches: {batches}, but network_g.skip is {opt['network_g'].get('skip')!r}; "
                          "only 'learned' and 'adaptive' have a mix")
    return batches


def check_near_misses(opt):
    """Refuses keys of BasicSR's blocks that are one of ours, misspelled: BasicSR would ignore them in silence.

    Raises:
        OptionError: names the key and the one that was probably meant.
    """
    for block, classes in OURS.items():
        ours, found = [f.name for cls in classes for f in dataclasses.fields(cls)], opt
        for name in filter(None, block.split('.')):
            found = (found.get(name) if isinstance(found, dict) else None) or {}
        for key in found:
            near = difflib.get_close_matches(str(key), ours, n=1, cutoff=0.8)
            if near and key not in ours:
                where = f'{block}.{key}' if block else key
                raise OptionError(f"{where}: unknown key '{key}' (did you mean '{near[0]}'?)")


def require(opt, *path):
    """The value at a path of keys.

    Args:
        opt (dict): All options.
        *path (str): Keys from the outside in.

    Raises:
        OptionError: a key is missing or empty.
    """
    value = opt
    for i, key in enumerate(path):
        value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise OptionError(f"{'.'.join(path[:i + 1])}: missing; it is needed here")
    return value
