"""``mtkd options``: write option files."""

import os
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

# The folder of the files in their comments, and the path of a file in it. In a lookbehind all
# alternatives have the same length.
_NAMED = re.compile(r'(?<=-opt |, by |-out )options((?:/[\w./]+\.yml)?)(?=\W)')


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
    # A line break would end the comment, and BasicSR opens ASCII alone in any locale.
    if not folder.isprintable() or not folder.isascii():
        return text
    return _NAMED.sub(lambda match: shlex.quote(folder + match[1]), text)


def _has_options(found: str, text: str) -> bool:
    """Return whether a file is the same but for the folder that its comments name."""
    marked = _NAMED.sub('\0\\1\1', content(text))
    pattern = re.escape(marked).replace('\0', '.*').replace('\1', "'?")
    return re.fullmatch(pattern, content(found)) is not None


def _refuse(path: Path, reason: str) -> OptionError:
    return OptionError(f"{spelled('out')}: '{path}' {reason}")


def _is_present(path: Path) -> bool:
    """Return whether an option file, or a link that leads nowhere, is in the place of another one.

    Raises:
        OptionError: Something that is no file is there.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        kind = 'a folder' if os.path.isdir(path) else 'no regular file'
        raise _refuse(path, f'is {kind}; expected an option file, or nothing; nothing was written')
    return os.path.lexists(path)


def _is_different(path: Path, text: str) -> bool:
    """Return whether an existing file has other options.

    Args:
        path: The file, or a link that leads nowhere.
        text: What it would be replaced with.

    Raises:
        OptionError: The file cannot be read.
    """
    if not os.path.exists(path):
        return True
    try:
        # Windows editors add a byte order mark. What is not UTF-8 is not what was written.
        found = path.read_text(encoding='utf-8-sig', errors='replace')
    except OSError as error:
        reason = f'cannot be read: {error.strerror or error}'
        raise _refuse(path, f'{reason}; nothing was written') from error
    return not _has_options(found, text)


def write(out: Path, texts: dict[str, str], overwrite: bool) -> list[Path]:
    """Write option files; see :func:`mtkd_basicsr.commands.write_options`.

    Args:
        out: The folder.
        texts: Path in the folder -> text, whose comments call the folder ``options``.
        overwrite: Whether to replace existing files with other options.

    Raises:
        OptionError: A file with other options exists, or one cannot be read or written.
    """
    present = [path for path in texts if _is_present(out / path)]
    different = []
    if not overwrite:
        different = [path for path in present if _is_different(out / path, texts[path])]
    if different:
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
        try:
            write_text(out / path, _in_folder(text, out))
        except OSError as error:
            reason = f'cannot be written: {error.strerror or error}'
            raise _refuse(out / path, reason) from error
    return [out / path for path in texts]
