"""Error collection: a parser reports all mistakes of a file, not only the first."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class ErrorCollector(Protocol):
    """Receives the errors of a parser that continues after each of them."""

    def collect_errors(self) -> AbstractContextManager[bool | None]:
        """Return a context that records an error of this package and continues after the block."""


class RaiseFirst:
    """Collect nothing: the first error is raised."""

    def collect_errors(self) -> AbstractContextManager[bool | None]:
        """Return a context that does nothing."""
        return nullcontext()
