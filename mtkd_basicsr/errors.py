"""Exceptions of this package, and texts that their messages share.

Every message names the option key or file, the value seen and what was expected.
"""

import difflib
import os
import re
import zipfile
from collections.abc import Iterable
from pickle import UnpicklingError


class MTKDError(Exception):
    """Base of all errors that this package raises on purpose."""


class OptionError(MTKDError, ValueError):
    """A value in an option file or on a command line cannot be used."""


class WeightsError(MTKDError, ValueError):
    """A file with weights is missing, unreadable, or does not fit its network."""


class ExportError(MTKDError):
    """A network cannot be exported, or the exported file does not reproduce PyTorch's output."""


class DataError(MTKDError, ValueError):
    """Images or tensors have a size, range or count that cannot be used."""


class CacheError(MTKDError):
    """A target cache is missing, unfinished, damaged, or belongs to other options."""


class DamagedCacheError(CacheError):
    """The file of a cache differs from what was written: parts are missing or changed."""


class TrainingError(MTKDError, RuntimeError):
    """A training cannot continue: its losses or weights became NaN or Inf."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def without_worker(error: BaseException) -> str:
    """Return the message of an error, without the traceback that torch adds in a worker process."""
    text = str(error)
    if not text.startswith(f'Caught {type(error).__name__} in '):
        return text
    return text.rpartition(f'.{type(error).__name__}: ')[2].strip()


def _is_cut_off_archive(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as what torch.save writes, a zip archive, and has no end."""
    with open(path, 'rb') as file:
        return file.read(4) == b'PK\x03\x04' and not zipfile.is_zipfile(file)


def why_unreadable(error: BaseException, path: str | os.PathLike[str]) -> str:
    """Explain in a few words why ``torch.load`` or safetensors could not read a file."""
    if not os.path.getsize(path):
        return 'it is empty'
    if 'TorchScript' in str(error):
        return 'it is a TorchScript archive; expected a state dict'
    if _is_cut_off_archive(path):
        return 'it was cut off: download or copy it again'
    # What torch's reader of pickles raises: UnpicklingError has a text of a page, which says how to
    # execute the file; the others are accidents of parsing.
    if not isinstance(error, (UnpicklingError, LookupError, EOFError, UnicodeError)):
        return first_line(error)
    forbidden = re.search(r'GLOBAL (\S+)', str(error))
    if forbidden:
        is_class = forbidden[1].rpartition('.')[2][:1].isupper()
        hint = '; if it is a whole network, save its state_dict() instead' if is_class else ''
        return f'it would call {forbidden[1]}, and is not executed{hint}'
    return 'it was not written by torch.save'


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """List the known names, and the one nearest to a name that is not among them.

    Args:
        name: The unknown name.
        known: Names that would have been accepted.

    Returns:
        ``"known: a, b (did you mean 'a'?)"``.

    Example:
        >>> did_you_mean('levle', ['level', 'wave'])
        "known: level, wave (did you mean 'level'?)"
    """
    names = [str(each) for each in known]
    by_lower = {each.lower(): each for each in names}
    text = f'known: {", ".join(names)}'
    nearest = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    if nearest:
        text += f" (did you mean '{by_lower[nearest[0]]}'?)"
    return text


# How YAML 1.1 wants numbers with an exponent.
YAML_NUMBERS = 'YAML needs a dot and a sign in such a number, as in 1.0e-4 or 1.0e+5'


def yaml_hint(value: object) -> str:
    """Explain a number that YAML 1.1 reads as a string, ``1e-4``; empty for anything else.

    Args:
        value: A value of an option file, or a list of values.
    """
    for each in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(each, str) and re.fullmatch(r'[-+]?[\d.]+e[-+]?\d+', each.strip(), re.I):
            return f"; '{each}' is a string: {YAML_NUMBERS}"
    return ''
