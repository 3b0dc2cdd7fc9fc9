"""Set-up of the process that a command runs in: registration, signals and error output."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from ..errors import MTKDError, without_worker
from ._validation import spelled_as_options

# Variables that set the default of torch.load(weights_only=…). BasicSR and spandrel do not pass
# it, and before torch 2.6 the default executes code in the file.
_WEIGHTS_ONLY = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
_NO_WEIGHTS_ONLY = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


@contextmanager
def _pickles_refused() -> Iterator[None]:
    """Load weight files inside without running code, and restore the environment afterwards."""
    names = (_WEIGHTS_ONLY, _NO_WEIGHTS_ONLY)
    saved = {name: os.environ.get(name) for name in names}
    os.environ[_WEIGHTS_ONLY] = '1'
    os.environ.pop(_NO_WEIGHTS_ONLY, None)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def basicsr_ready() -> Iterator[None]:
    """Register this package with BasicSR; inside, weight files are loaded without running code.

    The environment is restored afterwards: the calling program may load files of its own.
    """
    with _pickles_refused():
        from . import _registration  # noqa: F401  (importing it registers)

        yield


@contextmanager
def _exits_on_sigterm() -> Iterator[None]:
    """Exit on SIGTERM as after Ctrl-C, so that a command stops the processes that it started."""
    saved = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if saved is None else saved)


# What a disk answers that is full or may not be written to. Any other error of the system is a
# fault of a command, or of BasicSR, and shows where.
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def _output_is_cut_off(text: str = '') -> bool:
    """Return whether the reader of standard output is gone, as after ``mtkd … | head``.

    If so, what is still in the buffer goes nowhere, so that the end of Python does not complain.

    Args:
        text: What to write: a failed write may have emptied the buffer.
    """
    if sys.stdout is None:
        return False
    try:
        print(text, end='', flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return True
    return False


def run_in_this_process(command: str, call: Callable[[], object], launched: bool = False) -> int:
    """Run a command that owns this process; print user errors without a traceback.

    Args:
        command: Name of the command, for messages.
        call: Function that does the work.
        launched: Whether a launcher started several such processes. A process that waits for
            another one would never reach a handler of SIGTERM; it has none.

    Returns:
        Exit status: 0; 1 after an error, or when standard output was closed by its reader; 130
        after Ctrl-C.
    """
    with ExitStack() as stack:
        stack.enter_context(_pickles_refused())
        if not launched:
            stack.enter_context(_exits_on_sigterm())
        try:
            with spelled_as_options():
                call()
        except KeyboardInterrupt:
            print(f'\nmtkd {command}: interrupted', file=sys.stderr)
            return 128 + signal.SIGINT
        except BrokenPipeError:
            # Also the pipe to a process of the loader may be broken.
            if not _output_is_cut_off('\n'):
                raise
            return 1
        except MTKDError as error:
            if launched:
                from ..host import distributed

                distributed.defer_to_local_rank_zero()
            print(f'mtkd {command}: {without_worker(error)}', file=sys.stderr)
            _output_is_cut_off()
            return 1
        except OSError as error:
            if error.errno not in _OF_DISKS:
                raise
            where = '' if error.filename is None else f"'{error.filename}': "
            print(f'mtkd {command}: {where}{error.strerror}', file=sys.stderr)
            return 1
        return int(_output_is_cut_off())


def print_any_text() -> None:
    """Replace characters that the output's encoding lacks (−, ×) instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')
