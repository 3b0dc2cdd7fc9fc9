"""A whole option file as one frozen object, which is parsed once."""

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
    """What the options of a training depend on in the class of its model.

    Attributes:
        trains_fusion: Whether the fusion network is trained, and not a student.
        default_method: The method where ``train.kd`` is left out; None for a model that needs it.
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
        options: The entry as BasicSR takes it.
    """

    phase: str
    options: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return where the entry stands, for messages."""
        return f'datasets.{self.phase}'

    @property
    def type(self) -> Any:
        """Return the name of its class."""
        return self.options.get('type')

    @property
    def is_paired(self) -> bool:
        """Return whether it has pairs of images; other types of datasets are BasicSR's business."""
        return self.type in PAIRED_DATASETS

    @property
    def is_validation(self) -> bool:
        """Return whether it is validated on during a training."""
        return self.phase.split('_')[0] == 'val'

    @property
    def gt_size(self) -> int | None:
        """Return the side of patches of ground truths, in pixels, where it is a whole number."""
        size = self.options.get('gt_size')
        return size if isinstance(size, int) else None

    @property
    def target_cache(self) -> str | None:
        """Return the path of the target cache, None where no cache is asked for."""
        return self.options.get('target_cache')


@dataclass(frozen=True)
class TrainingConfig:
    """An option file of this package: what its own code reads, with types.

    What BasicSR reads for itself (optimizer, schedule, metrics) is in ``options`` alone, which is
    handed to BasicSR.

    Attributes:
        model_type: Name of the model.
        scale: Factor.
        network: ``network_g``: type and arguments.
        datasets: By phase.
        options: All options, as BasicSR takes them; a reference, not a copy.
        model: What is trained; None for a model of somebody else.
        is_train: Whether it is for a training; else for a test, and what only a training needs is
            empty.
        teachers: By name, in their order; empty where none is used.
        fusion: The fusion network, where the target is fused.
        pixel_loss: ``train.pixel_opt``: type and arguments.
        distill_loss: ``train.distill_opt``.
        distillation: The methods; None for stage 1.
        speed: Precision and memory layout.
        val: Tiles.
        mix_batches: Of stage 1: number of batches that the first mix is computed from.
        max_skipped: Steps in a row that may be skipped because of losses that are not finite.
        keep_last: Number of checkpoints that stay; None keeps all.
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
        """Return whether the fusion network is trained, and not a student."""
        return self.model is not None and self.model.trains_fusion

    @property
    def uses_teachers(self) -> bool:
        """Return whether the training depends on teachers, be it through a cache."""
        return self.is_fusion_stage or self.target_source is not TargetSource.NONE

    @property
    def target_source(self) -> TargetSource:
        """Return where the student's target comes from; ``NONE`` in stage 1."""
        return TargetSource.NONE if self.distillation is None else self.distillation.target_source

    @property
    def uses_fusion(self) -> bool:
        """Return whether the target is what a fusion network makes of the teachers."""
        return self.target_source is TargetSource.FUSED

    @property
    def cache_contents(self) -> CacheContents | None:
        """Return what a target cache holds: ``'target'``, ``'teachers'``, or None for neither."""
        if not self.uses_teachers:
            return None
        return 'target' if self.uses_fusion else 'teachers'

    @property
    def train_dataset(self) -> DatasetConfig:
        """Return the dataset of the training.

        Raises:
            OptionError: There is none.
        """
        require(self.options, 'datasets', 'train')
        return self.datasets['train']

    @property
    def target_cache(self) -> str | None:
        """Return the path of the target cache; None where none is asked for."""
        dataset = self.datasets.get('train')
        return None if dataset is None else dataset.target_cache

    @property
    def total_iterations(self) -> int:
        """Return ``train.total_iter``."""
        return int(require(self.options, 'train', 'total_iter'))

    @property
    def wants_gpu(self) -> bool:
        """Return whether it runs on a GPU where there is one."""
        return self.options.get('num_gpu') != 0

    @property
    def pretrained_network(self) -> str | None:
        """Return the file that ``network_g`` starts from; None for a new start."""
        return (self.options.get('path') or {}).get('pretrain_network_g')

    @property
    def paired_datasets(self) -> list[DatasetConfig]:
        """Return the datasets of pairs."""
        return [dataset for dataset in self.datasets.values() if dataset.is_paired]

    @property
    def measured_phase(self) -> str | None:
        """Return the phase of the first dataset that is measured on; None without one."""
        phases = [phase for phase in self.datasets if phase != 'train']
        return phases[0] if phases else None

    def teacher_surroundings(self, cache_exists: bool) -> Surroundings:
        """Return what the use of a teacher depends on beside its own entry."""
        return Surroundings(
            cache_named=self.target_cache is not None,
            cache_exists=cache_exists,
            fusion_stage=self.is_fusion_stage,
            validated_on=self.measured_phase,
        )


