"""``mtkd distill`` as a function."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import OptionError
from .._process import basicsr_ready
from .._validation import StrPath, check_choice, check_file, check_path, check_whole, spelled
from ..options.network_templates import STUDENTS
from ..options.paper_files import SCALES


def distill(
    folder: StrPath,
    out: StrPath,
    *,
    student: str = 'edsr',
    scale: int = 4,
    teachers: Sequence[StrPath] = (),
    hours: float = 2.0,
    validation: int | None = None,
) -> Path:
    """Train a student on a folder of photographs, from the photographs to a file to be used.

    Prepares the data, writes the option files of both stages, computes the outputs of the teachers
    once, fits their mix, trains the student against it, compares the student on photographs that
    were kept apart, and exports it. All steps that take long run in separate processes, and a
    second call with the same arguments goes on where the first one was stopped.

    Args:
        folder: Folder of high-resolution photographs, at least 3 of them.
        out: Output folder, which must be new or that of an earlier call with the same arguments.
        student: Name of a student of ``mtkd options``.
        scale: Scale.
        teachers: Weight files of teachers: any that record their network, or that spandrel
            recognizes. None are the reference teachers, which are for scale 4.
        hours: What all of it may take, without the time when it is stopped. The number of
            iterations follows from it.
        validation: Number of photographs to keep apart; None for a tenth of them, at least 1 and at
            most 8.

    Returns:
        The exported student, a safetensors file for ``mtkd upscale``; beside it is a ``.pth`` file
        with the names that other programs know.

    Raises:
        MTKDError: An argument or a photograph is invalid, the hours do not suffice for the
            teachers, ``out`` was made with other arguments, or a step failed; names its log.
    """
    folder = check_path('folder', folder)
    out = check_path('out', out)
    check_choice('student', student, STUDENTS)
    check_choice('scale', scale, SCALES)
    if isinstance(teachers, str) or not isinstance(teachers, Sequence):
        raise OptionError(f'{spelled("teachers")}: {teachers!r}; expected a list of files')
    files = [check_file('teachers', file) for file in teachers]
    if not files and scale != 4:
        raise OptionError(
            f'{spelled("scale")}: {scale}; expected 4, which the reference teachers are for, or '
            f'{spelled("teachers")} with files of your own'
        )
    if isinstance(hours, bool) or not isinstance(hours, (int, float)) or not 0 < hours < 1e6:
        raise OptionError(f'{spelled("hours")}: {hours!r}; expected a number above 0')
    if validation is not None:
        check_whole('validation', validation, 1)
    with basicsr_ready():
        from .run import run
        from .settings import Settings

        settings = Settings(
            folder=str(Path(folder).resolve()),
            student=student,
            scale=scale,
            teachers=tuple(str(Path(file).resolve()) for file in files),
            hours=float(hours),
            validation=validation,
        )
        return run(settings, Path(out).resolve())
