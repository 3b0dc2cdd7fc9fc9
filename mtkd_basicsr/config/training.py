"""A whole option file, parsed once into one frozen object."""

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import OptionError, did_you_mean
from ..utils.choices import PRECISIONS, CacheContents
from .collecting import ErrorCollector, RaiseFirst
from .keys import check_near_misses, check_train_keys
from .methods import DistillationConfig, MethodSpec, TargetSource, parse_distillation
from .parsing import parse, require
from .schema import LoggerOptions, SpeedOptions, TrainOptions, ValOptions
from .teachers import Surroundings, TeacherConfig, TeacherOptions, parse_fusion, parse_teachers


@dataclass(frozen=True)
class ModelSpec:
    """The properties of a model class that parsing depends on.

    Attributes:
        trains_fusion: Whether the model trains the fusion network instead of a student.
        default_method: Method used if ``train.kd`` is missing; None if the key is required.
    """

    trains_fusion: bool = False
    default_method: str | None = None


# The models of this package.
MODELS: dict[str, ModelSpec] = {
    'MTKDFusionModel': ModelSpec(trains_fusion=True),
    'MTKDModel': ModelSpec(default_method='MTKD'),
    'KDModel': ModelSpec(),
}
PAIRED_DATASETS = ('PairedImageDataset', 'DistillImageDataset')


@dataclass(frozen=True)
class DatasetConfig:
    """One entry of ``datasets``.

    Attributes:
        phase: ``'train'``, ``'val'``, or with a name, ``'val_urban'``.
        options: The entry as passed to BasicSR.
    """

    phase: str
    options: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return the option key of the entry, for messages."""
        return f'datasets.{self.phase}'

    @property
    def type(self) -> Any:
        """Return the name of the dataset class."""
        return self.options.get('type')

    @property
    def is_paired(self) -> bool:
        """Return whether the class loads pairs of images; other classes are left to BasicSR."""
        return self.type in PAIRED_DATASETS

    @property
    def is_validation(self) -> bool:
        """Return whether training validates on the dataset."""
        return self.phase.split('_')[0] == 'val'

    @property
    def gt_size(self) -> int | None:
        """Return the side of ground-truth patches in pixels; None unless it is a whole number."""
        size = self.options.get('gt_size')
        return size if isinstance(size, int) else None

    @property
    def target_cache(self) -> str | None:
        """Return the path of the target cache; None without one."""
        return self.options.get('target_cache')


@dataclass(frozen=True)
class TrainingConfig:
    """The part of an option file that this package reads, with types.

    Options that only BasicSR reads (optimizer, schedule, metrics) are in ``options``, which is
    passed to BasicSR.

    Attributes:
        model_type: Name of the model.
        scale: Upscaling factor.
        network: ``network_g``: type and arguments.
        datasets: The datasets by phase.
        options: All options, as passed to BasicSR; a reference, not a copy.
        model: Properties of the model; None for a model of another package.
        is_train: Whether the options are for a training. For a test, the fields that only a
            training uses are empty.
        teachers: The teachers by name, in order; empty if none is used.
        fusion: The fusion network; None unless the target is fused.
        pixel_loss: ``train.pixel_opt``: type and arguments.
        distill_loss: ``train.distill_opt``: type and arguments.
        distillation: The methods; None for stage 1.
        speed: Precision and memory layout.
        val: Tiling of validation and test images.
        mix_batches: Stage 1: number of first batches from which the mix is computed.
        max_skipped: Number of consecutive steps that may be skipped because of non-finite losses.
        keep_last: Number of checkpoints to keep; None keeps all.
    """

    model_type: str
    scale: int
    network: dict[str, Any]
    datasets: Mapping[str, DatasetConfig]
    options: dict[str, Any] = field(repr=False, compare=False)
    model: ModelSpec | None = None
    is_train: bool = True
    teachers: Mapping[str, TeacherConfig] = field(default_factory=dict)
    fusion: TeacherOptions | None = None
    pixel_loss: dict[str, Any] | None = None
    distill_loss: dict[str, Any] | None = None
    distillation: DistillationConfig | None = None
    speed: SpeedOptions = SpeedOptions()
    val: ValOptions = ValOptions()
    mix_batches: int = TrainOptions.mix_batches
    max_skipped: int = TrainOptions.max_skipped
    keep_last: int | None = LoggerOptions.keep_last

    @property
    def is_fusion_stage(self) -> bool:
        """Return whether the fusion network is trained instead of a student."""
        return self.model is not None and self.model.trains_fusion

    @property
    def uses_teachers(self) -> bool:
        """Return whether the training depends on teachers, directly or through a cache."""
        return self.is_fusion_stage or self.target_source is not TargetSource.NONE

    @property
    def target_source(self) -> TargetSource:
        """Return the source of the student's target; ``NONE`` in stage 1."""
        return TargetSource.NONE if self.distillation is None else self.distillation.target_source

    @property
    def uses_fusion(self) -> bool:
        """Return whether the target is the fused output of all teachers."""
        return self.target_source is TargetSource.FUSED

    @property
    def cache_contents(self) -> CacheContents | None:
        """Return the contents of a target cache: ``'target'``, ``'teachers'``, or None."""
        if not self.uses_teachers:
            return None
        return 'target' if self.uses_fusion else 'teachers'

    @property
    def train_dataset(self) -> DatasetConfig:
        """Return the dataset of the training.

        Raises:
            OptionError: ``datasets.train`` is missing.
        """
        require(self.options, 'datasets', 'train')
        return self.datasets['train']

    @property
    def target_cache(self) -> str | None:
        """Return the path of the target cache; None without one."""
        dataset = self.datasets.get('train')
        return None if dataset is None else dataset.target_cache

    @property
    def wants_gpu(self) -> bool:
        """Return whether to use a GPU if there is one."""
        return self.options.get('num_gpu') != 0

    @property
    def pretrained_network(self) -> str | None:
        """Return the file with initial weights of ``network_g``; None without one."""
        return (self.options.get('path') or {}).get('pretrain_network_g')

    @property
    def paired_datasets(self) -> list[DatasetConfig]:
        """Return the datasets that load pairs of images."""
        return [dataset for dataset in self.datasets.values() if dataset.is_paired]

    @property
    def measured_phase(self) -> str | None:
        """Return the phase of the first validation or test set; None without one."""
        phases = [phase for phase in self.datasets if phase != 'train']
        return phases[0] if phases else None

    def teacher_surroundings(self, cache_exists: bool) -> Surroundings:
        """Return the options outside its own entry that the use of a teacher depends on."""
        return Surroundings(
            cache_named=self.target_cache is not None,
            cache_exists=cache_exists,
            fusion_stage=self.is_fusion_stage,
            validated_on=self.measured_phase,
        )


