"""A whole option file as one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..utils.choices import CacheContents
from .methods import DistillationConfig, TargetSource
from .parsing import require
from .schema import LoggerOptions, SpeedOptions, TrainOptions, ValOptions
from .teacher_kinds import Surroundings, TeacherConfig, TeacherOptions


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
