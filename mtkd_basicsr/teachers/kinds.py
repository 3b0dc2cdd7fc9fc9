"""The classes of teachers, by the kind of their entries in the option file."""

from collections.abc import Callable
from typing import Any

from ..config.teacher_kinds import FolderOptions, TeacherConfig, TeacherOptions
from .base import Teacher
from .network import NetworkTeacher
from .precomputed import FolderTeacher

# Class of the options, one of `config.TEACHER_KINDS` -> class of the teacher.
_TEACHERS: dict[type[TeacherConfig], Callable[[Any, str], Teacher]] = {
    TeacherOptions: NetworkTeacher,
    FolderOptions: FolderTeacher,
}


def build_teacher(options: TeacherConfig, key: str) -> Teacher:
    """Build a teacher.

    Args:
        options: Its entry in the option file.
        key: Option key of the entry, for messages: ``'teachers.edsr'``.

    Returns:
        A module, on the CPU.

    Raises:
        OptionError: The teacher cannot be built.
        WeightsError: The weights file is missing or does not fit.
    """
    return _TEACHERS[type(options)](options, key)
