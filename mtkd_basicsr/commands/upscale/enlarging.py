"""Enlarging the pixels of a picture: colours by a network, transparency beside them."""

from collections.abc import Callable

import cv2
import numpy as np
import torch

from ...functional.tiling import tiles
from ...host.resize import resize_bicubic
from ...utils.image_tensors import to_array, to_tensor
from ...utils.progress import progress

# Tiles of the transparency, in low-resolution pixels. Bicubic interpolation looks at two pixels on
# each side, so that these overlaps hide all borders.
_ALPHA_TILE = 1024
_ALPHA_OVERLAP = 8

ImageFunction = Callable[[torch.Tensor], torch.Tensor]


def fill_transparent(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give invisible pixels the colour of the nearest visible one.

    What stands there, mostly black, would be mixed into the borders of what is visible.

    Args:
        colours: (h, w, 3).
        alpha: (h, w), 0 for what is invisible.

    Returns:
        (h, w, 3), with visible pixels as they were; ``colours`` itself if all or none are visible.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colours
    _, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Each visible pixel has a label of its own, which the invisible ones nearest to it share.
    by_label = np.zeros((labels.max() + 1, 3), colours.dtype)
    by_label[labels[~hidden]] = colours[~hidden]
    filled = colours.copy()
    filled[hidden] = by_label[labels[hidden]]
    return filled


def _run_in_tiles(
    function: ImageFunction,
    image: np.ndarray,
    result: np.ndarray,
    tile: tuple[int, int],
    overlap: int,
    name: str,
) -> None:
    """Enlarge an image tile by tile, and write the tiles into the result.

    Only a tile at a time is a tensor: as a whole, a photograph of a phone would take gigabytes.

    Args:
        function: (1, c, h, w) -> (1, c', scale · h, scale · w), RGB, [0, 1].
        image: (h, w) or (h, w, c), BGR.
        result: (scale · h, scale · w, c').
        tile: Height and width of a tile.
        overlap: Overlap of the tiles.
        name: Name of the progress bar, which is there for several tiles.
    """
    scale = result.shape[0] // image.shape[0]
    parts = tiles(image.shape[:2], tile, overlap)
    with progress(
        parts, unit='tile', desc=name, leave=False, disable=len(parts) == 1, end=False
    ) as bar:
        for rows, columns in bar:
            # A copy, because torch warns of arrays that cannot be written to.
            part = function(to_tensor(image[rows.input(), columns.input()].copy()))
            kept = part[..., rows.kept_in_tile(scale), columns.kept_in_tile(scale)]
            result[rows.kept(scale), columns.kept(scale)] = to_array(kept, result.dtype)


def enlarge(
    image: np.ndarray,
    result: np.ndarray,
    function: ImageFunction,
    tile: tuple[int, int],
    overlap: int,
    *,
    is_grey: bool = False,
    name: str = '',
) -> None:
    """Upscale colours with a network, and transparency with bicubic interpolation.

    Args:
        image: (h, w), (h, w, 3) or (h, w, 4), BGR(A), uint8 or uint16.
        result: (scale · h, scale · w, c) for the result, uint8 or uint16, with as many channels.
        function: (1, 3, h, w) -> (1, 3, scale · h, scale · w), RGB, [0, 1].
        tile: Height and width of a tile, in low-resolution pixels.
        overlap: Overlap of neighbouring tiles.
        is_grey: Whether the channels of colours are equal, and shall be.
        name: Name of the progress bar.
    """
    channels = result.shape[2]
    scale = result.shape[0] // image.shape[0]

    def run_colours(part: torch.Tensor) -> torch.Tensor:
        enlarged = function(part.expand(1, 3, *part.shape[2:]))
        if is_grey or channels == 1:
            enlarged = enlarged.mean(1, keepdim=True)
        return enlarged if channels == 1 else enlarged.expand(1, 3, *enlarged.shape[2:])

    def run_alpha(part: torch.Tensor) -> torch.Tensor:
        return resize_bicubic(part, scale)

    colours = image
    if channels == 4:
        colours = fill_transparent(image[..., :3], image[..., 3])
        side = _ALPHA_TILE
        alpha = result[..., 3:]
        _run_in_tiles(run_alpha, image[..., 3], alpha, (side, side), _ALPHA_OVERLAP, '')
    _run_in_tiles(run_colours, colours, result[..., :3], tile, overlap, name)
