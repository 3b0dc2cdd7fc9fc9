"""Run a network tile by tile on an image that is too large for memory."""

from collections.abc import Callable
from typing import NamedTuple

import torch


class Span(NamedTuple):
    """The extent of a tile along one axis, in input pixels.

    Attributes:
        start: First pixel of the tile.
        end: One past its last pixel.
        kept_start: First pixel that is taken from this tile.
        kept_end: One past the last pixel that is taken from it.
    """

    start: int
    end: int
    kept_start: int
    kept_end: int

    def input(self) -> slice:
        """Return the pixels of the input that the tile covers."""
        return slice(self.start, self.end)

    def covered(self, scale: int) -> slice:
        """Return the pixels of an image of the output's size that the tile covers."""
        return slice(self.start * scale, self.end * scale)

    def kept(self, scale: int) -> slice:
        """Return the pixels of the output that are taken from this tile."""
        return slice(self.kept_start * scale, self.kept_end * scale)

    def kept_in_tile(self, scale: int) -> slice:
        """Return the same pixels, counted from the beginning of the tile's own output."""
        return slice((self.kept_start - self.start) * scale, (self.kept_end - self.start) * scale)


class Tile(NamedTuple):
    """The extent of a tile along both axes."""

    rows: Span
    columns: Span


def _starts(size: int, tile: int, overlap: int) -> list[int]:
    if size <= tile:
        return [0]
    step = tile - overlap
    starts = list(range(0, size - tile, step))
    return starts + [size - tile]


def _spans(size: int, tile: int, overlap: int) -> list[Span]:
    """Divide a row of pixels among tiles; neighbours meet in the middle of their overlap."""
    starts = _starts(size, tile, overlap)
    spans = []
    kept_start = 0
    for i, start in enumerate(starts):
        end = min(start + tile, size)
        is_last = i + 1 == len(starts)
        kept_end = size if is_last else (end + starts[i + 1]) // 2
        spans.append(Span(start, end, kept_start, kept_end))
        kept_start = kept_end
    return spans


def tiles(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> list[Tile]:
    """Divide an image among overlapping tiles of one size.

    Args:
        size: Height and width of the image.
        tile: Height and width of a tile; where the image is smaller, tiles are as large as it is.
        overlap: Pixels that neighbouring tiles share at least; less than the sides of a tile.

    Returns:
        The tiles, row by row. The pixels that are kept of them cover the image exactly once.
    """
    found = []
    for rows in _spans(size[0], tile[0], overlap):
        for columns in _spans(size[1], tile[1], overlap):
            found.append(Tile(rows, columns))
    return found


def balanced_side(size: int, largest: int, overlap: int, multiple: int = 1) -> int:
    """Return a side for tiles that cover a row of pixels without more overlap than needed.

    The last of several tiles is moved inwards. With the largest tiles it can be one that computes
    little but pixels that are thrown away: of 600 pixels, two tiles of 512 compute 1,024, and
    two of 320 compute 640.

    Args:
        size: Pixels of the row.
        largest: Largest side, a multiple of ``multiple``.
        overlap: See :func:`tiles`.
        multiple: What the side is rounded up to, for networks that pad their input.

    Returns:
        The side, at most ``largest``; ``size`` if one tile is enough.

    Example:
        >>> balanced_side(600, 512, 32, 8)
        320
    """
    if size <= largest:
        return size
    count = -(-(size - overlap) // (largest - overlap))
    side = -(-(size + (count - 1) * overlap) // count)
    return min(-(-side // multiple) * multiple, largest)


def run_tiled(
    function: Callable[..., torch.Tensor],
    x: torch.Tensor,
    scale: int,
    tile: int | None = None,
    overlap: int = 16,
    large: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run a function on overlapping tiles of an image and assemble the outputs.

    All tiles have the same size (the last one of a row or column is moved inwards). Each pixel of
    the output is taken from one tile, the one whose border is farther away; nothing is averaged.

    Args:
        function: (b, c, h, w) -> (b, c', scale·h, scale·w); with ``large`` it is called with the
            tile of that image as its second argument.
        x: (b, c, H, W).
        scale: Factor between the sizes of output and input.
        tile: Height and width of a tile in input pixels; None runs the whole image at once.
        overlap: Input pixels that neighbouring tiles share at least; less than ``tile``.
        large: (b, c", scale·H, scale·W), cut into the same tiles.

    Returns:
        (b, c', scale·H, scale·W).
    """
    h, w = x.shape[-2:]
    if tile is None or (h <= tile and w <= tile):
        return function(x) if large is None else function(x, large)
    out: torch.Tensor | None = None
    for rows, columns in tiles((h, w), (tile, tile), overlap):
        inputs = [x[..., rows.input(), columns.input()]]
        if large is not None:
            inputs.append(large[..., rows.covered(scale), columns.covered(scale)])
        part = function(*inputs)
        if out is None:
            out = part.new_empty(*part.shape[:-2], h * scale, w * scale)
        kept = part[..., rows.kept_in_tile(scale), columns.kept_in_tile(scale)]
        out[..., rows.kept(scale), columns.kept(scale)] = kept
    assert out is not None  # there is at least one tile
    return out
