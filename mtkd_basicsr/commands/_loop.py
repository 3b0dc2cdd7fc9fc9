"""The arguments that ``mtkd train`` and ``mtkd test`` share."""

from dataclasses import dataclass

from ..utils.choices import LAUNCHERS
from ._validation import (
    Overrides,
    StrPath,
    check_choice,
    check_file,
    check_flags,
    check_overrides,
    check_path,
    check_whole,
)


@dataclass(frozen=True)
class LoopArguments:
    """Checked arguments of a training or a test; see :func:`.train.api.train`.

    Raises:
        OptionError: One of them cannot be used.
    """

    options_file: StrPath
    overrides: Overrides
    auto_resume: bool
    debug: bool
    launcher: str
    local_rank: int
    safe: bool
    root: StrPath | None

    def __post_init__(self) -> None:
        check_overrides(self.overrides)
        check_flags(auto_resume=self.auto_resume, debug=self.debug, safe=self.safe)
        check_choice('launcher', self.launcher, LAUNCHERS)
        check_whole('local_rank', self.local_rank)
        if self.root is not None:
            check_path('root', self.root)
        check_file('options_file', self.options_file)
