"""``mtkd options``: write the option files of the paper."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import OptionError
from ...utils.atomic import write_text
from .._arguments import make_folder
from .._validation import spelled
from .file_heads import content
from .paper_files import files


def write(
    out: Path,
    students: Sequence[str],
    scales: Sequence[int],
    methods: Sequence[str],
    overwrite: bool,
) -> list[Path]:
    """Write option files; see :func:`mtkd_basicsr.commands.write_options`."""
    texts = files(students, scales, methods)
    present = [path for path in texts if (out / path).exists()]
    different = []
    for path in present:
        if content((out / path).read_text(encoding='utf-8')) != content(texts[path]):
            different.append(path)
    if different and not overwrite:
        names = ', '.join(different[:3])
        if len(different) > 3:
            names += f' and {len(different) - 3} more'
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
