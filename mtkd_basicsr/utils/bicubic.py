"""MATLAB-like bicubic resize of arrays, with NumPy alone.

:mod:`~mtkd_basicsr.host.resize` takes its weights from here.
"""

import functools
import math

import numpy as np

_BLOCK = 1 << 15  # values computed at a time, which fit the cache of a core


def _cubic(x: np.ndarray) -> np.ndarray:
    """Evaluate Keys' cubic kernel with a = -1/2."""
    x = np.abs(x)
    x2 = x * x
    x3 = x2 * x
    inner = 1.5 * x3 - 2.5 * x2 + 1
    outer = -0.5 * x3 + 2.5 * x2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0)).astype(np.float32)


@functools.lru_cache(maxsize=64)
def weights_and_sources(size: int, out: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Compute which input pixels each pixel of a resized dimension is made of, and their weights.

    These are the numbers of ``basicsr.utils.matlab_functions.calculate_weights_indices`` with the
    kernel ``'cubic'`` of width 4 and antialiasing, in float32 as there.

    Args:
        size: Pixels of the dimension.
        out: Pixels of the resized dimension.
        scale: Factor; below 1 the kernel is stretched, against aliasing.

    Returns:
        Two arrays (out, taps): weights (float32), and the indices of the pixels that they belong
        to, counted from 0 and mirrored at the borders, the border pixel included.
    """
    squeeze = min(scale, 1.0)
    width = 4 / squeeze
    # Pixels are counted from 1 here, as in MATLAB.
    centers = np.arange(1, out + 1, dtype=np.float32) / np.float32(scale)
    centers += np.float32(0.5 * (1 - 1 / scale))
    first = np.floor(centers - np.float32(width / 2))
    pixels = first[:, None] + np.arange(math.ceil(width) + 2, dtype=np.float32)
    distances = (centers[:, None] - pixels) * np.float32(squeeze)
    weights = np.float32(squeeze) * _cubic(distances)
    weights /= weights.sum(axis=1, keepdims=True)
    # The kernel is zero at the first and the last of these pixels.
    weights = weights[:, 1:-1]
    # Mirrored at both borders, the row repeats after twice its size.
    sources = (pixels[:, 1:-1].astype(np.int64) - 1) % (2 * size)
    sources = np.where(sources < size, sources, 2 * size - 1 - sources)
    weights.setflags(write=False)
    sources.setflags(write=False)
    return weights, sources


def _resize_rows(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize the first dimension of an array.

    Products are added one after the other, each with one rounding to float32: as in a matrix
    product on a processor with fused multiply-add, but in a fixed order that depends on no library.
    Where a value lies halfway between two of the 256 levels, as one in 25,000 does at ×2, its last
    bit decides which level it becomes.
    """
    size = len(image)
    out = math.ceil(size * scale)
    weights, sources = weights_and_sources(size, out, scale)
    shape = image.shape[1:]
    image = np.ascontiguousarray(image).reshape(size, -1)
    columns = image.shape[1]
    result = np.zeros((out, columns), np.float32)
    step = max(1, _BLOCK // columns)
    for begin in range(0, out, step):
        block = result[begin : begin + step]
        for tap in range(weights.shape[1]):
            rows = image[sources[begin : begin + step, tap]]
            # Exact in float64, so that only the sum is rounded.
            products = np.multiply(rows, weights[begin : begin + step, tap, None], dtype=np.float64)
            np.add(block, products, out=block, dtype=np.float64, casting='same_kind')
    return result.reshape(out, *shape)


def resize_bicubic_array(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize an array as ``basicsr.utils.matlab_functions.imresize(image, scale)`` does.

    Args:
        image: (h, w, c) or (h, w), float32.
        scale: Factor; below 1 with antialiasing.

    Returns:
        (⌈scale · h⌉, ⌈scale · w⌉, …), float32, neither rounded nor clipped to [0, 1].
    """
    rows = _resize_rows(np.asarray(image, np.float32), scale)
    return np.ascontiguousarray(_resize_rows(rows.swapaxes(0, 1), scale).swapaxes(0, 1))


def resize_pixels(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize an 8-bit image.

    Args:
        image: (h, w, c) or (h, w), uint8.
        scale: Factor; below 1 with antialiasing.

    Returns:
        (⌈scale · h⌉, ⌈scale · w⌉, …), uint8.
    """
    resized = resize_bicubic_array(image.astype(np.float32) / np.float32(255), scale)
    pixels: np.ndarray = (resized.clip(0, 1) * np.float32(255)).round().astype(np.uint8)
    return pixels
