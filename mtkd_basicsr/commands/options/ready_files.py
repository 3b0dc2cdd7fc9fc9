"""The option files that come with the package as they are, beside those of the paper."""

import shlex

from ...utils.resources import option_folder
from .file_heads import content, first_line

# The demo, plans of comparisons, trainings of the reference teachers, and trainings with them.
FOLDERS = ('compare', 'demo', 'reference', 'teachers')
REFERENCE = 'reference'
# Folder of the data in the files with the reference teachers.
DATA = 'datasets/mine'


def _with_data(text: str, data: str) -> str:
    """Return a file for another folder of data.

    Args:
        text: The file, in which all paths of data are in single quotes.
        data: The folder.
    """
    quoted = data.replace("'", "''")
    text = text.replace(f"'{DATA}/", f"'{quoted}/")
    return text.replace(f'--out {DATA} ', f'--out {shlex.quote(data)} ')


def reference_files(data: str = DATA) -> dict[str, str]:
    """Return the files that train and compare with the reference teachers.

    Args:
        data: Folder of the data, as ``mtkd data --validation N`` makes it.

    Returns:
        Path in ``options/`` -> text.
    """
    selected = '--reference-teachers'
    if data != DATA:
        selected += f' --data {shlex.quote(data)}'
    found = {}
    for path, text in _read(REFERENCE).items():
        found[path] = first_line(selected) + _with_data(text, data)
    return found


def ready_files() -> dict[str, str]:
    """Return all files: path in ``options/`` -> text."""
    found = reference_files()
    for folder in FOLDERS:
        if folder != REFERENCE:
            for path, text in _read(folder).items():
                found[path] = first_line('--scale 4') + text
    return found


def _read(folder: str) -> dict[str, str]:
    """Return the files of a folder without their first lines: path in ``options/`` -> text."""
    found = {}
    for path in sorted((option_folder() / folder).glob('*.yml')):
        found[f'{folder}/{path.name}'] = content(path.read_text(encoding='utf-8'))
    return found
