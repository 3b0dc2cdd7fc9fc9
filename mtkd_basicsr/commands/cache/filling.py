"""Compute the missing images of a cache, and write them while the next ones are computed."""

import math
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from ...utils.images import psnr_y
from ...utils.progress import progress
from ...utils.texts import begun

if TYPE_CHECKING:
    from ...data.cache.writer import CacheWriter
    from .batches import LoadedBatch
    from .computing import Outputs, Targets

# Batches that are computed and not yet written, at most.
_WAITING = 2
# Number of images that a message names.
_MAX_LISTED = 3


class _Means:
    """Running means of the PSNR of each output."""

    def __init__(self, array_names: list[str]) -> None:
        self._names = [name.removeprefix('teacher/') for name in array_names]
        self._sums = [0.0] * len(array_names)
        self.count = 0

    def add(self, values: list[float]) -> None:
        """Add the values of one image, in the order of the outputs; none of one too small."""
        if any(map(math.isnan, values)):
            return
        self._sums = [total + value for total, value in zip(self._sums, values, strict=True)]
        self.count += 1

    def __str__(self) -> str:
        if not self.count:
            return ''
        means = []
        for name, total in zip(self._names, self._sums, strict=True):
            means.append(f'{name} {total / self.count:.2f} dB')
        return ', '.join(means)


def _write(
    writer: 'CacheWriter', targets: 'Targets', loaded: 'LoadedBatch', outputs: 'Outputs'
) -> list[list[float]]:
    """Add the images of a batch to a cache, and measure their targets.

    Returns:
        PSNR on Y of each output of each image.
    """
    measured = []
    pixels = outputs.wait()
    for row, index in enumerate(loaded.batch.indices):
        # Copies: the images lie in shared memory, and the writer keeps them for a while.
        arrays = {'lq': loaded.lq[row].numpy().copy(), 'gt': loaded.gt[row].numpy().copy()}
        values = []
        for name, image in zip(targets.array_names, pixels[row], strict=True):
            arrays[name] = image
            values.append(psnr_y(image, arrays['gt'], targets.scale))
        tile = targets.tiled.get(writer.key.images[index].name)
        writer.put(index, arrays, loaded.sources[row], tile)
        measured.append(values)
    return measured


def compute_images(
    writer: 'CacheWriter',
    targets: 'Targets',
    batches: Iterator['LoadedBatch'],
    missing: int,
    share: int,
    rank: int,
) -> None:
    """Compute the missing images of a share, and write them in a thread.

    After an error or Ctrl-C, what is computed is written before it is passed on.

    Args:
        writer: An open writer.
        targets: Computes the targets of images.
        batches: The missing images.
        missing: Their number.
        share: Number of images of the share, including those already written.
        rank: Rank of this process.

    Raises:
        MTKDError: An image cannot be read, or the cache cannot be written.
    """
    images = writer.key.images
    means = _Means(targets.array_names)
    pending: deque[Future[list[list[float]]]] = deque()
    with (
        progress(
            total=share,
            initial=share - missing,
            unit='image',
            desc=targets.contents,
            disable=rank > 0,
        ) as bar,
        ThreadPoolExecutor(1, 'cache') as thread,
    ):

        def collect(most: int) -> None:
            """Wait until at most so many batches are not written; raise the error of the thread."""
            while len(pending) > most or (pending and pending[0].done()):
                measured = pending.popleft().result()
                for values in measured:
                    means.add(values)
                bar.set_postfix_str(str(means))
                bar.update(len(measured))

        try:
            for loaded in batches:
                names = [images[index].name for index in loaded.batch.indices]
                outputs = targets(names, loaded.lq, loaded.batch)
                pending.append(thread.submit(_write, writer, targets, loaded, outputs))
                collect(_WAITING)
            collect(0)
        finally:
            thread.submit(writer.flush)
    if means.count:
        print(f'PSNR on Y of {means.count} images: {means}')
    if targets.tiled:
        print(
            f'WARNING: {len(targets.tiled)} images did not fit into memory and were computed in '
            f'tiles, which changes them a little: {begun(list(targets.tiled), _MAX_LISTED)}',
            file=sys.stderr,
        )
