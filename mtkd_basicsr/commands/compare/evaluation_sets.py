"""The test sets of a plan, as entries of ``datasets``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config import DatasetConfig
from ...utils.paths import expanded
from .overlay import fill

# Keys of the folders of a dataset.
_ROOTS = ('dataroot_gt', 'dataroot_lq')


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
        # BasicSR does it for the data sets of an option file.
        for key in _ROOTS:
            options[key] = expanded(block[key])
        sets[name] = DatasetConfig('val', options)
    return sets
