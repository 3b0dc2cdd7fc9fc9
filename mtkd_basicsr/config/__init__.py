"""The option keys of this package, parsed into frozen dataclasses."""

from .collecting import ErrorCollector, RaiseFirst
from .foreign_keys import FOREIGN_KEYS
from .keys import check_near_misses, check_train_keys, plugin_keys
from .method_parser import parse_distillation
from .methods import DistillationConfig, MethodConfig, MethodSpec, TargetSource
from .overrides import apply_overrides
from .parsing import choice, parse, require
from .schema import (
    PLUGIN_KEYS,
    DatasetOptions,
    FileOptions,
    KDOptions,
    LoggerOptions,
    SpeedOptions,
    StepOptions,
    TrainOptions,
    ValOptions,
)
from .teacher_kinds import (
    PRECOMPUTED_TYPES,
    TEACHER_KINDS,
    Surroundings,
    TeacherConfig,
    TeacherOptions,
)
from .teachers import parse_fusion, parse_teacher, parse_teachers
from .training import (
    MODELS,
    DatasetConfig,
    ModelSpec,
    TrainingConfig,
    cache_path,
    model_of,
    required_cache_path,
)
from .training_parser import parse_datasets, parse_scale, parse_training, parse_val

__all__ = [
    'FOREIGN_KEYS',
    'MODELS',
    'PLUGIN_KEYS',
    'PRECOMPUTED_TYPES',
    'TEACHER_KINDS',
    'DatasetConfig',
    'DatasetOptions',
    'DistillationConfig',
    'ErrorCollector',
    'FileOptions',
    'KDOptions',
    'LoggerOptions',
    'MethodConfig',
    'MethodSpec',
    'ModelSpec',
    'RaiseFirst',
    'SpeedOptions',
    'StepOptions',
    'Surroundings',
    'TargetSource',
    'TeacherConfig',
    'TeacherOptions',
    'TrainOptions',
    'TrainingConfig',
    'ValOptions',
    'apply_overrides',
    'check_near_misses',
    'check_train_keys',
    'cache_path',
    'choice',
    'model_of',
    'parse',
    'parse_datasets',
    'parse_distillation',
    'parse_fusion',
    'parse_scale',
    'parse_teacher',
    'parse_teachers',
    'parse_training',
    'parse_val',
    'plugin_keys',
    'require',
    'required_cache_path',
]
