"""Parsing of a whole option file, once, into a :class:`~.training.TrainingConfig`."""

import copy
import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import OptionError, did_you_mean
from ..utils.choices import CUDA_GRAPHS, HE, PRECISIONS
from .collecting import ErrorCollector, RaiseFirst
from .keys import check_near_misses, check_train_keys
from .method_parser import parse_distillation
from .methods import DistillationConfig, MethodSpec, TargetSource
from .parsing import parse, require
from .schema import LoggerOptions, SpeedOptions, StepOptions, TrainOptions, ValOptions
from .teachers import parse_fusion, parse_teachers
from .training import (
    PAIRED_DATASETS,
    DatasetConfig,
    ModelSpec,
    TrainingConfig,
    fits_only,
    model_of,
)


def parse_scale(opt: dict[str, Any]) -> int:
    """Parse ``scale``.

    Raises:
        OptionError: The key is missing, or not a whole number from 1 on.
    """
    scale = opt.get('scale')
    if not isinstance(scale, int) or isinstance(scale, bool) or scale < 1:
        raise OptionError(f'scale: {scale!r}; expected a whole number from 1 on')
    return scale


def parse_datasets(opt: dict[str, Any]) -> dict[str, DatasetConfig]:
    """Parse ``datasets``, by phase; skip entries that are not mappings."""
    entries = opt.get('datasets')
    datasets = {}
    for phase, block in entries.items() if isinstance(entries, dict) else ():
        if isinstance(block, dict):
            datasets[phase] = DatasetConfig(phase, block)
    return datasets


def _plugin_part(cls: Any, block: Any) -> dict[str, Any]:
    """Return the keys of a block that are fields of a dataclass."""
    names = [f.name for f in dataclasses.fields(cls)]
    return {key: value for key, value in (block or {}).items() if key in names}


def parse_val(opt: dict[str, Any]) -> ValOptions:
    """Parse the keys of this package in ``val``.

    Raises:
        OptionError: The tile or the overlap is out of range.
    """
    val = parse(ValOptions, _plugin_part(ValOptions, opt.get('val')), 'val')
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


def _parse_speed(train: dict[str, Any]) -> SpeedOptions:
    if isinstance(train.get('amp'), bool):  # of projects where it is a switch
        raise OptionError(
            f'train.amp: {train["amp"]}; expected one of {", ".join(PRECISIONS)}, or nothing (~)'
        )
    compiled = train.get('compile', SpeedOptions.compile)
    if not isinstance(compiled, bool) and compiled not in CUDA_GRAPHS:
        raise OptionError(
            f'train.compile: {compiled!r}; expected true or false, or {" or ".join(CUDA_GRAPHS)}'
        )
    speed = parse(SpeedOptions, _plugin_part(SpeedOptions, train), 'train')
    defaults = {'amp': 'fp32', 'teacher_precision': 'auto on a GPU and fp32 on a CPU'}
    for name, default in defaults.items():
        value = getattr(speed, name)
        if value is not None and value not in PRECISIONS:
            raise OptionError(
                f'train.{name}: {value!r}; {did_you_mean(value, PRECISIONS)}; nothing (~) is '
                f'{default}'
            )
    return speed


def _parse_steps(train: dict[str, Any]) -> StepOptions:
    steps = parse(StepOptions, _plugin_part(StepOptions, train), 'train')
    if steps.init not in (None, HE):
        raise OptionError(
            f"train.init: {steps.init!r}; expected {HE}, or nothing (~) for the network's own"
        )
    if steps.grad_clip is not None and not 0 < steps.grad_clip < math.inf:
        raise OptionError(
            f'train.grad_clip: {steps.grad_clip}; expected the largest norm of the gradient, a '
            'number above 0, or nothing (~)'
        )
    return steps


