"""What can go wrong, as types.

Every message names the option key or file, the value seen and what was expected.
"""

import difflib
import os
import re
from collections.abc import Iterable
from pickle import UnpicklingError


class MTKDError(Exception):
    """Base of all errors that this package raises on purpose."""


class OptionError(MTKDError, ValueError):
    """A value in an option file or on a command line cannot be used."""


class WeightsError(MTKDError, ValueError):
    """A file with weights is missing, unreadable, or does not fit its network."""


class ExportError(MTKDError):
    """A network cannot be written in a format, or the file does not give what PyTorch gives."""


class DataError(MTKDError, ValueError):
    """Images or tensors have a size, range or number that cannot be used."""


class CacheError(MTKDError):
    """A cache of targets is missing, unfinished, damaged, or belongs to other options."""


class DamagedCacheError(CacheError):
    """The file of a cache is not as it was written: parts are missing or changed."""


class TrainingError(MTKDError, RuntimeError):
    """A training cannot go on: its losses or weights are no numbers any more."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def why_unreadable(error: BaseException, path: str | os.PathLike[str]) -> str:
    """Explain in a few words why ``torch.load`` or safetensors could not read a file."""
    if not os.path.getsize(path):
        return 'it is empty'
    if not isinstance(error, (UnpicklingError, LookupError, EOFError, UnicodeError)):
        return first_line(error)
    # torch's own text is a page long, and says how to execute the file; the others are what its
    # reader of pickles stumbles over.
    named = re.search(r'GLOBAL (\S+)', str(error))
    return (
        f'it would call {named[1]}, and is not executed' if named else 'it is no file of torch.save'
    )


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return a text that lists what is known, and the nearest match.

    Args:
        name: What was asked for.
        known: Names that would have been accepted.

    Returns:
        ``"known: a, b (did you mean 'a'?)"``.

    Example:
        >>> did_you_mean('levle', ['level', 'wave'])
        "known: level, wave (did you mean 'level'?)"
    """
    names = [str(k) for k in known]
    by_lower = {k.lower(): k for k in names}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    hint = f" (did you mean '{by_lower[near[0]]}'?)" if near else ''
    return f'known: {", ".join(names)}{hint}'
