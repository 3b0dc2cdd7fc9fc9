"""A network that runs in the memory that there is, on images of any size."""

import math

import torch
from torch import nn

from ...errors import DataError
from ...functional.padding import run_padded
from ...functional.tiling import balanced_side
from ...utils.memory import available_memory, peak_bytes
from ...utils.progress import say
from ...weights.networks import size_multiple
from .._validation import spelled

# Sides of tiles, in low-resolution pixels. Larger ones gain nothing: the pixels that overlap are
# few, a CPU is faster with small tensors, and every tile moves the progress bar.
_SMALLEST = 64
_LARGEST = 512
# Side of the image on which memory is measured, and how many times larger an image has to be for
# its size to matter.
_PROBE = 32
_MUCH_LARGER = 16
# Share of the free memory that a tile may need, because other programs need some too, and
# libraries allocate more than the tensors that are counted.
_SHARE = 0.5
_UNKNOWN_MEMORY = 4 * 1024**3  # what is taken to be free where the system does not tell


class TiledNetwork:
    """A network that runs in tiles as large as memory allows.

    Args:
        net: RGB to RGB, in evaluation mode; moved to ``device``.
        scale: Its factor.
        device: Where it runs.
        tile: Side of a tile in low-resolution pixels; None chooses it for each image.
        overlap: Overlap of neighbouring tiles, in low-resolution pixels.
    """

    def __init__(
        self, net: nn.Module, scale: int, device: torch.device, tile: int | None, overlap: int
    ) -> None:
        self.net = net.to(device)
        self.scale = scale
        self.device = device
        self.tile = tile
        self.overlap = overlap
        self.multiple = size_multiple(net)
        self.pixel_bytes: float | None = None
        # Largest side once memory has run out.
        self.limit: int | None = None

    def tile_size(self, h: int, w: int, reserved: int) -> tuple[int, int]:
        """Choose the size of the tiles of an image.

        Args:
            h: Height of the image in low-resolution pixels.
            w: Width.
            reserved: Bytes that will be needed for other things on a CPU.

        Returns:
            Height and width of a tile, in low-resolution pixels.
        """
        if self.tile is not None:
            side = min(self.tile, self.limit or self.tile)
            return side, side
        multiple = self._step()
        largest = self._largest_side(h * w, reserved)
        largest = max(min(largest, self.limit or largest), self._smallest_side())
        largest = -(-largest // multiple) * multiple
        return (
            balanced_side(h, largest, self.overlap, multiple),
            balanced_side(w, largest, self.overlap, multiple),
        )

    def _step(self) -> int:
        # Sides that are multiples of 8 too, where they are chosen: convolutions are faster.
        return math.lcm(self.multiple, 8) if self.tile is None else self.multiple

    def _smallest_side(self) -> int:
        overlap = 2 * self.overlap if self.tile is None else self.overlap + 1
        step = self._step()
        return -(-max(_SMALLEST, overlap) // step) * step

    def _largest_side(self, pixels: int, reserved: int) -> int:
        probe = -(-_PROBE // self.multiple) * self.multiple
        if pixels < _MUCH_LARGER * probe**2:
            return _LARGEST
        if self.pixel_bytes is None:
            x = torch.zeros(1, 3, probe, probe)
            self.pixel_bytes = peak_bytes(self, x) / probe**2
        free = available_memory(self.device)
        if free is None:
            free = _UNKNOWN_MEMORY
        if self.device.type != 'cuda':
            free = max(free - reserved, 0)
        side = math.isqrt(int(_SHARE * free / self.pixel_bytes))
        return min(side // self.multiple * self.multiple, _LARGEST)

    def __call__(self, part: torch.Tensor) -> torch.Tensor:
        """Run the network on a tile.

        Args:
            part: (1, 3, h, w), RGB, [0, 1].

        Returns:
            (1, 3, scale · h, scale · w), RGB, on the network's device.
        """
        with torch.inference_mode():
            return run_padded(self.net, part.to(self.device), self.multiple, self.scale).float()

    def reduce_tiles(self, side: int) -> None:
        """Halve the tiles, down to the smallest that are of use, because memory has run out.

        Args:
            side: The larger side of the tiles that were too large.

        Raises:
            DataError: They are the smallest already.
        """
        if self.device.type == 'cuda':
            torch.cuda.empty_cache()
        smallest = self._smallest_side()
        if side <= smallest:
            raise DataError(
                f'not enough memory on {self.device} for tiles of {side} pixels; close other '
                f'programs, or use a smaller {spelled("tile")} (with a smaller '
                f'{spelled("tile_overlap")}) or another {spelled("device")}'
            )
        smaller = max(side // 2 // self.multiple * self.multiple, smallest)
        say(f'not enough memory for tiles of {side} pixels; continuing with {smaller}')
        self.limit = smaller
