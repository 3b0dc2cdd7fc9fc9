"""The frozen networks that a student learns from."""

from .ensemble import TeacherEnsemble
from .folder import FolderTeacher, folders_of, require_val_images
from .foreign import SpandrelNetwork
from .fused import FusedTeachers, check_channels, match_teachers

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
