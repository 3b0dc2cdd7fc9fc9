"""Whether images fit together: sizes of pairs, and of patches."""

import math
import os

from ..data.whole_images import Pairs, paired_dataset
from ..errors import DataError
from ..weights.networks import build, size_multiple
from .static import paired

_MOST = 2000  # pairs whose sizes are read; more of them are taken at equal distances
_NAMED = 3


def dataset_of(block, opt, phase):
    """The dataset of a phase.

    Raises:
        DataError: BasicSR cannot list the images.
    """
    return paired_dataset(
        {**block, 'phase': phase.split('_')[0], 'scale': opt['scale']}, f'datasets.{phase}'
    )


def _heads(dataset, scale, chosen):
    """(name, head of the ground truth, of the low-resolution image) of each pair; an error for a
    file that is no image.
    """
    pairs = Pairs(dataset, [], scale)
    for index in chosen:
        found = []
        for kind in ('gt', 'lq'):
            try:
                found.append(pairs.head(index, kind))
            except DataError as error:
                found.append(error)
        yield (dataset.paths[index]['gt_path'], *found)


def _report(findings, key, wrong, text):
    if wrong:
        more = f' and {len(wrong) - _NAMED} more' if len(wrong) > _NAMED else ''
        findings.error(f'{key}: {len(wrong)} {text}: {"; ".join(wrong[:_NAMED])}{more}', DataError)


def _check_phase(opt, phase, block, findings):
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
    reduced = []
    size = block.get('gt_size', 0) if phase == 'train' else 0
    pixels = 0
    for name, gt, lq in _heads(dataset, scale, chosen):
        if isinstance(gt, DataError) or isinstance(lq, DataError):
            unreadable.append(
                '; '.join(str(head) for head in (gt, lq) if isinstance(head, DataError))
            )
            continue
        wanted = lq.height * scale, lq.width * scale
        # Of validation images BasicSR cuts what is too much.
        if (
            gt[:2] != wanted
            if phase == 'train'
            else (gt.height < wanted[0] or gt.width < wanted[1])
        ):
            unequal.append(f'{name} {gt.height}×{gt.width}, low-resolution {lq.height}×{lq.width}')
        elif min(gt[:2]) < size:
            small.append(f'{name} {gt.height}×{gt.width}')
        reduced += [name] if not all((gt.eight_bits, gt.opaque, lq.eight_bits, lq.opaque)) else []
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


def _check_length(opt, count, findings):
    """BasicSR counts a last, smaller batch in each epoch, and leaves it out: with few images its
    loop ends too early.
    """
    block = opt['datasets']['train']
    total = opt['train']['total_iter']
    images = count * block.get('dataset_enlarge_ratio', 1)
    batch = block['batch_size_per_gpu']
    ends = (math.ceil(total / math.ceil(images / batch)) + 1) * (images // batch) if images else 0
    if ends < total:
        findings.error(
            f'datasets.train.dataset_enlarge_ratio: {block.get("dataset_enlarge_ratio", 1)}, '
            f'{images} images in an epoch in '
            f"batches of {batch}: BasicSR's loop ends after {ends} of {total} iterations; use 10 "
            'or more'
        )


def check_images(opt, findings):
    """Looks at the images of all datasets.

    Args:
        opt (dict): All options.
        findings (Findings): Grows.

    Returns:
        float: Pixels of all ground truths of the training; 0 if that is not known.
    """
    pixels = 0
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
