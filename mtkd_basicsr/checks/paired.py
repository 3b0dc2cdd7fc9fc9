"""The paired datasets of an option file."""

import os

from ..config import DatasetConfig
from ..data.whole_images import PairedImageDataset, build_paired_dataset


def build_paired(
    dataset: DatasetConfig, scale: int, phase: str | None = None
) -> PairedImageDataset:
    """Build a paired dataset.

    Args:
        dataset: Its entry in the option file.
        scale: Upscaling factor.
        phase: Phase to build it for; by default the phase of the entry.

    Raises:
        DataError: BasicSR cannot list the images.
    """
    phase = phase or dataset.phase
    options = {**dataset.options, 'phase': phase.split('_')[0], 'scale': scale}
    return build_paired_dataset(options, f'datasets.{phase}')


def has_folders(entry: DatasetConfig) -> bool:
    """Return whether the folders or LMDBs of a paired dataset exist."""
    roots = [str(entry.options.get(key)) for key in ('dataroot_gt', 'dataroot_lq')]
    return all(os.path.exists(os.path.expanduser(root)) for root in roots)
