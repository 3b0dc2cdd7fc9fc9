"""Findings of a check, collected in a list so that a check continues after an error."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import MTKDError, OptionError
from ..utils import texts

# Number of images that a message names.
_MAX_LISTED = 3
ERROR = 'ERROR'
WARNING = 'WARNING'
OK = 'ok'


def listed(names: Sequence[str]) -> str:
    """Join the first few names for a message, and say how many more there are."""
    return texts.listed(names, _MAX_LISTED, '; ')


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes:
        level: ``'ERROR'`` (training would fail or be useless), ``'WARNING'`` or ``'ok'``.
        text: The option key, what was found, and what to do.
        kind: Exception type to raise for an error.
    """

    level: str
    text: str
    kind: type[MTKDError] = OptionError


class Findings(list[Finding]):
    """Findings in the order in which they were added."""

    def error(self, text: str, kind: type[MTKDError] = OptionError) -> None:
        """Add an error, with which training would fail, unless it has been added before."""
        if text not in [finding.text for finding in self]:
            self.append(Finding(ERROR, text, kind))

    def warning(self, text: str) -> None:
        """Add a warning: training would run but is probably misconfigured."""
        self.append(Finding(WARNING, text))

    def ok(self, text: str) -> None:
        """Add a check that passed."""
        self.append(Finding(OK, text))

    @contextmanager
    def collect_errors(self) -> Iterator[None]:
        """Turn an error of this package into a finding, and continue after the block."""
        try:
            yield
        except MTKDError as error:
            self.error(str(error), type(error))

    def count_errors(self) -> int:
        """Return the number of errors."""
        return sum(finding.level == ERROR for finding in self)

    @property
    def failed(self) -> bool:
        """Return whether there is an error."""
        return self.count_errors() > 0

    def raise_errors(self) -> None:
        """Raise all errors at once; do nothing if there is none.

        Raises:
            MTKDError: There are errors. The type is that of the errors if they agree, otherwise
                :class:`OptionError`.
        """
        errors = [finding for finding in self if finding.level == ERROR]
        if not errors:
            return
        kinds = {finding.kind for finding in errors}
        kind = kinds.pop() if len(kinds) == 1 else OptionError
        raise kind('\n'.join(finding.text for finding in errors))

    def __str__(self) -> str:
        return '\n'.join(f'{finding.level:<8}{finding.text}' for finding in self)