def _parse_count(value: Any, minimum: int, unit: str, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise OptionError(f'{key}: {value!r}; expected a number of {unit}, from {minimum} on')
    return value


def _parse_keep_last(logger: Mapping[str, Any]) -> int | None:
    keep = logger.get('keep_last', LoggerOptions.keep_last)
    return None if keep is None else _parse_count(keep, 1, 'checkpoints', 'logger.keep_last')


def _parse_mix_batches(train: dict[str, Any], network: Mapping[str, Any]) -> int:
    for name in ('amp', 'channels_last', 'compile', 'init'):
        # Stage 1 runs in fp32, so asking for fp32 is allowed.
        if train.get(name) and train[name] != 'fp32':
            raise OptionError(
                f'train.{name}: {train[name]!r}; this key is for students, not for stage 1'
            )
    batches = _parse_count(
        train.get('mix_batches', TrainOptions.mix_batches), 0, 'batches', 'train.mix_batches'
    )
    if batches:
        _require_mix(network, f'train.mix_batches: {batches}')
    return batches


def _require_mix(network: Mapping[str, Any], text: str) -> None:
    """Raise if a fusion network has no mix, which an option asks for."""
    skip = network.get('skip')
    if skip not in ('learned', 'adaptive'):
        raise OptionError(
            f"{text}, but network_g.skip is {skip!r}; only 'learned' and 'adaptive' have a mix"
        )


def _check_fit(opt: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Check the options of a stage 1 that only fits the mix of the teachers."""
    text = 'train.total_iter: 0 only fits the mix of the teachers'
    _require_mix(network, text)
    start = (opt.get('path') or {}).get('pretrain_network_g')
    if start is not None:
        raise OptionError(
            f"path.pretrain_network_g: '{start}', but {text}, and the rest of a trained network "
            'belongs to its own mix; expected nothing (~), or iterations'
        )
    train = (opt.get('datasets') or {}).get('train')
    kind = train.get('type') if isinstance(train, dict) else None
    if kind not in PAIRED_DATASETS:
        raise OptionError(
            f'datasets.train.type: {kind!r}, but {text}, for which whole images are read; '
            f'expected {" or ".join(PAIRED_DATASETS)}'
        )


def _parse_loss(train: Mapping[str, Any], name: str, required: bool) -> dict[str, Any] | None:
    block = train.get(name)
    if block is None and required:
        raise OptionError(f'train.{name}: missing')
    return copy.deepcopy(block)


@dataclass
class _Parser:
    """Parses the options that only a training has.

    Attributes:
        fields: Fields of :class:`TrainingConfig` that were parsed without an error.
    """

    opt: dict[str, Any]
    methods: Mapping[str, MethodSpec]
    model: ModelSpec
    errors: ErrorCollector
    fields: dict[str, Any] = field(default_factory=dict)

    def read(self) -> None:
        """Parse all options into ``fields``."""
        train = require(self.opt, 'train')
        network = require(self.opt, 'network_g')
        with self.errors.collect_errors():
            self.fields['max_skipped'] = _parse_count(
                train.get('max_skipped', TrainOptions.max_skipped), 0, 'steps', 'train.max_skipped'
            )
        with self.errors.collect_errors():
            self.fields['keep_last'] = _parse_keep_last(self.opt.get('logger') or {})
        with self.errors.collect_errors():
            self.fields['speed'] = _parse_speed(train)
        with self.errors.collect_errors():
            self.fields['steps'] = _parse_steps(train)
        if self.model.trains_fusion:
            with self.errors.collect_errors():
                self.fields['mix_batches'] = _parse_mix_batches(train, network)
            if fits_only(train):
                with self.errors.collect_errors():
                    _check_fit(self.opt, network)
        else:
            with self.errors.collect_errors():
                self.fields['distillation'] = self._read_distillation(train)
        self._read_losses(train)
        self._read_teachers()

    def _read_distillation(self, train: dict[str, Any]) -> DistillationConfig:
        if train.get('perceptual_opt'):
            with self.errors.collect_errors():
                raise OptionError(
                    'train.perceptual_opt: distillation has no perceptual loss; remove it'
                )
        default = {'type': self.model.default_method} if self.model.default_method else None
        block = train.get('kd')
        return parse_distillation(self.methods, default if block is None else block, self.errors)

    @property
    def _distillation(self) -> DistillationConfig | None:
        return self.fields.get('distillation')

    def _read_losses(self, train: dict[str, Any]) -> None:
        distillation = self._distillation
        with self.errors.collect_errors():
            self.fields['pixel_loss'] = _parse_loss(train, 'pixel_opt', required=True)
        with self.errors.collect_errors():
            required = distillation is not None and distillation.needs_distill_opt
            self.fields['distill_loss'] = _parse_loss(train, 'distill_opt', required)

    def _read_teachers(self) -> None:
        distillation = self._distillation
        source = TargetSource.NONE if distillation is None else distillation.target_source
        if self.model.trains_fusion or source is not TargetSource.NONE:
            self.fields['teachers'] = parse_teachers(self.opt, self.errors)
        if source is TargetSource.FUSED:
            with self.errors.collect_errors():
                self.fields['fusion'] = parse_fusion(self.opt) or require(self.opt, 'fusion')


def parse_training(
    opt: dict[str, Any],
    methods: Mapping[str, MethodSpec],
    basicsr_train_keys: Iterable[str] = (),
    model: ModelSpec | None = None,
    errors: ErrorCollector | None = None,
) -> TrainingConfig:
    """Parse an option file.

    Args:
        opt: All options; not modified.
        methods: Known methods, by name.
        basicsr_train_keys: Keys of ``train`` that BasicSR reads. For a model of this package other
            keys of ``train`` are errors; models of other packages may have keys of their own.
        model: Properties of the model; by default those of ``model_type``. For a model of another
            package only the common keys are parsed.
        errors: Receives the errors; by default the first one is raised.

    Returns:
        The parsed options. If ``errors`` collects errors, wrong parts have their defaults.

    Raises:
        OptionError: A key is unknown or missing, or a value has the wrong type or is out of range.
    """
    errors = RaiseFirst() if errors is None else errors
    model_type = opt.get('model_type', '')
    known = model_of(model_type)
    model = model or known
    is_train = opt.get('is_train', True)
    fields: dict[str, Any] = {}
    if model is not None:
        check_near_misses(opt, errors)
        with errors.collect_errors():
            fields['val'] = parse_val(opt)
    if is_train and known is not None:
        check_train_keys(opt, basicsr_train_keys, errors)
    if is_train and model is not None:
        _Parser(opt, methods, model, errors, fields).read()
    elif model is not None and model.trains_fusion:
        fields['teachers'] = parse_teachers(opt, errors)
    return TrainingConfig(
        model_type=model_type,
        scale=parse_scale(opt),
        network=copy.deepcopy(require(opt, 'network_g')),
        datasets=parse_datasets(opt),
        options=opt,
        model=model,
        is_train=is_train,
        **fields,
    )
