"""The test sets of a plan, as entries of ``datasets``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config import DatasetConfig
from ...config.plan import PlanOptions
from ...utils.paths import expanded
from .image_digests import have_other_contents
from .overlay import fill
from .relocatable import relocatable
from .runs import Run

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


def other_sets(result: Mapping[str, Any], run: Run, plan: PlanOptions, out: Path) -> list[str]:
    """Return the test sets of a plan that a result was measured on with other images.

    They have another folder in the plan now, or other files are in it, or files of the same names
    with other images. The last is noticed for results that have digests of their images.

    Args:
        result: Result of the run.
        run: The run.
        plan: Its plan.
        out: Folder of the results.
    """
    measured = list(result['results'].values())
    if not measured:
        return []
    known = result.get('test_sets', {})  # not in results of version 0.1.0
    digests = result.get('test_images', {})  # not in the first results of version 0.2.0
    found = []
    for name, dataset in evaluation_sets(plan.test, run.scale, out).items():
        if not all(name in values for values in measured):
            continue
        block = relocatable(plan.test[name], out)
        now = _image_names(dataset) if set(block) == set(_ROOTS) else None
        is_moved = known.get(name, block) != block
        has_other_names = now not in (None, set(measured[0][name]))
        if is_moved or has_other_names or have_other_contents(digests.get(name), dataset):
            found.append(name)
    return found


def _image_names(dataset: DatasetConfig) -> set[str] | None:
    """Return the names of the images of a test set; None if its folder is not here."""
    folder = dataset.options['dataroot_gt']
    if not os.path.isdir(folder):
        return None
    names = (entry.name for entry in os.scandir(folder) if entry.is_file())
    return {Path(name).stem for name in names if not name.startswith('.')}
