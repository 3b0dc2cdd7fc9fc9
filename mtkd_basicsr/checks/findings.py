"""What a check finds: a list that grows, and goes on after every error."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import MTKDError, OptionError

ERROR = 'ERROR'
WARNING = 'WARNING'
OK = 'ok'


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``'ERROR'`` (training would fail, or learn nonsense), ``'WARNING'`` or ``'ok'``.
        text: Begins with the option key; says what was seen, and what to do.
        kind: What an error is raised as.
    """

    level: str
    text: str
    kind: type[MTKDError] = OptionError


class Findings(list[Finding]):
    """Findings in the order in which they were made."""

    def error(self, text: str, kind: type[MTKDError] = OptionError) -> None:
        """Add an error, with which training would fail, unless it is there already."""
        if text not in [finding.text for finding in self]:
            self.append(Finding(ERROR, text, kind))

    def warning(self, text: str) -> None:
        """Add a warning: training would run, but is probably misconfigured."""
        self.append(Finding(WARNING, text))

    def ok(self, text: str) -> None:
        """Add something that is as it should be."""
        self.append(Finding(OK, text))

    @contextmanager
    def collect_errors(self) -> Iterator[None]:
        """Turn an error of this package into a finding, and go on after the block."""
        try:
            yield
        except MTKDError as error:
            self.error(str(error), type(error))

    @property
    def failed(self) -> bool:
        """Return whether there is an error among them."""
        return any(finding.level == ERROR for finding in self)

    def raise_errors(self) -> None:
        """Raise all errors at once; do nothing if there is none.

        Raises:
            MTKDError: of the type that all of them have, else an :class:`OptionError`.
        """
        wrong = [finding for finding in self if finding.level == ERROR]
        kinds = {finding.kind for finding in wrong}
        if wrong:
            raise (kinds.pop() if len(kinds) == 1 else OptionError)(
                '\n'.join(finding.text for finding in wrong)
            )

    def __str__(self) -> str:
        return '\n'.join(f'{finding.level:<8}{finding.text}' for finding in self)
