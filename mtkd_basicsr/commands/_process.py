"""The process that a command runs in: what is registered, how it is ended, where errors go."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import MTKDError
from ._validation import spelled_as_options

# What BasicSR, spandrel and torch load by torch.load without saying so; before torch 2.6 it
# executes what is in the file.
_FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
_FORCE_NOT = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def _read_no_pickles() -> None:
    os.environ[_FORCE] = '1'
    os.environ.pop(_FORCE_NOT, None)


@contextmanager
def basicsr_ready() -> Iterator[None]:
    """Register this package in BasicSR, and execute nothing that files with weights hold.

    The latter holds inside, as the program around may load files of its own afterwards.
    """
    names = (_FORCE, _FORCE_NOT)
    saved = {name: os.environ.get(name) for name in names}
    _read_no_pickles()
    try:
        from . import _registration  # noqa: F401  (importing it registers)

        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_in_this_process(command: str, call: Callable[[], object], launched: bool = False) -> int:
    """Run a command that has this process for itself.

    Errors of a user's making are printed without a traceback.

    Args:
        command: Its name, for messages.
        call: Does the work.
        launched: Whether a launcher has started several such processes.

    Returns:
        Exit status: 0, or 1 after an error.
    """
    _read_no_pickles()
    if not launched:
        # As after Ctrl-C: commands that started other processes end them. A process that waits for
        # another one, which launchers end in this way too, would not come to it.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with spelled_as_options():
            call()
    except MTKDError as error:
        if launched:
            from ..host import distributed

            distributed.defer_to_local_rank_zero()
        print(f'mtkd {command}: {error}', file=sys.stderr)
        return 1
    return 0


def print_any_text() -> None:
    """Let nothing stop at a character that the terminal, or a file, cannot hold (−, ×)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')
