"""Our keys of an option file."""

from .blocks import (
    OURS,
    DatasetOptions,
    FileOptions,
    FolderOptions,
    KDOptions,
    LoggerOptions,
    SpeedOptions,
    TeacherOptions,
    TrainOptions,
    ValOptions,
)
from .forced import force
from .parsing import (
    check_near_misses,
    choice,
    parse,
    parse_fusion,
    parse_keep_last,
    parse_max_skipped,
    parse_mix_batches,
    parse_speed,
    parse_teacher,
    parse_teachers,
    parse_val,
    require,
)
from .structure import is_number, name_errors, structure_errors

__all__ = [
    'DatasetOptions',
    'FileOptions',
    'FolderOptions',
    'KDOptions',
    'LoggerOptions',
    'OURS',
    'SpeedOptions',
    'TeacherOptions',
    'TrainOptions',
    'ValOptions',
    'check_near_misses',
    'choice',
    'force',
    'is_number',
    'name_errors',
    'parse',
    'parse_fusion',
    'parse_keep_last',
    'parse_max_skipped',
    'parse_mix_batches',
    'parse_speed',
    'parse_teacher',
    'parse_teachers',
    'parse_val',
    'require',
    'structure_errors',
]
