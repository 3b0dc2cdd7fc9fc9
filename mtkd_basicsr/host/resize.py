"""BasicSR's MATLAB-like bicubic resize: of images in 8 bits, and as two products of matrices.

The latter works on batches, on any device, and is fast.
"""

import functools
import math

import numpy as np
import torch
from basicsr.utils.matlab_functions import imresize

from ..utils.bicubic import weights_and_sources


@functools.lru_cache(maxsize=64)
def _weights(size: int, out: int, scale: float, device: torch.device) -> torch.Tensor:
    """Return one dimension of the resize as a matrix, (out, size)."""
    weights, sources = weights_and_sources(size, out, scale)
    matrix = torch.zeros(out, size)
    # Added, because at a border one pixel can occur more than once.
    matrix.scatter_add_(1, torch.tensor(sources), torch.tensor(weights))
    return matrix.to(device)


def resize_bicubic(x: torch.Tensor, scale: float) -> torch.Tensor:
    """Resize a batch as ``basicsr.utils.matlab_functions.imresize(x, scale)`` does an image.

    Args:
        x: (b, c, h, w), float32.
        scale: Factor; below 1 with antialiasing.

    Returns:
        (b, c, ⌈scale · h⌉, ⌈scale · w⌉), neither rounded nor clipped to [0, 1].
    """
    h, w = x.shape[-2:]
    rows = _weights(h, math.ceil(h * scale), scale, x.device)
    columns = _weights(w, math.ceil(w * scale), scale, x.device)
    return rows @ x @ columns.T


def resize_image(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize an image in 8 bits by MATLAB-like bicubic interpolation, as the field's tests do.

    Args:
        image: (h, w, 3), uint8, colours in any order.
        scale: Factor; below 1 with antialiasing.

    Returns:
        (⌈scale · h⌉, ⌈scale · w⌉, 3), uint8.
    """
    resized = imresize(image.astype(np.float64) / 255, scale)
    return (np.clip(resized, 0, 1) * 255).round().astype(np.uint8)
