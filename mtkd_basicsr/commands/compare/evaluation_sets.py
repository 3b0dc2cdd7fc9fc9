"""The test sets of a plan, as entries of ``datasets``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config import DatasetConfig
from .overlay import fill


def evaluation_sets(folders: Mapping[str, Any], scale: int, out: Path) -> dict[str, DatasetConfig]:
    """Return the test sets of a plan for one scale, each a whole ``PairedImageDataset``.

    Args:
        folders: ``test`` of the plan: ``dataroot_gt`` and ``dataroot_lq`` by name.
        scale: Factor, which replaces ``{scale}``.
        out: Folder of the results, which replaces ``{out}``.
    """
    blocks = fill(dict(folders), {'scale': scale, 'out': str(out)}, 'test')
    sets = {}
    for name, block in blocks.items():
        options = {
            'type': 'PairedImageDataset',
            'io_backend': {'type': 'disk'},
            'phase': 'val',
            'scale': scale,
            'name': name,
            **block,
        }
        sets[name] = DatasetConfig('val', options)
    return sets
