"""What a check finds: a list that grows, and goes on after every error."""

from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import MTKDError, OptionError

ERROR = 'ERROR'
WARNING = 'WARNING'
FINE = 'ok'


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level (str): ``'ERROR'`` (training would fail, or learn nonsense), ``'WARNING'`` or
            ``'ok'``.
        text (str): Begins with the option key; says what was seen, and what to do.
        kind (type): What an error is raised as.
    """

    level: str
    text: str
    kind: type = OptionError


class Findings(list):
    """Findings in the order in which they were made."""

    def error(self, text, kind=OptionError):
        """Training would fail. What was found twice is said once."""
        if text not in [finding.text for finding in self]:
            self.append(Finding(ERROR, text, kind))

    def warning(self, text):
        """Training would run, and somebody may be sorry."""
        self.append(Finding(WARNING, text))

    def fine(self, text):
        """Nothing to do."""
        self.append(Finding(FINE, text))

    @contextmanager
    def catching(self):
        """Turns an error of ours into a finding, and goes on after the block."""
        try:
            yield
        except MTKDError as error:
            self.error(str(error), type(error))

    @property
    def failed(self):
        """Whether there is an error among them."""
        return any(finding.level == ERROR for finding in self)

    def raise_errors(self):
        """Raises all errors at once; nothing where there is none.

        Raises:
            MTKDError: of the type that all of them have, else an :class:`OptionError`.
        """
        wrong = [finding for finding in self if finding.level == ERROR]
        kinds = {finding.kind for finding in wrong}
        if wrong:
            raise (kinds.pop() if len(kinds) == 1 else OptionError)(
                '\n'.join(finding.text for finding in wrong)
            )

    def __str__(self):
        return '\n'.join(f'{finding.level:<8}{finding.text}' for finding in self)
