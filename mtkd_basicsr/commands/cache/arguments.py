"""The arguments of ``mtkd cache``."""

from dataclasses import dataclass

from ...utils.choices import CACHE_CONTENTS, PRECISIONS, CacheContents
from .._validation import (
    Overrides,
    StrPath,
    check_choice,
    check_device,
    check_file,
    check_flags,
    check_overrides,
    check_tile,
    check_whole,
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
    workers: int
    overwrite: bool
    verify: bool
    overrides: Overrides
    safe: bool

    def __post_init__(self) -> None:
        if self.contents is not None:
            check_choice('contents', self.contents, CACHE_CONTENTS)
        if self.precision is not None:
            check_choice('precision', self.precision, PRECISIONS)
        check_tile(self.tile, self.tile_overlap)
        check_device(self.device)
        check_whole('workers', self.workers, 0)
        check_flags(
            self_ensemble=self.self_ensemble,
            overwrite=self.overwrite,
            verify=self.verify,
            safe=self.safe,
        )
        check_overrides(self.overrides)
        check_file('options_file', self.options_file)
