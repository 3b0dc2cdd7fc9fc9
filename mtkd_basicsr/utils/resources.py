"""Files that come with the package: option files, and weights of the reference teachers."""

from pathlib import Path
from typing import TypeVar

from ..errors import OptionError, did_you_mean

_PACKAGE = Path(__file__).resolve().parent.parent
# Prefix of weights that come with the package, as in reference:edsr_x4.
REFERENCE = 'reference:'

_Value = TypeVar('_Value')


def option_file(*parts: str) -> Path:
    """Return the path of an option file of this project.

    In a source tree they are in ``options/`` beside the package; an installation has them inside
    the package.

    Args:
        *parts: Path below ``options/``, for example ``'demo', 'mtkd.yml'``.

    Returns:
        The path of an existing file.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    for folder in (_PACKAGE / 'option_files', _PACKAGE.parent / 'options'):
        path = folder.joinpath(*parts)
        if path.is_file():
            return path
    raise FileNotFoundError(f"no option file '{'/'.join(parts)}' in this installation")


def reference_names() -> list[str]:
    """Return the names of the weights that come with the package: ``reference:edsr_x4``, …"""
    return [f'{REFERENCE}{file.stem}' for file in _reference_files()]


def _reference_files() -> list[Path]:
    return sorted((_PACKAGE / 'reference').glob('*.safetensors'))


def weights_file(path: _Value, key: str) -> _Value | str:
    """Resolve the path of a weight file.

    ``reference:edsr_x4`` names one that comes with the package; anything else is returned as it is.

    Args:
        path: The path from an option file or a command line.
        key: Where it stands, for messages.

    Returns:
        The path.

    Raises:
        OptionError: If the package has no such weights.
    """
    if not isinstance(path, str) or not path.startswith(REFERENCE):
        return path
    files = {}
    for file in _reference_files():
        files[f'{REFERENCE}{file.stem}'] = str(file)
    if path not in files:
        raise OptionError(f"{key}: '{path}'; {did_you_mean(path, files)}")
    return files[path]
