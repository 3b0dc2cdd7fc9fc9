"""The arguments of ``mtkd cache``."""

from dataclasses import dataclass

from ...errors import OptionError
from ...utils.choices import CACHE_CONTENTS, PRECISIONS, CacheContents
from .._validation import (
    Overrides,
    StrPath,
    check_choice,
    check_device,
    check_file,
    check_flags,
    check_overrides,
    check_path,
    check_tile,
    check_whole,
    spelled,
)


@dataclass(frozen=True)
class CacheArguments:
    """Checked arguments of a cache; see :func:`mtkd_basicsr.commands.cache`.

    Raises:
        OptionError: One of them cannot be used.
    """

    options_file: StrPath
    contents: CacheContents | None
    self_ensemble: bool
    tile: int | None
    tile_overlap: int
    device: str
    precision: str | None
    workers: int | None
    overwrite: bool
    verify: bool
    outputs_from: StrPath | None
    overrides: Overrides
    safe: bool

    def __post_init__(self) -> None:
        if self.contents is not None:
            check_choice('contents', self.contents, CACHE_CONTENTS)
        if self.precision is not None:
            check_choice('precision', self.precision, PRECISIONS)
        check_tile(self.tile, self.tile_overlap)
        check_device(self.device)
        if self.workers is not None:
            check_whole('workers', self.workers, 0)
        check_flags(
            self_ensemble=self.self_ensemble,
            overwrite=self.overwrite,
            verify=self.verify,
            safe=self.safe,
        )
        if self.outputs_from is not None:
            path = check_path('outputs_from', self.outputs_from)
            object.__setattr__(self, 'outputs_from', path)
            self._check_outputs_from()
        check_overrides(self.overrides)
        check_file('options_file', self.options_file)

    def _check_outputs_from(self) -> None:
        """Raise if another argument needs the teachers, which do not run."""
        others = {
            'self_ensemble': self.self_ensemble,
            'verify': self.verify,
            'contents': self.contents == 'teachers',
        }
        for keyword, used in others.items():
            if used:
                raise OptionError(
                    f'{spelled("outputs_from")}: not allowed with {spelled(keyword)}; it computes '
                    'fused targets from outputs that teachers had before'
                )
