"""Frozen teachers, and their fusion network."""

from .base import Teacher
from .ensemble import TeacherEnsemble
from .fused import FusedTeachers, build_fusion, check_channels, match_teachers
from .kinds import build_teacher
from .network import NetworkTeacher
from .precomputed import FolderTeacher
from .spandrel import SpandrelNetwork

__all__ = [
    'FolderTeacher',
    'FusedTeachers',
    'NetworkTeacher',
    'SpandrelNetwork',
    'Teacher',
    'TeacherEnsemble',
    'build_fusion',
    'build_teacher',
    'check_channels',
    'match_teachers',
]
