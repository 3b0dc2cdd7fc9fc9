"""The files that come with the package: option files, and weights of the reference teachers."""

from pathlib import Path
from typing import TypeVar

from ..errors import OptionError, did_you_mean

_PACKAGE = Path(__file__).resolve().parent.parent
# Weights that come with the package: reference:edsr_x4.
REFERENCE = 'reference:'

_Value = TypeVar('_Value')


def option_file(*parts: str) -> Path:
    """Return the path of an option file of this project.

    They stand in ``options/`` beside the package in a source tree, and inside of it where it was
    installed.

    Args:
        *parts: Below ``options/``, for example ``'demo', 'mtkd.yml'``.

    Returns:
        An existing file.

    Raises:
        FileNotFoundError: No such file.
    """
    for folder in (_PACKAGE / 'option_files', _PACKAGE.parent / 'options'):
        path = folder.joinpath(*parts)
        if path.is_file():
            return path
    raise FileNotFoundError(f"no option file '{'/'.join(parts)}' in this installation")


def weights_file(path: _Value, key: str) -> _Value | str:
    """Return the path of a file with weights.

    ``reference:edsr_x4`` is one that comes with the package; anything else is returned as it is.

    Args:
        path: As it stands in an option file or on a command line.
        key: Where it stands, for messages.

    Returns:
        The path.

    Raises:
        OptionError: The package has no such weights.
    """
    if not isinstance(path, str) or not path.startswith(REFERENCE):
        return path
    files = {
        f'{REFERENCE}{file.stem}': str(file)
        for file in sorted((_PACKAGE / 'reference').glob('*.safetensors'))
    }
    if path not in files:
        raise OptionError(f"{key}: '{path}'; {did_you_mean(path, files)}")
    return files[path]
