"""Checks that images fit together: sizes of pairs, and of patches."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from ..data.whole_images import PairedImageDataset, Pairs, paired_dataset
from ..errors import DataError
from ..host.training_loop import last_iteration
from ..utils.image_folder import Head
from ..weights.networks import build, size_multiple
from .findings import Findings
from .static import paired

_MOST = 2000  # pairs whose sizes are read; more of them are taken at equal distances
_NAMED = 3


def dataset_of(block: dict[str, Any], opt: dict[str, Any], phase: str) -> PairedImageDataset:
    """Build the dataset of a phase.

    Args:
        block: Of the dataset.
        opt: All options.
        phase: ``'train'``, ``'val'``, or ``'val_'`` and a name.

    Raises:
        DataError: BasicSR cannot list the images.
    """
    return paired_dataset(
        {**block, 'phase': phase.split('_')[0], 'scale': opt['scale']}, f'datasets.{phase}'
    )


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
        more = f' and {len(wrong) - _NAMED} more' if len(wrong) > _NAMED else ''
        findings.error(f'{key}: {len(wrong)} {text}: {"; ".join(wrong[:_NAMED])}{more}', DataError)


def _check_phase(
    opt: dict[str, Any], phase: str, block: dict[str, Any], findings: Findings
) -> float:
    """Check the images of a dataset, and return how many pixels its ground truths have."""
    dataset = dataset_of(block, opt, phase)
    scale = opt['scale']
    count = len(dataset.paths)
    if not count:
        findings.error(
            f"datasets.{phase}.dataroot_gt: '{block['dataroot_gt']}' has no images", DataError
        )
        return 0
    chosen = range(0, count, -(-count // _MOST))
    unreadable = []
    unequal = []
    small = []
    reduced: list[str] = []
    size = block.get('gt_size', 0) if phase == 'train' else 0
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
            f'{"; ".join(reduced[:_NAMED])}'
        )
    if not (unreadable or unequal or small):
        some = f' ({len(chosen)} read)' if len(chosen) < count else ''
        findings.fine(f'datasets.{phase}: {count} pairs, sizes fit the scale, {scale}{some}')
    if phase == 'train':
        _check_length(opt, count, findings)
    return pixels * count / len(chosen)


def _check_length(opt: dict[str, Any], count: int, findings: Findings) -> None:
    """Check that BasicSR's loop does not end too early, as it does with few images."""
    block = opt['datasets']['train']
    total = opt['train']['total_iter']
    ratio = block.get('dataset_enlarge_ratio', 1)
    batch = block['batch_size_per_gpu']
    ends = last_iteration(block, count, total)
    if ends < total:
        findings.error(
            f'datasets.train.dataset_enlarge_ratio: {ratio}, {count * ratio} images in an epoch in '
            f"batches of {batch}: BasicSR's loop ends after {ends} of {total} iterations; use 10 "
            'or more'
        )


def check_images(opt: dict[str, Any], findings: Findings) -> float:
    """Check the images of all datasets.

    Args:
        opt: All options.
        findings: Grows.

    Returns:
        Pixels of all ground truths of the training; 0 if that is not known.
    """
    pixels: float = 0
    for phase, block in paired(opt).items():
        if not all(
            os.path.exists(os.path.expanduser(str(block.get(key))))
            for key in ('dataroot_gt', 'dataroot_lq')
        ):
            continue  # check_fast has said so
        with findings.catching():
            found = _check_phase(opt, phase, block, findings)
            pixels = found if phase == 'train' else pixels
    with findings.catching():
        net = build(opt['network_g'], 'network_g')
        size = opt['datasets'].get('train', {}).get('gt_size')
        multiple = size_multiple(net)
        if (
            opt['model_type'] != 'MTKDFusionModel'
            and isinstance(size, int)
            and (size // opt['scale']) % multiple
        ):
            findings.error(
                f'datasets.train.gt_size: {size}, patches of {size // opt["scale"]} low-resolution '
                'pixels; '
                f'{opt["network_g"]["type"]} has windows of {multiple}: expected a multiple of '
                f'{multiple * opt["scale"]}'
            )
    return pixels
