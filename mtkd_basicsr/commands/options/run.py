"""``mtkd options``: write option files."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from ...errors import OptionError
from ...utils.atomic import write_text
from ...utils.texts import listed
from .._arguments import make_folder
from .._validation import spelled
from .baselines import METHODS
from .file_heads import content
from .network_templates import STUDENTS
from .paper_files import files
from .ready_files import ready_files, reference_files


def texts_of(
    students: Sequence[str], scales: Sequence[int], methods: Sequence[str], data: str | None
) -> dict[str, str]:
    """Return the option files of a call: path in the folder -> text.

    The ready files are for x4, and belong to no student and no method of the paper alone.

    Args:
        students: Names of students.
        scales: Scales.
        methods: Names of methods.
        data: Folder of the data of the files with the reference teachers, which are the only ones
            then; None otherwise.
    """
    if data is not None:
        return reference_files(data)
    texts = files(students, scales, methods)
    if 4 in scales and set(students) == set(STUDENTS) and set(methods) == {'mtkd', *METHODS}:
        texts.update(ready_files())
    return texts


def _in_folder(text: str, out: Path) -> str:
    """Replace the folder ``options`` in the comments of an option file."""
    folder = out.as_posix()
    if not folder.isprintable():  # a line break would end the comment
        return text
    text = re.sub(
        r'(-opt )options(/[\w./]+\.yml)', lambda m: m[1] + shlex.quote(folder + m[2]), text
    )
    text = text.replace(' --out options ', f' --out {shlex.quote(folder)} ', 1)
    return text.replace(', by options/', f', by {folder}/')


def write(out: Path, texts: dict[str, str], overwrite: bool) -> list[Path]:
    """Write option files; see :func:`mtkd_basicsr.commands.write_options`.

    Args:
        out: The folder.
        texts: Path in the folder -> text, whose comments call the folder ``options``.
        overwrite: Whether to replace existing files with other options.
    """
    as_written = texts
    texts = {path: _in_folder(text, out) for path, text in texts.items()}
    present = [path for path in texts if (out / path).exists()]
    different = []
    for path in present:
        # Files that were generated in another folder, or by 0.1.0, say `options`.
        same = content(texts[path]), content(as_written[path])
        if content((out / path).read_text(encoding='utf-8')) not in same:
            different.append(path)
    if different and not overwrite:
        names = listed(different, 3)
        raise OptionError(
            f"{spelled('out')}: '{out}' has different files with these names: {names}; nothing was "
            'written; choose another folder, move the files, or replace them with '
            f'{spelled("overwrite")}'
        )
    for path, text in texts.items():
        if path in present and not overwrite:
            continue
        make_folder((out / path).parent)
        write_text(out / path, text)
    return [out / path for path in texts]
