"""A whole option file as one frozen object."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import OptionError
from ..utils.choices import CacheContents
from ..utils.paths import expanded
from .methods import DistillationConfig, TargetSource
from .parsing import require
from .schema import LoggerOptions, SpeedOptions, StepOptions, TrainOptions, ValOptions
from .teacher_kinds import Surroundings, TeacherConfig, TeacherOptions


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
# A larger share of its start in the moving average at the end of a training gets a warning.
_MAX_SHARE_OF_START = 0.01
_VARIABLE = re.compile(r'\$(\w+|\{[^}]*\})')
PAIRED_DATASETS = ('PairedImageDataset', 'DistillImageDataset')


def _expanded_new(path: str, key: str) -> str:
    """Return a path that may be created, with ``~`` and environment variables replaced.

    Args:
        path: The path from an option file.
        key: Where it stands, for messages.

    Raises:
        OptionError: A variable is not set, or there is no such user; otherwise a folder called
            ``$NAME`` or ``~name`` would be created.
    """
    result = expanded(path)
    missing = _VARIABLE.search(result)
    if missing is not None:
        name = missing[1].strip('{}')
        raise OptionError(f"{key}: '{path}'; the environment variable {name} is not set")
    if result.startswith('~'):
        raise OptionError(f"{key}: '{path}'; no home folder for {result.split('/')[0]}")
    return result


def fits_only(train: Mapping[str, Any]) -> bool:
    """Return whether ``train.total_iter`` is 0, which in stage 1 fits the mix of the teachers."""
    total = train.get('total_iter')
    return isinstance(total, (int, float)) and not isinstance(total, bool) and total == 0


def cache_path(dataset: Mapping[str, Any]) -> str | None:
    """Return the path of the target cache of a dataset, with ``~`` and ``$NAME`` replaced.

    Args:
        dataset: An entry of ``datasets``.

    Returns:
        The path; None without a cache.

    Raises:
        OptionError: A variable is not set, or the cache lies in a folder called ``~``, where
            version 0.1.0 wrote it.
    """
    path = dataset.get('target_cache')
    key = 'datasets.train.target_cache'
    if path is None:
        return None
    if not isinstance(path, str) or not path:
        raise OptionError(f'{key}: {path!r}; expected the path of a folder, or nothing (~)')
    result = _expanded_new(path, key)
    written, wanted = (os.path.isfile(os.path.join(p, 'data.mdb')) for p in (path, result))
    if written and not wanted:
        raise OptionError(
            f"{key}: '{path}' is '{result}', but the cache is in the folder '{path}' of the "
            f"current one, where version 0.1.0 wrote it; move it there: mv './{path}' '{result}'"
        )
    return result


def required_cache_path(opt: dict[str, Any]) -> str:
    """Return the path of the target cache of a training, as :func:`cache_path` does.

    Args:
        opt: All options.

    Raises:
        OptionError: It is missing, or cannot be used.
    """
    require(opt, 'datasets', 'train', 'target_cache')
    path = cache_path(opt['datasets']['train'])
    assert path is not None  # it is required
    return path


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
    def channels(self) -> int:
        """Return the number of channels of the images of a paired dataset."""
        return 1 if self.options.get('color') == 'y' else 3

    @property
    def target_cache(self) -> str | None:
        """Return the path of the target cache; None without one."""
        return cache_path(self.options)


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
        steps: Gradient clipping, and warm-up of the moving average.
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
    steps: StepOptions = StepOptions()
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
    def total_iterations(self) -> int:
        """Return ``train.total_iter``."""
        return int(require(self.options, 'train', 'total_iter'))

    @property
    def only_fits(self) -> bool:
        """Return whether stage 1 trains nothing, and only fits the mix: ``train.total_iter: 0``."""
        return self.is_train and self.is_fusion_stage and fits_only(self.options['train'])

    @property
    def ema_decay(self) -> float:
        """Return ``train.ema_decay``; 0 without a moving average."""
        decay: float = (self.options.get('train') or {}).get('ema_decay', 0)
        return decay

    def ema_warning(self) -> str | None:
        """Return a warning if the moving average is still partly its start at the end.

        None if less than a hundredth of it is. With warm-up that takes three updates.
        """
        decay = self.ema_decay
        if decay <= 0 or self.steps.ema_warmup or self.only_fits:
            return None
        total = self.total_iterations
        share = decay**total
        if share < _MAX_SHARE_OF_START:
            return None
        return (
            f'train.ema_decay: {decay}; after {total} iterations {100 * share:.0f} % of the moving '
            'average, which is validated and used, are still the weights that the training starts '
            'from; use train.ema_warmup: true, which is the default, or a smaller number'
        )

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
