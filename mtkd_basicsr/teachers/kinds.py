"""The classes of teachers, by the kind of their entries in the option file."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .base import Teacher

if TYPE_CHECKING:
    from ..config import TeacherConfig

_TeacherClass = TypeVar('_TeacherClass', bound=Callable[[Any, str], Teacher])

# Class of the options, one of `config.TEACHER_KINDS` -> class of the teacher. Importing `teachers`
# registers those of this package.
_TEACHERS: dict[type['TeacherConfig'], Callable[[Any, str], Teacher]] = {}


def register_teacher(kind: type['TeacherConfig']) -> Callable[[_TeacherClass], _TeacherClass]:
    """Return a decorator that registers a class as the teachers of one kind.

    Args:
        kind: Class of their options, one of ``config.TEACHER_KINDS``.

    Returns:
        The decorator. Its class takes the options of a teacher and their option key.
    """

    def register(teacher: _TeacherClass) -> _TeacherClass:
        _TEACHERS[kind] = teacher
        return teacher

    return register


def build_teacher(options: 'TeacherConfig', key: str) -> Teacher:
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
