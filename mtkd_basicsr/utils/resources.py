"""Where the files that come with the package are: option files, and the weights of the reference
teachers.
"""

from pathlib import Path

from ..errors import OptionError, did_you_mean

_PACKAGE = Path(__file__).resolve().parent.parent
# Weights that come with the package: reference:edsr_x4.
REFERENCE = 'reference:'


def option_file(*parts):
    """Path of an option file of this project.

    They stand in ``options/`` beside the package in a source tree, and inside of it where it was
    installed.

    Args:
        *parts (str): Below ``options/``, for example ``'demo', 'mtkd.yml'``.

    Returns:
        Path: An existing file.

    Raises:
        FileNotFoundError: no such file.
    """
    for folder in (_PACKAGE / 'option_files', _PACKAGE.parent / 'options'):
        path = folder.joinpath(*parts)
        if path.is_file():
            return path
    raise FileNotFoundError(f"no option file '{'/'.join(parts)}' in this installation")


def weights_file(path, key):
    """Path of a file with weights: ``reference:edsr_x4`` is one that comes with the package,
    anything else is a path already.

    Args:
        path (str): As it stands in an option file or on a command line.
        key (str): Where it stands, for messages.

    Returns:
        str: The path.

    Raises:
        OptionError: the package has no such weights.
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
