"""Going on after an error, so that a file with five mistakes is reported with all five."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class ErrorCollector(Protocol):
    """What takes the errors of a parser that goes on after each."""

    def collect_errors(self) -> AbstractContextManager[bool | None]:
        """Return a context that keeps an error of this package, and goes on after its block."""


class RaiseFirst:
    """Collects nothing: the first error is raised."""

    def collect_errors(self) -> AbstractContextManager[bool | None]:
        """Return a context that does nothing."""
        return nullcontext()
