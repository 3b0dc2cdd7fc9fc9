"""``mtkd options`` as two functions."""

from collections.abc import Sequence
from pathlib import Path

from .._validation import StrPath, check_choices, check_path
from .baselines import METHODS
from .network_templates import STUDENTS
from .paper_files import SCALES

# Methods of the paper: MTKD and its baselines.
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

    An existing file with the same options is left alone, whichever version wrote it. An existing
    file with other options is an error, and nothing is written.

    Args:
        out: Folder for the option files.
        students: Names of students; ``mtkd options --help`` lists them.
        scales: Scales: 2, 3 or 4.
        methods: ``'mtkd'`` and names of baselines; ``mtkd options --help`` lists them.
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
    from .run import write

    return write(Path(out), students, scales, methods, overwrite)


def option_reference() -> str:
    """Return every option key of this package with its meaning, as Markdown (docs/options.md)."""
    # Imported here because it imports torch, for the docstrings of the methods.
    from .key_reference import reference

    return reference()
