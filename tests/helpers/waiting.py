"""Waiting for something that another process does."""

import subprocess
import time
from collections.abc import Callable

_INTERVAL = 0.05


def wait_until(
    condition: Callable[[], bool],
    what: str,
    process: subprocess.Popen | None = None,
    timeout: float = 600,
) -> None:
    """Wait until a condition holds, however long that takes on a busy machine.

    Args:
        condition: Is asked until it is true.
        what: What is waited for, for the message.
        process: The one that brings it about: when it ends, nothing more will happen.
        timeout: Seconds after which the test fails, so that it does not hang.

    Raises:
        AssertionError: the process has ended, or the time is over, and the condition does not hold.
    """
    end = time.monotonic() + timeout
    while not condition():
        ended = process is not None and process.poll() is not None
        if ended and not condition():
            raise AssertionError(f'{what}: the process ended with {process.returncode} before')
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not within {timeout} s')
        time.sleep(_INTERVAL)
