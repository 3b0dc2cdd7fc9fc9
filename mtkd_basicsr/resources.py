"""Where the option files that come with the package are."""

from pathlib import Path

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
