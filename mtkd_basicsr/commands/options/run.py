"""``mtkd options``: writes the option files of the paper."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import OptionError
from ...utils.atomic import write_text
from .._arguments import make_folder
from .._validation import spelled
from .paper_files import files


def write(
    out: Path, students: Sequence[str], scales: Sequence[int], methods: Sequence[str]
) -> list[Path]:
    """Write option files; see :func:`mtkd_basicsr.commands.write_options`."""
    texts = files(students, scales, methods)
    others = [
        path
        for path, text in texts.items()
        if (out / path).exists() and (out / path).read_text(encoding='utf-8') != text
    ]
    if others:
        more = f' and {len(others) - 3} more' if len(others) > 3 else ''
        raise OptionError(
            f"{spelled('out')}: '{out}' has other files of these names: {', '.join(others[:3])}"
            f'{more}; nothing was written, choose another folder or move them'
        )
    for path, text in texts.items():
        make_folder((out / path).parent)
        write_text(out / path, text)
    return [out / path for path in texts]
