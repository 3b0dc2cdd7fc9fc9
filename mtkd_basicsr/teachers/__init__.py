"""The frozen networks that a student learns from."""

from .ensemble import TeacherEnsemble
from .fused import FusedTeachers, check_channels, match_teachers
from .precomputed import FolderTeacher, folders_of, require_val_images
from .spandrel import SpandrelNetwork

__all__ = [
    'FolderTeacher',
    'FusedTeachers',
    'SpandrelNetwork',
    'TeacherEnsemble',
    'check_channels',
    'folders_of',
    'match_teachers',
    'require_val_images',
]
