"""The targets of images: teachers and fusion network, and what is done when memory runs out."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...config import TeacherConfig, TeacherOptions
from ...data.cache.inputs import CachedImage
from ...data.cache.reader import CacheReader
from ...errors import DataError
from ...functional.self_ensemble import eightfold
from ...functional.tiling import run_tiled
from ...teachers import FusedTeachers, TeacherEnsemble
from ...utils.choices import CacheContents
from ...utils.image_tensors import to_pixels, to_tensor
from ...utils.memory import is_out_of_memory
from ...utils.progress import say
from .arguments import CacheArguments
from .batches import Batch
from .outputs import CachedEnsemble

_SMALLEST_TILE = 64  # low-resolution pixels


class Outputs:
    """The outputs for some images, on their way to the memory of the machine.

    Args:
        pixels: (m, N, h, w, 3), uint8, for each image those of the N teachers or the target.
    """

    def __init__(self, pixels: torch.Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if pixels.device.type == 'cuda':
            # Pinned memory, or the copy would wait for the GPU to finish.
            host = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True)
            host.copy_(pixels, non_blocking=True)
            self._event = torch.cuda.Event(blocking=True)
            self._event.record(torch.cuda.current_stream(pixels.device))
            pixels = host
        self._pixels = pixels.cpu()

    def wait(self) -> np.ndarray:
        """Return the outputs as soon as they are there; any thread may wait."""
        if self._event is not None:
            self._event.synchronize()
        return self._pixels.numpy()


class Targets:
    """Computes the targets of images, one by one or in tiles if memory runs out.

    Attributes:
        tiled: Names of the images that did not fit, and the tiles that they were computed in. The
            next image is tried as asked for again: only this one may be too large.
        contents: What is computed.
        array_names: Names of the arrays that are computed for each image.
    """

    def __init__(
        self,
        teachers: Mapping[str, TeacherConfig],
        fusion: TeacherOptions | None,
        scale: int,
        device: torch.device,
        args: CacheArguments,
        outputs: CacheReader | None = None,
    ) -> None:
        precision = args.precision
        ensemble = (
            TeacherEnsemble(teachers, scale, device, precision, allow_precomputed=True)
            if outputs is None
            else CachedEnsemble(list(teachers), outputs, scale, device, precision)
        )
        self.network: TeacherEnsemble | FusedTeachers = ensemble
        if fusion is not None:
            self.network = FusedTeachers(ensemble, fusion, device)
        for warning in self.network.warnings:
            say(f'WARNING {warning}')
        self.ensemble = ensemble
        self.contents: CacheContents = 'teachers' if fusion is None else 'target'
        self.array_names = ['target']
        if fusion is None:
            self.array_names = [f'teacher/{name}' for name in ensemble.names]
        self.scale = scale
        self.device = device
        self.tile = args.tile
        self.overlap = args.tile_overlap
        self.self_ensemble = args.self_ensemble
        self.tiled: dict[str, int] = {}
        # Number of low-resolution pixels that did not fit as a batch.
        self._too_many: float = math.inf

    def check_folders(self, images: Sequence[CachedImage]) -> None:
        """Raise if a folder of precomputed outputs lacks an image."""
        self.ensemble.check_outputs(images)

    def __call__(self, names: Sequence[str], lq: torch.Tensor, batch: Batch) -> Outputs:
        """Compute the targets of images of one size; on a GPU they may be not ready yet.

        Args:
            names: Names of the ground truths.
            lq: (m, h, w, 3), BGR, uint8.
            batch: The batch that they are computed in.

        Returns:
            (m, N, scale · h, scale · w, 3), BGR, uint8, in the order of ``array_names``.
        """
        size = [self.scale * n for n in lq.shape[1:3]]
        read = [self.ensemble.precomputed_outputs(name, size) for name in names]
        found = [outputs for outputs in read if outputs is not None]
        precomputed = torch.cat(found) if found else None
        if self.device.type == 'cuda':
            lq = lq.pin_memory().to(self.device, non_blocking=True)
        x = to_tensor(lq, self.device)
        pixels = self._run_batch(batch, x, precomputed) if batch.size > 1 else None
        if pixels is None:
            parts = []
            for i, name in enumerate(names):
                own = None if precomputed is None else precomputed[i : i + 1]
                parts.append(self._run_with_smaller_tiles(name, x[i : i + 1], own))
            pixels = torch.cat(parts)
        return Outputs(pixels)

    def _run(
        self, x: torch.Tensor, precomputed: torch.Tensor | None, tile: int | None
    ) -> torch.Tensor:
        """Run the networks: (b, 3, h, w) -> (b, N, scale · h, scale · w, 3), BGR, uint8."""

        def whole(*parts: torch.Tensor) -> torch.Tensor:
            return eightfold(self.network, *parts) if self.self_ensemble else self.network(*parts)

        output = run_tiled(whole, x, self.scale, tile, self.overlap, precomputed)
        images = output.unflatten(1, (-1, 3)).flatten(0, 1)
        return to_pixels(images).unflatten(0, (len(x), -1))

    def _run_batch(
        self, batch: Batch, x: torch.Tensor, precomputed: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Run the networks on a batch; return None if one of that size does not fit into memory."""
        pixels = batch.size * x.shape[-2] * x.shape[-1]
        if pixels >= self._too_many:
            return None
        try:
            filled = None if precomputed is None else batch.fill(precomputed)
            return batch.wanted(self._run(batch.fill(x), filled, self.tile))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self._too_many = pixels
        say(
            f'out of {self._memory} for {batch.size} images at once; these, and other batches with '
            'as many pixels, are computed one by one'
        )
        self._release()
        return None

    def _run_with_smaller_tiles(
        self, name: str, x: torch.Tensor, precomputed: torch.Tensor | None
    ) -> torch.Tensor:
        """Run the networks on one image, and halve the tiles for as long as memory runs out."""
        tile = self.tile
        while True:
            try:
                output = self._run(x, precomputed, tile)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                tile = self._smaller_tile(name, tile, max(x.shape[-2:]), error)
            else:
                if tile is not None and tile != self.tile:
                    self.tiled[name] = tile
                return output
            self._release()

    @property
    def _memory(self) -> str:
        return 'GPU memory' if self.device.type == 'cuda' else 'memory'

    def _release(self) -> None:
        """Free cached memory; call it where no exception holds tensors of a failed attempt."""
        if self.device.type == 'cuda':
            torch.cuda.empty_cache()

    def _smaller_tile(self, name: str, tile: int | None, side: int, error: Exception) -> int:
        """Return half the tile, and say so.

        Raises:
            DataError: It would be too small.
        """
        smaller = (tile or side) // 2
        size = 'as a whole' if tile is None else f'in tiles of {tile} pixels'
        if smaller < max(_SMALLEST_TILE, self.overlap + 1):
            other = '; use --device cpu' if self.device.type == 'cuda' else ''
            raise DataError(f"out of {self._memory} for '{name}' {size}{other}") from error
        say(
            f"out of {self._memory} for '{name}' {size}; it is computed in tiles of {smaller} "
            'pixels'
        )
        return smaller
