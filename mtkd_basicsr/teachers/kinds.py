"""Which class a teacher is built as, by the kind of its entry in the option file."""

from collections.abc import Callable
from typing import Any

from ..config.teacher_kinds import FolderOptions, TeacherConfig, TeacherOptions
from .base import Teacher
from .network import NetworkTeacher
from .precomputed import FolderTeacher

# By the class of the options, which is one of `config.teacher_kinds.TEACHER_KINDS`.
_TEACHERS: dict[type[TeacherConfig], Callable[[Any, str], Teacher]] = {
    TeacherOptions: NetworkTeacher,
    FolderOptions: FolderTeacher,
}


def build_teacher(options: TeacherConfig, key: str) -> Teacher:
    """Build a teacher.

    Args:
        options: Its entry in the option file.
        key: Where the entry stands, for messages: ``'teachers.edsr'``.

    Returns:
        A module, on the CPU.

    Raises:
        OptionError: It cannot be built.
        WeightsError: A file with weights is missing or does not fit.
    """
    return _TEACHERS[type(options)](options, key)
