"""Where the option files that come with the package are, and what is in them."""

from pathlib import Path

import yaml

from .errors import OptionError

_PACKAGE = Path(__file__).resolve().parent


def option_file(*parts):
    """Path of an option file of this project.

    They stand in ``options/`` beside the package in a source tree, and inside of it where it was installed.

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


def read_options(path):
    """An option file as BasicSR's own loader reads it.

    Args:
        path (Path): The file.

    Returns:
        OrderedDict: All options.

    Raises:
        OptionError: no such file.
    """
    if not path.is_file():
        raise OptionError(f"-opt: no file '{path}'")
    from basicsr.utils.options import ordered_yaml
    return yaml.load(path.read_text(encoding='utf-8'), Loader=ordered_yaml()[0])
