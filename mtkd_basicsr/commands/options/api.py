"""``mtkd options`` as functions."""

from collections.abc import Sequence
from pathlib import Path

from .._validation import StrPath, check_choices, check_path
from .baselines import METHODS
from .network_templates import STUDENTS
from .paper_files import SCALES

# What option files are written for.
METHOD_NAMES = ('mtkd', *METHODS)


def write_options(
    out: StrPath,
    *,
    students: Sequence[str] = tuple(STUDENTS),
    scales: Sequence[int] = SCALES,
    methods: Sequence[str] = METHOD_NAMES,
    overwrite: bool = False,
) -> list[Path]:
    """Write the option files of the paper: both stages of MTKD, the baselines, and testing.

    Files that are there and say the same are left as they are, whatever version has written them.
    One that says something else is an error, and nothing is written.

    Args:
        out: Folder that they go into.
        students: Names of the students, as ``mtkd options --help`` lists them.
        scales: 2, 3 or 4.
        methods: ``'mtkd'``, and names of baselines as ``mtkd options --help`` lists them.
        overwrite: Replace files of the same names that say something else.

    Returns:
        The files.

    Raises:
        OptionError: An argument cannot be used, or a file of the same name says something else.
    """
    check_path('out', out)
    check_choices('students', students, STUDENTS)
    check_choices('scales', scales, SCALES)
    check_choices('methods', methods, METHOD_NAMES)
    from .run import write

    return write(Path(out), students, scales, methods, overwrite)


def option_reference() -> str:
    """Return every option key of this package with its meaning, as Markdown (docs/options.md)."""
    # It reads what the methods say of themselves, and imports them.
    from .key_reference import reference

    return reference()
