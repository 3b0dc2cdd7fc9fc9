"""Which images are computed together, and the processes that decode them.

On small images a network costs less for each image if it gets several at once. A batch also changes
the order in which a library adds floating-point numbers, so that a value that lies between two
levels of 255 may become the other one. Batches therefore follow from the list of all images and a
number in the manifest of the cache, and not from what is left to do: a cache that was interrupted
or repaired is the same, bit by bit, as one that was not.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ...errors import DataError
from ...utils.machine import free_bytes, usable_cores

if TYPE_CHECKING:
    from ...data.cache.inputs import CachedImage
    from ...data.whole_images import Pair, WholeImagePairs

# Low-resolution pixels of a batch. With more, a CPU is not faster (benchmarks/cache.py --small). A
# GPU needs them to be busy while the next operations are launched; a whole image of DIV2K has more.
_PIXELS_ON_CPU = 1 << 12
_PIXELS_ON_GPU = 1 << 17
# Memory of a GPU for each of them, in bytes: four times what the paper's networks need in fp32.
_BYTES_OF_A_PIXEL = 1 << 17
# Number of worker processes that pay.
_MOST_WORKERS = 4
# Batches of each worker process in shared memory: two in its queue, and one that it adds.
_PREFETCHED = 3
# Batches in shared memory that wait for the network or the disk.
_WAITING = 3
_SHARED_MEMORY = '/dev/shm'


@dataclass(frozen=True)
class Batch:
    """Images of one size that are computed together.

    Attributes:
        size: Number of images.
        places: Places in the batch of the images that are wanted.
        indices: Their indices in the cache.
    """

    size: int
    places: tuple[int, ...]
    indices: tuple[int, ...]

    def fill(self, images: torch.Tensor) -> torch.Tensor:
        """Put the wanted images in their places, and the first one in all others.

        What a network computes at one place depends on the size of the batch, and not on what the
        other images show.

        Args:
            images: (m, …), the wanted images.

        Returns:
            (size, …).
        """
        if len(self.places) == self.size:
            return images
        rows = [0] * self.size
        for row, place in enumerate(self.places):
            rows[place] = row
        return images[rows]

    def wanted(self, images: torch.Tensor) -> torch.Tensor:
        """Take the wanted images out of a batch: (size, …) -> (m, …)."""
        return images if len(self.places) == self.size else images[list(self.places)]


class LoadedBatch(NamedTuple):
    """The wanted images of a batch.

    Attributes:
        batch: Their places.
        lq: (m, h, w, 3), BGR, uint8.
        gt: (m, scale · h, scale · w, 3), BGR, uint8.
        sources: Notes about the files of each image (:func:`~.sources.notes_of`).
    """

    batch: Batch
    lq: torch.Tensor
    gt: torch.Tensor
    sources: list[dict[str, list[int]]]


def _pixels(image: 'CachedImage', scale: int) -> int:
    return (image.height // scale) * (image.width // scale)


def plan_batches(images: Sequence['CachedImage'], scale: int, pixels: int) -> list[tuple[int, ...]]:
    """Divide images among batches of one size each.

    Args:
        images: All images of a cache.
        scale: Upscaling factor.
        pixels: Low-resolution pixels of a batch at most; of one that holds a single image more.

    Returns:
        Indices of the images of each batch, in order of the last one of each.
    """
    batches: list[tuple[int, ...]] = []
    begun: dict[tuple[int, int], list[int]] = {}
    for index, image in enumerate(images):
        size = image.height, image.width
        begun.setdefault(size, []).append(index)
        if len(begun[size]) >= pixels // _pixels(image, scale):
            batches.append(tuple(begun.pop(size)))
    batches += [tuple(batch) for batch in begun.values()]
    return batches


def choose_batch_pixels(
    images: Sequence['CachedImage'], scale: int, device: torch.device, processes: int
) -> int:
    """Return how many low-resolution pixels of a new cache are computed together.

    Args:
        images: All images of the cache.
        scale: Upscaling factor.
        device: Device of the networks.
        processes: Number of processes that share the images. Each gets some.

    Returns:
        The number; 1 if every image is computed alone.
    """
    pixels = _PIXELS_ON_CPU
    if device.type == 'cuda':
        memory = torch.cuda.get_device_properties(device).total_memory
        pixels = min(_PIXELS_ON_GPU, memory // _BYTES_OF_A_PIXEL)
    total = sum(_pixels(image, scale) for image in images)
    pixels = min(pixels, total // processes)
    return pixels if len(plan_batches(images, scale, pixels)) < len(images) else 1


def without_done(batches: Sequence[Sequence[int]], done: set[int]) -> list[Batch]:
    """Return the batches in which images are missing, with those as the wanted ones.

    Args:
        batches: Indices of the images of each.
        done: Indices of the images that the cache has.
    """
    found = []
    for indices in batches:
        places = tuple(place for place, index in enumerate(indices) if index not in done)
        if places:
            wanted = tuple(indices[place] for place in places)
            found.append(Batch(len(indices), places, wanted))
    return found


class _Batches(Dataset[Any]):
    """Reads the images of batches; an item is a :class:`LoadedBatch`, or an error to be raised."""

    def __init__(
        self, pairs: 'WholeImagePairs', images: Sequence['CachedImage'], batches: list[Batch]
    ) -> None:
        self.pairs = pairs
        self.images = images
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> LoadedBatch | DataError:
        batch = self.batches[i]
        try:
            pairs = [self._pair(index) for index in batch.indices]
        # Returned, for the main process to raise: torch would add a traceback to its message.
        except DataError as error:
            return error
        lq = torch.from_numpy(np.stack([pair.lq for pair in pairs]))
        gt = torch.from_numpy(np.stack([pair.gt for pair in pairs]))
        return LoadedBatch(batch, lq, gt, [pair.notes for pair in pairs])

    def _pair(self, index: int) -> 'Pair':
        pair = self.pairs.pair(index)
        name, height, width = self.images[index]
        found = pair.gt.shape
        if found[:2] != (height, width):
            raise DataError(
                f'{name}: {found[0]}×{found[1]} pixels; its header says {height}×{width}'
            )
        return pair


def _unchanged(batch: Any) -> Any:
    return batch


def _count_workers(batches: Sequence[Batch], images: Sequence['CachedImage'], parts: int) -> int:
    """Return how many processes should decode: few, if they or their shared memory are few.

    Args:
        batches: What they decode.
        images: All images of the cache.
        parts: Number of processes of this machine that start as many.
    """
    workers = min(_MOST_WORKERS, max(1, usable_cores() // parts), len(batches))
    if workers and sys.platform == 'linux' and os.path.isdir(_SHARED_MEMORY):
        largest = 0
        for batch in batches:
            image = images[batch.indices[0]]
            # The low-resolution images of ×2 are a quarter as large.
            size = 3 * image.height * image.width * 5 // 4
            largest = max(largest, size * len(batch.indices))
        room = free_bytes(_SHARED_MEMORY) // parts // largest - _WAITING
        workers = min(workers, max(0, room // _PREFETCHED))
    return workers


def load_batches(
    pairs: 'WholeImagePairs',
    images: Sequence['CachedImage'],
    batches: list[Batch],
    workers: int | None,
    parts: int,
) -> Iterator[LoadedBatch]:
    """Decode the images of batches in worker processes, in order.

    Args:
        pairs: All pairs of images of the data set.
        images: The same images, as the cache lists them.
        batches: The batches.
        workers: Number of worker processes; 0 decodes in this process, None chooses.
        parts: Number of processes of this machine that do the same.

    Raises:
        DataError: An image cannot be read or has another size.
    """
    if workers is None:
        workers = _count_workers(batches, images, parts)
    data = _Batches(pairs, images, batches)
    loader = DataLoader(data, batch_size=None, num_workers=workers, collate_fn=_unchanged)
    for batch in loader:
        if isinstance(batch, DataError):
            raise batch
        yield batch