def model_of(model_type: Any) -> ModelSpec | None:
    """Return what ``model_type`` names, None if that is not a model of this package."""
    return MODELS.get(model_type) if isinstance(model_type, str) else None


def parse_scale(opt: dict[str, Any]) -> int:
    """Parse ``scale``.

    Raises:
        OptionError: It is missing, or not a whole number from 1 on.
    """
    scale = opt.get('scale')
    if not isinstance(scale, int) or isinstance(scale, bool) or scale < 1:
        raise OptionError(f'scale: {scale!r}; expected a whole number from 1 on')
    return scale


def parse_datasets(opt: dict[str, Any]) -> dict[str, DatasetConfig]:
    """Parse ``datasets``, by phase; what is not a mapping is left out."""
    entries = opt.get('datasets')
    datasets = {}
    for phase, block in entries.items() if isinstance(entries, dict) else ():
        if isinstance(block, dict):
            datasets[phase] = DatasetConfig(phase, block)
    return datasets


def _own_part(cls: Any, block: Any) -> dict[str, Any]:
    names = [f.name for f in dataclasses.fields(cls)]
    return {key: value for key, value in (block or {}).items() if key in names}


def parse_val(opt: dict[str, Any]) -> ValOptions:
    """Parse our keys of ``val``.

    Raises:
        OptionError: Tile or overlap cannot be used.
    """
    val = parse(ValOptions, _own_part(ValOptions, opt.get('val')), 'val')
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
    speed = parse(SpeedOptions, _own_part(SpeedOptions, train), 'train')
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


def _parse_number(value: Any, least: int, of: str, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise OptionError(f'{key}: {value!r}; expected a number of {of}, from {least} on')
    return value


def _parse_keep_last(logger: Mapping[str, Any]) -> int | None:
    keep = logger.get('keep_last', LoggerOptions.keep_last)
    return None if keep is None else _parse_number(keep, 1, 'checkpoints', 'logger.keep_last')


def _parse_mix_batches(train: dict[str, Any], network: Mapping[str, Any]) -> int:
    for name in ('amp', 'channels_last', 'compile'):
        # fp32 is what stage 1 runs in.
        if train.get(name) and train[name] != 'fp32':
            raise OptionError(f'train.{name}: {train[name]!r}; it is for students, not for stage 1')
    batches = _parse_number(
        train.get('mix_batches', TrainOptions.mix_batches), 0, 'batches', 'train.mix_batches'
    )
    skip = network.get('skip')
    if batches and skip not in ('learned', 'adaptive'):
        raise OptionError(
            f'train.mix_batches: {batches}, but network_g.skip is {skip!r}; '
            "only 'learned' and 'adaptive' have a mix"
        )
    return batches


def _parse_loss(train: Mapping[str, Any], name: str, needed: bool) -> dict[str, Any] | None:
    block = train.get(name)
    if block is None and needed:
        raise OptionError(f'train.{name}: missing; it is needed here')
    return copy.deepcopy(block)


@dataclass
class _Parser:
    """Reads the parts that only a training has."""

    opt: dict[str, Any]
    methods: Mapping[str, MethodSpec]
    model: ModelSpec
    errors: ErrorCollector
    fields: dict[str, Any] = field(default_factory=dict)

    def read(self) -> None:
        """Fill ``fields`` with what could be read."""
        train = require(self.opt, 'train')
        network = require(self.opt, 'network_g')
        with self.errors.collect_errors():
            self.fields['max_skipped'] = _parse_number(
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
            self.fields['pixel_loss'] = _parse_loss(train, 'pixel_opt', needed=True)
        with self.errors.collect_errors():
            self.fields['distill_loss'] = _parse_loss(
                train, 'distill_opt', distillation is not None and distillation.needs_distill_opt
            )

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
        opt: All options; they stay as they are.
        methods: Known methods, by name.
        basicsr_train_keys: Keys of ``train`` that BasicSR reads: another key is refused, where
            ``model_type`` is one of this package. Models of others may read their own.
        model: What is trained; by default what ``model_type`` says. Of a model that is not of this
            package the common keys alone are read.
        errors: Takes the errors; by default the first one is raised.

    Returns:
        The options. Parts that were wrong have their defaults, if ``errors`` goes on.

    Raises:
        OptionError: An unknown or missing key, a value of another type or out of range.
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
