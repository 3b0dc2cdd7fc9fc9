"""Running a network on an image that does not fit, tile by tile."""

from collections.abc import Callable

import torch


def _starts(size: int, tile: int, overlap: int) -> list[int]:
    if size <= tile:
        return [0]
    step = tile - overlap
    starts = list(range(0, size - tile, step))
    return starts + [size - tile]


def _spans(size: int, tile: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Divide a row of pixels among tiles; neighbours meet in the middle of what they share.

    Returns:
        Start and end of each tile, and first and end of the pixels that are kept of it.
    """
    starts = _starts(size, tile, overlap)
    ends = [min(s + tile, size) for s in starts]
    cuts = [0] + [(ends[i] + starts[i + 1]) // 2 for i in range(len(starts) - 1)] + [size]
    return [(s, e, cuts[i], cuts[i + 1]) for i, (s, e) in enumerate(zip(starts, ends, strict=True))]


def run_tiled(
    function: Callable[..., torch.Tensor],
    x: torch.Tensor,
    scale: int,
    tile: int | None = None,
    overlap: int = 16,
    large: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run a function on overlapping tiles of an image and put the outputs together.

    All tiles have the same size (the last one of a row or column is moved inwards), and each pixel
    of the output is taken from one tile, from the one whose border is farther away: there is no
    averaging.

    Args:
        function: (b, c, h, w) -> (b, c', scale·h, scale·w); with ``large`` it gets that as well.
        x: (b, c, H, W).
        scale: How much larger the output is than the input.
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
    for y0, y1, top, bottom in _spans(h, tile, overlap):
        for x0, x1, left, right in _spans(w, tile, overlap):
            parts = [x[..., y0:y1, x0:x1]]
            if large is not None:
                parts.append(large[..., y0 * scale : y1 * scale, x0 * scale : x1 * scale])
            part = function(*parts)
            if out is None:
                out = part.new_empty(*part.shape[:-2], h * scale, w * scale)
            out[..., top * scale : bottom * scale, left * scale : right * scale] = part[
                ...,
                (top - y0) * scale : (bottom - y0) * scale,
                (left - x0) * scale : (right - x0) * scale,
            ]
    assert out is not None  # there is at least one tile
    return out
