"""Measurements of the parts of a training, each within seconds."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..config import TrainingConfig
from ..data.cache.format import array_names
from ..data.cache.inputs import CachedImage, CacheInput
from ..data.cache.key import CacheKey
from ..data.cache.writer import CacheWriter
from ..data.whole_images import PairedImageDataset, WholeImagePairs
from ..errors import DataError
from ..functional.least_squares_mix import pixel_products
from ..host.api import METRIC_REGISTRY, BaseModel, registered_name
from ..utils.cudnn import cudnn_flags
from ..utils.image_tensors import to_array
from .estimates import Estimate, extrapolate
from .image_contents import spread

# The clock of all measurements, and the seconds that one of them may take on a CPU; more is
# extrapolated. A benchmark may set both: on a machine with other work, to the time of the process.
clock = time.perf_counter
budget = 3.0
# Steps before the clock starts: torch loads kernels and allocates, and compiles once more when a
# constant of the network has moved to the device. On a CPU one is enough.
_WARM_UP = {'cpu': 1, 'cuda': 4}
_STEPS = {'cpu': 1, 'cuda': 5}
# Images that are decoded, or whose sizes are read.
_SAMPLE = 5
# Sides of low-resolution images that networks are timed on.
_SIDES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# Images of a batch that all methods can be timed with: RKD takes triples of them.
_LEAST_BATCH = 3
# A patch of fewer low-resolution pixels is padded to the windows of a network.
_LEAST_PATCH = 8


def seconds_of_a_step(
    model: BaseModel, images: dict[str, torch.Tensor], device: torch.device, first: int = 1
) -> float:
    """Time training steps, with the choice of convolutions that a training has.

    Args:
        model: A model for training.
        images: A batch.
        device: Device of the model; on a GPU the clock stops when it is done.
        first: Iteration of the first step.

    Returns:
        Seconds of a step, the median.
    """
    times = []
    warm_up = _WARM_UP[device.type]
    # BasicSR's training script switches this on.
    with cudnn_flags(benchmark=True):
        for i in range(first, first + warm_up + _STEPS[device.type]):
            start = clock()
            model.feed_data(images)
            model.optimize_parameters(i)
            if device.type == 'cuda':
                torch.cuda.synchronize(device)
            times.append(clock() - start)
    return statistics.median(times[warm_up:])


def step_sizes(
    batch: int, patch: int, scale: int, device: torch.device
) -> list[tuple[float, tuple[int, int]]]:
    """List the sizes of steps to measure: pixels, then images and side of a ground-truth patch.

    A GPU measures the whole step at once. A CPU begins with few small patches. The images come
    last: the cost of some methods grows with the square of the size of a patch.
    """
    whole = (batch, patch)
    sizes = []
    if device.type == 'cpu':
        least = min(batch, _LEAST_BATCH)
        for part in (4, 2, 1):
            side = patch // part
            if side % scale == 0 and side // scale >= _LEAST_PATCH:
                sizes.append((least, side))
        count = 2 * least
        while count < batch:
            sizes.append((count, patch))
            count *= 2
    if whole not in sizes:
        sizes.append(whole)
    return [(count * side**2, (count, side)) for count, side in sizes]


def seconds_of_networks(
    network: Callable[[torch.Tensor], torch.Tensor],
    pixels: float,
    device: torch.device,
    sides: Sequence[int] = _SIDES,
    seconds: float | None = None,
    channels: int = 3,
) -> Estimate[float]:
    """Time networks on squares of random numbers, up to the size of an image.

    Args:
        network: Takes (1, channels, h, w).
        pixels: Low-resolution pixels of the image, the size that is asked for.
        device: Device of the network.
        sides: Sides of the squares before it.
        seconds: Seconds that a measurement may take; None for :data:`budget`.
        channels: Channels of the image.
    """
    most = budget if seconds is None else seconds

    def measure(amount: float) -> float:
        side = max(round(amount**0.5), 1)
        image = torch.rand(1, channels, side, side, device=device)
        taken = 0.0
        with torch.no_grad():
            for _ in range(2):  # kernels are loaded in the first
                start = clock()
                network(image)
                if device.type == 'cuda':
                    torch.cuda.synchronize(device)
                taken = clock() - start
                if taken > most / 2:
                    break
        return taken

    sizes = [float(side**2) for side in sides if side**2 < 0.8 * pixels]
    sizes.append(float(pixels))
    return extrapolate(measure, [(size, size) for size in sizes], most)


def mean_pixels(pairs: WholeImagePairs) -> float:
    """Return the mean number of pixels of some of the ground truths."""
    sizes = []
    for index in spread(len(pairs.dataset), _SAMPLE):
        h, w = pairs.size(index)
        sizes.append(h * w)
    return float(np.mean(sizes))


def seconds_of_decoding(dataset: PairedImageDataset, scale: int) -> float:
    """Time the decoding of some pairs: seconds for each pixel of a ground truth."""
    pairs = WholeImagePairs(dataset, scale)
    pixels = 0
    start = clock()
    for index in spread(len(dataset), _SAMPLE):
        with contextlib.suppress(DataError):  # other checks report it
            h, w = pairs.pair(index).gt.shape[:2]
            pixels += h * w
    return (clock() - start) / max(pixels, 1)


def seconds_of_writing(side: int, scale: int, outputs: int, folder: str | None = None) -> float:
    """Time a cache of a few squares of random numbers: seconds for each pixel of a ground truth.

    Args:
        side: Side of the squares, a multiple of the scale.
        scale: Upscaling factor.
        outputs: Outputs of an image; 1 is taken for a fused target.
        folder: Where to write; None for the folder of temporary files.
    """
    images = tuple(CachedImage(f'{i}.png', side, side) for i in range(_SAMPLE))
    names = {f'teacher_{i}': CacheInput({}) for i in range(outputs)}
    key = CacheKey('teachers', scale, names, None, images)
    random = np.random.default_rng(0)
    arrays = {}
    for name in array_names(key):
        n = side // scale if name == 'lq' else side
        arrays[name] = random.integers(0, 256, (n, n, 3), np.uint8)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        start = clock()
        with CacheWriter(f'{temporary}/cache.lmdb', key) as writer:
            for i in range(_SAMPLE):
                writer.put(i, arrays)
            writer.finish()
        seconds = clock() - start
    return seconds / (_SAMPLE * side**2)


def seconds_of_fit(teachers: int) -> float:
    """Time the sums from which the mix of stage 1 is fitted: seconds for each pixel."""
    side = 512
    planes = torch.randint(0, 256, (3 * teachers + 3, side, side), dtype=torch.uint8)
    times = []
    for _ in range(3):
        start = clock()
        pixel_products(planes)
        times.append(clock() - start)
    return min(times) / side**2


def seconds_of_metrics(config: TrainingConfig, pixels: float) -> float:
    """Time ``val.metrics`` on random numbers: seconds for an image of so many pixels."""
    side = 192  # two blocks of NIQE
    image = to_array(torch.rand(1, 3, side, side))
    start = clock()
    for block in ((config.options.get('val') or {}).get('metrics') or {}).values():
        name = registered_name(METRIC_REGISTRY, block['type'])
        arguments = {key: value for key, value in block.items() if key != 'type'}
        METRIC_REGISTRY.get(name)(img=image, img2=image, **arguments)
    return (clock() - start) * pixels / side**2
