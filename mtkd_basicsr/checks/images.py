"""Checks of image sizes: pairs must match the scale, patches the network."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..config import DatasetConfig, TrainingConfig
from ..data.whole_images import PairedImageDataset, WholeImagePairs, build_paired_dataset
from ..errors import DataError
from ..host.training_loop import last_iteration
from ..utils.image_folder import Head
from ..weights.networks import build, size_multiple
from .findings import Findings

# Number of pairs whose sizes are read. Of a larger dataset every n-th pair is read.
_MAX_PAIRS = 2000
# Number of images that a message names.
_MAX_LISTED = 3


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


@dataclass
class _Sizes:
    """What the headers of the images of a dataset say.

    Attributes:
        unreadable: One message for each pair with a file that is no image.
        mismatched: Pairs whose sizes do not fit the scale.
        small: Ground truths that are smaller than a patch.
        reduced: Images from which BasicSR drops bits or transparency.
        pixels: Total number of pixels of the ground truths.
    """

    unreadable: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    reduced: list[str] = field(default_factory=list)
    pixels: int = 0


def _read_heads(pairs: WholeImagePairs, index: int) -> tuple[Head, Head]:
    """Read the headers of a ground truth and its low-resolution image.

    Raises:
        DataError: At least one of the files is no image. The message names both if both are not.
    """
    heads = []
    errors = []
    for kind in ('gt', 'lq'):
        try:
            heads.append(pairs.head(index, kind))
        except DataError as error:
            errors.append(str(error))
    if errors:
        raise DataError('; '.join(errors))
    gt, lq = heads
    return gt, lq


def _fits_scale(gt: Head, lq: Head, scale: int, is_train: bool) -> bool:
    height = lq.height * scale
    width = lq.width * scale
    if is_train:
        return (gt.height, gt.width) == (height, width)
    # BasicSR crops ground truths of validation and test images that are too large.
    return gt.height >= height and gt.width >= width


def _read_sizes(
    dataset: PairedImageDataset, chosen: Iterable[int], scale: int, is_train: bool, patch: int
) -> _Sizes:
    """Read the headers of pairs.

    Args:
        dataset: A paired dataset.
        chosen: Indices of the pairs.
        scale: Upscaling factor.
        is_train: Whether the dataset is trained on.
        patch: Side of the ground-truth patches in pixels; 0 without patches.
    """
    pairs = WholeImagePairs(dataset, [], scale)
    sizes = _Sizes()
    for index in chosen:
        try:
            gt, lq = _read_heads(pairs, index)
        except DataError as error:
            sizes.unreadable.append(str(error))
            continue
        name = dataset.paths[index]['gt_path']
        size = f'{name} {gt.height}×{gt.width}'
        if not _fits_scale(gt, lq, scale, is_train):
            sizes.mismatched.append(f'{size}, low-resolution {lq.height}×{lq.width}')
        elif min(gt.height, gt.width) < patch:
            sizes.small.append(size)
        if not all((gt.eight_bits, gt.opaque, lq.eight_bits, lq.opaque)):
            sizes.reduced.append(name)
        sizes.pixels += gt.height * gt.width
    return sizes


def _report(findings: Findings, key: str, images: list[str], text: str) -> None:
    """Add an error that names the first few images; do nothing without images."""
    if not images:
        return
    more = f' and {len(images) - _MAX_LISTED} more' if len(images) > _MAX_LISTED else ''
    listed = '; '.join(images[:_MAX_LISTED])
    findings.error(f'{key}: {len(images)} {text}: {listed}{more}', DataError)


def _report_sizes(findings: Findings, sizes: _Sizes, key: str, scale: int, patch: int) -> None:
    _report(findings, key, sizes.unreadable, 'pairs with a file that cannot be read as an image')
    _report(
        findings,
        key,
        sizes.mismatched,
        f'ground truths are not {scale} times as large as their low-resolution images',
    )
    _report(
        findings,
        f'{key}.gt_size',
        sizes.small,
        f'images are smaller than a patch of {patch} pixels',
    )
    if sizes.reduced:
        findings.warning(
            f'{key}: {len(sizes.reduced)} images with more than 8 bits or transparency, which '
            f'BasicSR drops: {"; ".join(sizes.reduced[:_MAX_LISTED])}'
        )


def _check_dataset(config: TrainingConfig, entry: DatasetConfig, findings: Findings) -> float:
    """Check the images of a dataset, and return the number of pixels of its ground truths.

    The number is extrapolated if only some of the images are read.
    """
    scale = config.scale
    is_train = entry.phase == 'train'
    dataset = build_paired(entry, scale)
    count = len(dataset.paths)
    if not count:
        root = entry.options['dataroot_gt']
        findings.error(f"{entry.key}.dataroot_gt: '{root}' has no images", DataError)
        return 0
    step = -(-count // _MAX_PAIRS)
    chosen = range(0, count, step)
    patch = (entry.gt_size or 0) if is_train else 0
    sizes = _read_sizes(dataset, chosen, scale, is_train, patch)
    _report_sizes(findings, sizes, entry.key, scale, patch)
    if not (sizes.unreadable or sizes.mismatched or sizes.small):
        some = f' ({len(chosen)} read)' if len(chosen) < count else ''
        findings.ok(f'{entry.key}: {count} pairs, sizes fit the scale, {scale}{some}')
    if is_train:
        _check_length(config, count, findings)
    return sizes.pixels * count / len(chosen)


def _check_length(config: TrainingConfig, count: int, findings: Findings) -> None:
    """Check that BasicSR's loop does not end early, which happens with few images."""
    block = config.train_dataset.options
    total = config.options['train']['total_iter']
    ratio = block.get('dataset_enlarge_ratio', 1)
    batch = block['batch_size_per_gpu']
    last = last_iteration(block, count, total)
    if last < total:
        findings.error(
            f'datasets.train.dataset_enlarge_ratio: {ratio}; with {count * ratio} images per epoch '
            f"in batches of {batch}, BasicSR's loop ends after {last} of {total} iterations; use "
            '10 or more'
        )


def check_images(config: TrainingConfig, findings: Findings) -> float:
    """Check the images of all datasets.

    Args:
        config: The option file.
        findings: Results are added to it.

    Returns:
        Total number of pixels of all ground truths of the training; 0 if unknown.
    """
    pixels: float = 0
    for entry in config.paired_datasets:
        if not has_folders(entry):
            continue  # check_fast reports it
        with findings.collect_errors():
            found = _check_dataset(config, entry, findings)
            pixels = found if entry.phase == 'train' else pixels
    with findings.collect_errors():
        _check_patches(config, findings)
    return pixels


def _check_patches(config: TrainingConfig, findings: Findings) -> None:
    """Check that low-resolution patches consist of whole windows of the student."""
    multiple = size_multiple(build(config.network, 'network_g'))
    train = config.datasets.get('train')
    size = None if train is None else train.gt_size
    if config.is_fusion_stage or size is None or (size // config.scale) % multiple == 0:
        return
    findings.error(
        f'datasets.train.gt_size: {size}, which makes patches of {size // config.scale} '
        f'low-resolution pixels, but {config.network["type"]} has windows of {multiple}; expected '
        f'a multiple of {multiple * config.scale}'
    )
