"""``mtkd options`` as two functions."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import OptionError
from .._validation import StrPath, check_choices, check_flags, check_path, spelled
from .baselines import METHODS
from .network_templates import POSITIONS, STUDENTS
from .paper_files import SCALES

# Methods of the paper: MTKD and its baselines.
METHOD_NAMES = ('mtkd', *METHODS)


def _check_data(data: StrPath | None, reference_teachers: bool) -> None:
    """Check the folder of the data of the files with the reference teachers."""
    if data is None:
        return
    check_path('data', data)
    if not reference_teachers:
        raise OptionError(
            f'{spelled("data")}: allowed only with {spelled("reference_teachers")}; the other '
            'files name the data of the paper'
        )
    if not str(data).isprintable() or set('{}') & set(str(data)):
        raise OptionError(
            f'{spelled("data")}: {str(data)!r}; expected a path without braces, which are '
            'placeholders in a plan, and without line breaks'
        )


def write_options(
    out: StrPath,
    *,
    students: Sequence[str] = tuple(STUDENTS),
    scales: Sequence[int] = SCALES,
    methods: Sequence[str] = METHOD_NAMES,
    reference_teachers: bool = False,
    data: StrPath | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write option files: those of the paper, and those that come with the package.

    The files of the paper are for both stages of MTKD, the baselines, and testing. With all
    students, all methods and scale 4 there are also plans of comparisons (``compare/``), the files
    of the demo (``demo/``), those that trained the reference teachers (``teachers/``), and both
    stages and a comparison with the reference teachers (``reference/``), which need no download.

    An existing file with the same options is left alone, whichever version wrote it. An existing
    file with other options is an error, and nothing is written.

    Args:
        out: Folder for the option files.
        students: Names of students; ``mtkd options --help`` lists them. SPAN and SRVGGNetCompact
            (``compact``) have no baselines, which need a teacher of the student's arch.
        scales: Scales: 2, 3 or 4.
        methods: ``'mtkd'`` and names of baselines; ``mtkd options --help`` lists them.
        reference_teachers: Whether to write only the files with the reference teachers.
        data: Folder of the data in these files, as :func:`prepare_data` makes it with
            ``validation``; None for ``datasets/mine``.
        overwrite: Whether to replace existing files with other options.

    Returns:
        The files.

    Raises:
        OptionError: An argument is invalid, or a file with other options exists.
    """
    out = check_path('out', out)
    check_choices('students', students, STUDENTS)
    check_choices('scales', scales, SCALES)
    check_choices('methods', methods, METHOD_NAMES)
    if 'mtkd' not in methods and not set(students) & set(POSITIONS):
        raise OptionError(
            f'{spelled("methods")}: {", ".join(methods)}; for {", ".join(students)} there is only '
            f'mtkd: baselines are for the students of the paper, {", ".join(POSITIONS)}'
        )
    check_flags(reference_teachers=reference_teachers, overwrite=overwrite)
    _check_data(data, reference_teachers)
    selections = (('students', students), ('scales', scales), ('methods', methods))
    for (keyword, values), known in zip(selections, (STUDENTS, SCALES, METHOD_NAMES), strict=True):
        if reference_teachers and set(values) != set(known):
            raise OptionError(
                f'{spelled("reference_teachers")}: not allowed with {spelled(keyword)}; its files '
                'are for one student and one scale'
            )
    from .ready_files import DATA
    from .run import texts_of, write

    folder = str(Path(data or DATA)) if reference_teachers else None
    return write(Path(out), texts_of(students, scales, methods, folder), overwrite)


def option_reference() -> str:
    """Return every option key of this package with its meaning, as Markdown (docs/options.md)."""
    # Imported here because it imports torch, for the docstrings of the methods.
    from .key_reference import reference

    return reference()
