"""Checks that decode images: damaged files, and pairs that do not show the same."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ..data.whole_images import WholeImagePairs
from ..errors import DataError
from ..utils.progress import progress
from .findings import Findings, listed
from .pair_contents import Mismatch, find_mismatch

# Number of pairs of a dataset that are decoded before a training, and by ``mtkd check``.
FEW = 3
SOME = 16
ALL = None


class _Result(NamedTuple):
    """What decoding a pair has shown.

    Attributes:
        name: The ground truth.
        errors: A message for each file that cannot be used.
        mismatch: How the images of the pair differ; None if they fit.
    """

    name: str
    errors: list[str]
    mismatch: Mismatch | None


class _Inspected(Dataset[Any]):
    """The results of decoding pairs, computed where they are asked for: in a worker process."""

    def __init__(self, pairs: WholeImagePairs, indices: Sequence[int]) -> None:
        self.pairs = pairs
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> _Result:
        index = self.indices[i]
        images: list[np.ndarray] = []
        errors: list[str] = []
        for kind in ('gt', 'lq'):
            try:
                images.append(self.pairs.image(index, kind))
            except DataError as error:
                errors.append(str(error))
        mismatch = None
        if not errors:
            gt, lq = images
            if gt.shape[0] >= lq.shape[0] * self.pairs.scale:
                mismatch = find_mismatch(gt, lq, self.pairs.scale)
        return _Result(self.pairs.dataset.paths[index]['gt_path'], errors, mismatch)


def spread(count: int, most: int | None) -> list[int]:
    """Return at most ``most`` indices of ``count``, evenly spread; all of them for None."""
    chosen = count if most is None else min(count, most)
    return [int(index) for index in np.linspace(0, count - 1, chosen)] if count else []


def _inspect(
    pairs: WholeImagePairs, indices: Sequence[int], workers: int, key: str
) -> Iterator[_Result]:
    """Yield what decoding each pair shows; with workers also a progress bar."""
    inspected = _Inspected(pairs, indices)
    if not workers:
        yield from map(inspected.__getitem__, range(len(indices)))
        return
    loader = DataLoader(inspected, batch_size=None, num_workers=workers)
    yield from progress(loader, total=len(indices), unit='pair', desc=key)


def check_contents(
    findings: Findings, key: str, pairs: WholeImagePairs, indices: Iterable[int], workers: int = 0
) -> bool:
    """Decode pairs, and report what is damaged, and what does not belong together.

    Args:
        findings: Results are added to it.
        key: Option key of the dataset.
        pairs: All pairs of the dataset.
        indices: The pairs to decode; those with files that are no images are left out before.
        workers: Number of processes that decode, with a progress bar; 0 for this one.

    Returns:
        Whether all of them can be used.
    """
    chosen = sorted(set(indices))
    errors: list[str] = []
    mismatches: dict[str, list[str]] = {'turned': [], 'other': [], 'shifted': []}
    for result in _inspect(pairs, chosen, workers, key):
        errors += result.errors
        if result.mismatch is not None:
            mismatches[result.mismatch.kind].append(f'{result.name} ({result.mismatch.text})')
    among = f'of {len(chosen)} pairs that were decoded'
    if errors:
        findings.error(f'{key}: {len(errors)} files cannot be decoded: {listed(errors)}', DataError)
    if mismatches['turned']:
        findings.error(
            f'{key}: {len(mismatches["turned"])} {among} have a low-resolution image that is '
            f'turned or mirrored against its ground truth: {listed(mismatches["turned"])}; images '
            'with an EXIF orientation are turned when they are read',
            DataError,
        )
    if mismatches['other']:
        findings.warning(
            f'{key}: {len(mismatches["other"])} {among} have a low-resolution image that shows '
            f'something else than its ground truth: {listed(mismatches["other"])}'
        )
    if mismatches['shifted']:
        findings.warning(
            f'{key}: {len(mismatches["shifted"])} {among} have a low-resolution image that is '
            f'shifted (pixels in x, y): {listed(mismatches["shifted"])}'
        )
    return not (errors or mismatches['turned'])
