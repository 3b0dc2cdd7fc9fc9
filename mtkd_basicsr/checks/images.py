"""Checks of image sizes: pairs must match the scale, patches the network."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..config import DatasetConfig, TrainingConfig
from ..data.whole_images import WholeImagePairs
from ..errors import DataError
from ..host.training_loop import steps_of_an_epoch
from ..utils.image_head import Head
from .dataset_options import backend_problem
from .findings import Findings, listed
from .image_contents import ALL, FEW, check_contents, spread
from .metric_sizes import MetricSize, metric_sizes
from .paired import build_paired, has_folders
from .student import check_student

# Number of pairs whose sizes are read. Of a larger dataset every n-th pair is read.
_MAX_PAIRS = 2000
# Ground truths of test sets are often larger than low-resolution images that were made after a crop
# to multiples of 12, which fit all scales.
_COMMON_MULTIPLE = 12
# Number of pairs with different EXIF orientations that are decoded besides the sample.
_MAX_TURNED = 4


@dataclass
class _Sizes:
    """What the headers of the images of a dataset say.

    Attributes:
        unreadable: One message for each pair with a file that is no image.
        mismatched: Pairs whose sizes do not fit the scale.
        small: Ground truths that are smaller than a patch.
        reduced: Images from which BasicSR drops bits or transparency.
        notes: Images that BasicSR reads otherwise than viewers do, by what it is about them.
        turned: Indices of the pairs whose images have different EXIF orientations.
        tiny: Images that are too small, by the metric.
        pixels: Total number of pixels of the ground truths.
    """

    unreadable: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    reduced: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    turned: list[int] = field(default_factory=list)
    tiny: dict[MetricSize, list[str]] = field(default_factory=lambda: defaultdict(list))
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
    # BasicSR crops ground truths of validation and test images: what is left over by the division,
    # also by that which the low-resolution images of all scales were made for.
    rest = max(scale, _COMMON_MULTIPLE)
    return 0 <= gt.height - height < rest and 0 <= gt.width - width < rest


def _notes(head: Head) -> Iterator[str]:
    """Yield what BasicSR ignores of an image, apart from bits and transparency."""
    if head.profile is not None:
        yield f"with the colour profile '{head.profile}', which BasicSR ignores as if it were sRGB"
    if head.cmyk:
        yield 'in CMYK, which BasicSR converts without a profile'
    if head.frames > 1:
        yield 'with several frames or pages, of which BasicSR reads the first'


def _read_sizes(
    pairs: WholeImagePairs,
    chosen: Iterable[int],
    is_train: bool,
    patch: int,
    metrics: Sequence[MetricSize],
) -> _Sizes:
    """Read the headers of pairs.

    Args:
        pairs: A paired dataset.
        chosen: Indices of the pairs.
        is_train: Whether the dataset is trained on.
        patch: Side of the ground-truth patches in pixels; 0 without patches.
        metrics: The metrics that are computed of the images.
    """
    dataset = pairs.dataset
    scale = pairs.scale
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
        elif max(gt.height - lq.height * scale, gt.width - lq.width * scale) >= scale:
            note = 'with more rows or columns than their pairs have, which BasicSR cuts'
            sizes.notes[note].append(f'{size}, low-resolution {lq.height}×{lq.width}')
        if not all((gt.eight_bits, gt.opaque, lq.eight_bits, lq.opaque)):
            sizes.reduced.append(name)
        for path, head in ((name, gt), (dataset.paths[index]['lq_path'], lq)):
            for note in _notes(head):
                sizes.notes[note].append(path)
        if gt.orientation != lq.orientation:
            sizes.turned.append(index)
        for metric in metrics:
            if not metric.fits(lq.height * scale, lq.width * scale):
                sizes.tiny[metric].append(size)
        sizes.pixels += gt.height * gt.width
    return sizes


def _report(findings: Findings, key: str, images: list[str], text: str) -> None:
    """Add an error that names the first few images; do nothing without images."""
    if images:
        findings.error(f'{key}: {len(images)} {text}: {listed(images)}', DataError)


def _report_sizes(
    findings: Findings,
    sizes: _Sizes,
    key: str,
    scale: int,
    patch: int,
) -> None:
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
    for metric, images in sizes.tiny.items():
        _report(
            findings,
            metric.key,
            images,
            f'images of {key} are too small for it, which needs {metric.expected}',
        )
    dropped = 'with more than 8 bits or transparency, which BasicSR drops'
    for note, images in {dropped: sizes.reduced, **sizes.notes}.items():
        if images:
            findings.warning(f'{key}: {len(images)} images {note}: {listed(images)}')


def check_pairs(
    entry: DatasetConfig,
    scale: int,
    findings: Findings,
    metrics: Sequence[MetricSize] = (),
    decoded: int | None = FEW,
    workers: int = 0,
) -> tuple[int, float]:
    """Check the images of a dataset.

    Args:
        entry: A paired dataset, whose folders exist.
        scale: Upscaling factor.
        findings: Results are added to it.
        metrics: The metrics that the images must be large enough for.
        decoded: Number of pairs that are decoded; None for all.
        workers: Number of processes that decode, with a progress bar; 0 for this one.

    Returns:
        Number of pairs, and of pixels of all ground truths, which is extrapolated if only some of
        the images are read.

    Raises:
        DataError: BasicSR cannot list the images.
    """
    is_train = entry.phase == 'train'
    dataset = build_paired(entry, scale)
    count = len(dataset.paths)
    if not count:
        root = entry.options['dataroot_gt']
        findings.error(f"{entry.key}.dataroot_gt: '{root}' has no images", DataError)
        return 0, 0
    step = 1 if decoded is ALL else -(-count // _MAX_PAIRS)
    chosen = range(0, count, step)
    pairs = WholeImagePairs(dataset, scale)
    patch = (entry.gt_size or 0) if is_train else 0
    sizes = _read_sizes(pairs, chosen, is_train, patch, metrics)
    _report_sizes(findings, sizes, entry.key, scale, patch)
    sample = spread(count, decoded)
    if not (sizes.unreadable or sizes.mismatched):
        turned = [sizes.turned[i] for i in spread(len(sizes.turned), _MAX_TURNED)]
        check_contents(findings, entry.key, pairs, [*sample, *turned], workers)
    if not (sizes.unreadable or sizes.mismatched or sizes.small):
        some = f' ({len(chosen)} read)' if len(chosen) < count else ''
        if len(sample) < count:
            some += f'; {len(sample)} of them decoded, all with mtkd check --all-images'
        findings.ok(f'{entry.key}: {count} pairs, sizes fit the scale, {scale}{some}')
    return count, sizes.pixels * count / len(chosen)


def _check_length(config: TrainingConfig, count: int, findings: Findings) -> None:
    """Check that there is a whole batch in an epoch: BasicSR leaves out a last, smaller one."""
    block = config.train_dataset.options
    if steps_of_an_epoch(block, count) == 0:
        ratio = block.get('dataset_enlarge_ratio', 1)
        batch = block['batch_size_per_gpu']
        findings.error(
            f'datasets.train.dataset_enlarge_ratio: {ratio}; {count} images make '
            f'{math.ceil(count * ratio)} per epoch, fewer than a batch of {batch}; use '
            f'{math.ceil(batch / count)} or more'
        )


def check_images(
    config: TrainingConfig, findings: Findings, decoded: int | None = FEW, workers: int = 0
) -> float:
    """Check the images of all datasets.

    Args:
        config: The option file.
        findings: Results are added to it.
        decoded: Number of pairs of each dataset that are decoded; None for all.
        workers: Number of processes that decode, with a progress bar; 0 for this one.

    Returns:
        Total number of pixels of all ground truths of the training; 0 if unknown.
    """
    pixels: float = 0
    for entry in config.paired_datasets:
        if not has_folders(entry):
            continue  # check_fast reports it
        if backend_problem(entry) is not None:
            continue  # as it does this
        with findings.collect_errors():
            metrics = [] if entry.phase == 'train' else list(metric_sizes(config))
            count, found = check_pairs(entry, config.scale, findings, metrics, decoded, workers)
            if entry.phase == 'train':
                pixels = found
                if count and not config.only_fits:  # which reads whole images
                    _check_length(config, count, findings)
    with findings.collect_errors():
        check_student(config)
    return pixels
