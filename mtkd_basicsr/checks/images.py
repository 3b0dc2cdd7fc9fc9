"""Checks that images fit together: sizes of pairs, and of patches."""

import os
from collections.abc import Iterable, Iterator

from ..config import DatasetConfig, TrainingConfig
from ..data.whole_images import PairedImageDataset, Pairs, paired_dataset
from ..errors import DataError
from ..host.training_loop import last_iteration
from ..utils.image_folder import Head
from ..weights.networks import build, size_multiple
from .findings import Findings

_MAX_PAIRS = 2000  # pairs whose sizes are read; more of them are taken at equal distances
_MAX_LISTED = 3


def build_paired(
    dataset: DatasetConfig, scale: int, phase: str | None = None
) -> PairedImageDataset:
    """Build a dataset of pairs.

    Args:
        dataset: Its entry in the option file.
        scale: Factor.
        phase: What it is built for; by default what its entry is for.

    Raises:
        DataError: BasicSR cannot list the images.
    """
    phase = phase or dataset.phase
    options = {**dataset.options, 'phase': phase.split('_')[0], 'scale': scale}
    return paired_dataset(options, f'datasets.{phase}')


def _heads(
    dataset: PairedImageDataset, scale: int, chosen: Iterable[int]
) -> Iterator[tuple[str, Head | DataError, Head | DataError]]:
    """Read the heads of pairs.

    Yields:
        Path of the ground truth, its head, and that of the low-resolution image; an error in the
        place of a head for a file that is no image.
    """
    pairs = Pairs(dataset, [], scale)
    for index in chosen:
        found: list[Head | DataError] = []
        for kind in ('gt', 'lq'):
            try:
                found.append(pairs.head(index, kind))
            except DataError as error:
                found.append(error)
        gt, lq = found
        yield dataset.paths[index]['gt_path'], gt, lq


def _report(findings: Findings, key: str, wrong: list[str], text: str) -> None:
    if wrong:
        more = f' and {len(wrong) - _MAX_LISTED} more' if len(wrong) > _MAX_LISTED else ''
        listed = '; '.join(wrong[:_MAX_LISTED])
        findings.error(f'{key}: {len(wrong)} {text}: {listed}{more}', DataError)


def _check_dataset(config: TrainingConfig, entry: DatasetConfig, findings: Findings) -> float:
    """Check the images of a dataset, and return how many pixels its ground truths have."""
    scale = config.scale
    phase = entry.phase
    dataset = build_paired(entry, scale)
    count = len(dataset.paths)
    if not count:
        root = entry.options['dataroot_gt']
        findings.error(f"datasets.{phase}.dataroot_gt: '{root}' has no images", DataError)
        return 0
    chosen = range(0, count, -(-count // _MAX_PAIRS))
    unreadable = []
    unequal = []
    small = []
    reduced: list[str] = []
    size = (entry.gt_size or 0) if phase == 'train' else 0
    pixels = 0
    for name, gt, lq in _heads(dataset, scale, chosen):
        if isinstance(gt, DataError) or isinstance(lq, DataError):
            unreadable.append(
                '; '.join(str(head) for head in (gt, lq) if isinstance(head, DataError))
            )
            continue
        wanted = lq.height * scale, lq.width * scale
        if phase == 'train':
            differs = gt[:2] != wanted
        else:  # of validation images BasicSR cuts what is too much
            differs = gt.height < wanted[0] or gt.width < wanted[1]
        if differs:
            unequal.append(f'{name} {gt.height}×{gt.width}, low-resolution {lq.height}×{lq.width}')
        elif min(gt[:2]) < size:
            small.append(f'{name} {gt.height}×{gt.width}')
        if not all((gt.eight_bits, gt.opaque, lq.eight_bits, lq.opaque)):
            reduced.append(name)
        pixels += gt.height * gt.width
    _report(
        findings,
        f'datasets.{phase}',
        unreadable,
        'pairs with a file that cannot be read as an image',
    )
    _report(
        findings,
        f'datasets.{phase}',
        unequal,
        f'ground truths are not {scale} times as large as their low-resolution images',
    )
    _report(
        findings,
        f'datasets.{phase}.gt_size',
        small,
        f'images are smaller than a patch of {size} pixels',
    )
    if reduced:
        findings.warning(
            f'datasets.{phase}: {len(reduced)} images with more than 8 bits or transparency, which '
            'BasicSR drops: '
            f'{"; ".join(reduced[:_MAX_LISTED])}'
        )
    if not (unreadable or unequal or small):
        some = f' ({len(chosen)} read)' if len(chosen) < count else ''
        findings.ok(f'datasets.{phase}: {count} pairs, sizes fit the scale, {scale}{some}')
    if phase == 'train':
        _check_length(config, count, findings)
    return pixels * count / len(chosen)


def _check_length(config: TrainingConfig, count: int, findings: Findings) -> None:
    """Check that BasicSR's loop does not end too early, as it does with few images."""
    block = config.train_dataset.options
    total = config.options['train']['total_iter']
    ratio = block.get('dataset_enlarge_ratio', 1)
    batch = block['batch_size_per_gpu']
    ends = last_iteration(block, count, total)
    if ends < total:
        findings.error(
            f'datasets.train.dataset_enlarge_ratio: {ratio}, {count * ratio} images in an epoch in '
            f"batches of {batch}: BasicSR's loop ends after {ends} of {total} iterations; use 10 "
            'or more'
        )


def check_images(config: TrainingConfig, findings: Findings) -> float:
    """Check the images of all datasets.

    Args:
        config: The option file.
        findings: Grows.

    Returns:
        Pixels of all ground truths of the training; 0 if that is not known.
    """
    pixels: float = 0
    for entry in config.paired_datasets:
        roots = [str(entry.options.get(key)) for key in ('dataroot_gt', 'dataroot_lq')]
        if not all(os.path.exists(os.path.expanduser(root)) for root in roots):
            continue  # check_fast has said so
        with findings.collect_errors():
            found = _check_dataset(config, entry, findings)
            pixels = found if entry.phase == 'train' else pixels
    with findings.collect_errors():
        _check_patches(config, findings)
    return pixels


def _check_patches(config: TrainingConfig, findings: Findings) -> None:
    """Check that low-resolution patches have whole windows of the student."""
    multiple = size_multiple(build(config.network, 'network_g'))
    train = config.datasets.get('train')
    size = None if train is None else train.gt_size
    if config.is_fusion_stage or size is None or (size // config.scale) % multiple == 0:
        return
    findings.error(
        f'datasets.train.gt_size: {size}, patches of {size // config.scale} low-resolution pixels; '
        f'{config.network["type"]} has windows of {multiple}: expected a multiple of '
        f'{multiple * config.scale}'
    )
