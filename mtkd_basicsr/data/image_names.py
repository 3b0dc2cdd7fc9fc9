"""The names of images in a cache."""

import os

from ..errors import DataError
from ..host.api import PairedImageDataset


def image_names(dataset: PairedImageDataset, root: str) -> list[str]:
    """Return the names of the ground truths of a dataset in a cache.

    Args:
        dataset: Any paired dataset.
        root: Its ``dataroot_gt``.

    Returns:
        Paths relative to ``root``, with suffixes, or keys of an LMDB.

    Raises:
        DataError: Two images have the same name.
    """
    names = [pair['gt_path'] for pair in dataset.paths]
    if dataset.io_backend_opt.get('type') != 'lmdb':
        # With slashes also on Windows, so that caches are portable.
        names = [os.path.relpath(name, root).replace(os.sep, '/') for name in names]
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        listed = dataset.opt.get('meta_info_file')
        if listed is not None and dataset.io_backend_opt.get('type') != 'lmdb':
            raise DataError(
                f"datasets.train.meta_info_file: '{listed}' names '{duplicate}' twice; remove a "
                'line'
            )
        raise DataError(
            f"datasets.train.dataroot_gt: '{root}' has the name '{duplicate}' twice; "
            'BasicSR truncates the keys of an LMDB at the first dot of a file name'
        )
    return names
