"""Stage 1 without training: the best mix of the teachers over all images, in closed form."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..config import TrainingConfig
from ..data.cache.reader import CacheReader
from ..data.distill_dataset import matching_indices
from ..data.whole_images import WholeImagePairs, build_paired_dataset
from ..errors import DataError
from ..functional.least_squares_mix import (
    pixel_products,
    solve_mix,
    weighted_square,
    without_border,
)
from ..utils.image_tensors import to_array
from ..utils.images import psnr
from ..utils.progress import progress

# Names of what is measured beside the teachers.
MEAN = 'mean of teachers'
FITTED = 'fitted mix'
# Y of RGB in [0, 255], after ITU-R BT.601 as MATLAB has it; its constant is in both images.
_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
# Runs the teachers on the low-resolution image, (h, w, 3), BGR, uint8, of a ground truth with this
# path: (1, 3 · N, scale · h, scale · w), RGB, [0, 1].
Enlarge = Callable[[str, torch.Tensor], torch.Tensor]
# Ground truth and outputs of the teachers, each (h, w, 3), BGR, uint8.
_Images = list[np.ndarray]


@dataclass(frozen=True)
class MixFit:
    """The mix of the teachers with the least squared error on all images.

    Attributes:
        mix: (3, 3 · N), float64: RGB of the fused image from RGB of each teacher.
        psnr: PSNR on Y without the border of ``scale`` pixels, mean over the images, in dB: of each
            teacher by name, of their mean, and of the mix, both neither cut to [0, 1] nor rounded.
        images: Number of images.
        pixels: Number of pixels of their ground truths.
        seconds: Time that it took.
    """

    mix: torch.Tensor
    psnr: dict[str, float]
    images: int
    pixels: int
    seconds: float

    def describe(self, source: str) -> list[str]:
        """Return lines for the log; ``source`` is where the outputs came from."""
        measured = [f'{name} {value:.2f} dB' for name, value in self.psnr.items()]
        return [
            f'train.total_iter: 0: the mix of the teachers is fitted to {self.images} images, '
            f'{self.pixels / 1e6:,.1f} megapixels, {source}, in {self.seconds:,.1f} s',
            f'PSNR on Y of these images: {", ".join(measured)}',
        ]


def _cached_images(
    reader: CacheReader, indices: Sequence[int], share: Sequence[int], names: Sequence[str]
) -> Iterator[tuple[int, _Images]]:
    for index in share:
        arrays = ['gt', *(f'teacher/{name}' for name in names)]
        yield index, [reader.array(indices[index], array).copy() for array in arrays]


def _computed_images(
    pairs: WholeImagePairs, workers: int, enlarge: Enlarge
) -> Iterator[tuple[int, _Images]]:
    for index, lq, gt, _ in DataLoader(pairs, batch_size=None, num_workers=workers):
        if isinstance(index, DataError):
            raise index
        outputs = enlarge(pairs.dataset.paths[index]['gt_path'], lq)
        # Rounded as in a cache, with which the fit then agrees to the last bit.
        yield index, [gt.numpy(), *(to_array(part) for part in outputs.split(3, 1))]


def _planes(images: _Images, device: torch.device) -> torch.Tensor:
    """Stack the teachers, and last the ground truth: (3 · (N + 1), h, w), RGB, uint8."""
    gt, *outputs = images
    stacked = torch.from_numpy(np.stack([*outputs, gt])).to(device)
    return stacked.flip(-1).permute(0, 3, 1, 2).flatten(0, 1)


class _Sums:
    """Sums over the pixels of the images of all processes.

    Args:
        images: Number of images.
        teachers: Number of teachers.
        scale: Width of the border that the PSNR leaves out.
        device: Where they are computed.
    """

    def __init__(self, images: int, teachers: int, scale: int, device: torch.device) -> None:
        channels = 3 * teachers + 3
        self.scale = scale
        self.device = device
        self.all = torch.zeros(channels, channels, dtype=torch.float64, device=device)
        # Of each image, without its border; of an image of another process zero.
        self.inner = self.all.repeat(images, 1, 1)
        self.sizes = torch.zeros(images, 2, dtype=torch.float64, device=device)

    def add(self, index: int, images: _Images) -> None:
        """Add an image: its ground truth and the outputs for it."""
        planes = _planes(images, self.device)
        h, w = planes.shape[1:]
        border = self.scale if min(h, w) > 2 * self.scale else 0
        products = pixel_products(planes)
        self.all += products
        self.inner[index] = without_border(products, planes, border)
        self.sizes[index, 0] = h * w
        self.sizes[index, 1] = (h - 2 * border) * (w - 2 * border)

    def gather(self) -> None:
        """Add the sums of the other processes."""
        for sums in (self.all, self.inner, self.sizes):
            torch.distributed.all_reduce(sums)

    def psnr(self, mix: torch.Tensor) -> float:
        """Return the mean PSNR on Y of a mix, (3, 3 · N), in dB."""
        luma = torch.tensor(_LUMA, dtype=torch.float64)
        weights = torch.cat([luma @ mix, -luma])
        values = []
        for products, pixels in zip(self.inner.cpu(), self.sizes[:, 1].tolist(), strict=True):
            values.append(psnr(weighted_square(products, weights) / pixels))
        return float(np.mean(values))


def fit_mix(
    config: TrainingConfig,
    names: Sequence[str],
    mean: torch.Tensor,
    enlarge: Enlarge | None,
    device: torch.device,
) -> MixFit:
    """Fit the mix of the teachers to all training images, in one pass over them.

    Several processes share the images, and all get the same mix.

    Args:
        config: Options of a stage 1 that only fits.
        names: The teachers in the order of the channels of the fusion network.
        mean: (3, 3 · N), the mean of the teachers as a mix. It decides where the images do not.
        enlarge: Runs the teachers; None reads their outputs from the cache.
        device: Where the sums are computed.

    Returns:
        The mix, and how good it is on these images.

    Raises:
        DataError: An image cannot be used.
        CacheError: The cache is damaged.
    """
    start = time.perf_counter()
    opt = config.options
    block = config.train_dataset.options
    dataset = build_paired_dataset(dict(block), 'datasets.train')
    share = range(opt['rank'], len(dataset), opt['world_size'])
    images: Iterator[tuple[int, _Images]]
    if enlarge is None:
        assert config.target_cache is not None  # it has the outputs
        reader = CacheReader(config.target_cache, readahead=True)
        indices, _ = matching_indices(reader, dataset, block['dataroot_gt'], config.scale)
        images = _cached_images(reader, indices, share, names)
    else:
        pairs = WholeImagePairs(dataset, share, config.scale)
        images = _computed_images(pairs, block.get('num_worker_per_gpu', 0), enlarge)
    sums = _Sums(len(dataset), len(names), config.scale, device)
    with progress(
        images, total=len(share), unit='image', desc='fit', disable=opt['rank'] > 0, end=False
    ) as bar:
        for index, arrays in bar:
            sums.add(index, arrays)
    if opt['dist']:
        sums.gather()
    return _solve(sums, names, mean.to(sums.all), start)


def _solve(sums: _Sums, names: Sequence[str], mean: torch.Tensor, start: float) -> MixFit:
    n = 3 * len(names)
    mix = solve_mix(sums.all[:n, :n], sums.all[n:, :n], mean).cpu()
    mean = mean.cpu()
    mixes: dict[str, torch.Tensor] = {}
    for i, name in enumerate(names):
        mixes[name] = torch.zeros_like(mean)
        mixes[name][:, 3 * i : 3 * i + 3] = torch.eye(3, dtype=mean.dtype)
    mixes.update({MEAN: mean, FITTED: mix})
    measured = {name: sums.psnr(weights) for name, weights in mixes.items()}
    pixels = int(sums.sizes[:, 0].sum())
    return MixFit(mix, measured, len(sums.sizes), pixels, time.perf_counter() - start)