def model_of(model_type: Any) -> ModelSpec | None:
    """Return the properties of a model by its name; None for a model of another package."""
    return MODELS.get(model_type) if isinstance(model_type, str) else None


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


def _parse_count(value: Any, minimum: int, unit: str, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise OptionError(f'{key}: {value!r}; expected a number of {unit}, from {minimum} on')
    return value


def _parse_keep_last(logger: Mapping[str, Any]) -> int | None:
    keep = logger.get('keep_last', LoggerOptions.keep_last)
    return None if keep is None else _parse_count(keep, 1, 'checkpoints', 'logger.keep_last')


def _parse_mix_batches(train: dict[str, Any], network: Mapping[str, Any]) -> int:
    for name in ('amp', 'channels_last', 'compile'):
        # Stage 1 runs in fp32, so asking for fp32 is allowed.
        if train.get(name) and train[name] != 'fp32':
            raise OptionError(
                f'train.{name}: {train[name]!r}; this key is for students, not for stage 1'
            )
    batches = _parse_count(
        train.get('mix_batches', TrainOptions.mix_batches), 0, 'batches', 'train.mix_batches'
    )
    skip = network.get('skip')
    if batches and skip not in ('learned', 'adaptive'):
        raise OptionError(
            f'train.mix_batches: {batches}, but network_g.skip is {skip!r}; '
            "only 'learned' and 'adaptive' have a mix"
        )
    return batches


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
        if self.model.trains_fusion:
            with self.errors.collect_errors():
                self.fields['mix_batches'] = _parse_mix_batches(train, network)
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
        return parse_distillation(self.methods, train.get('kd', default), self.errors)

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
