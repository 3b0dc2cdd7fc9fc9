"""A figure with what several methods make of the same places."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from ..utils.images import psnr

GROUND_TRUTH = 'ground truth'
_CROP_SIZE = 64  # ground-truth pixels


def _most_different_corner(
    image: np.ndarray, reference: np.ndarray, size: int
) -> tuple[np.intp, ...]:
    """Return y and x of the upper left corner of the square where two images differ most."""
    difference = np.abs(image.astype(np.float32) - reference).mean(2)
    mean = cv2.boxFilter(difference, -1, (size, size), anchor=(0, 0))
    mean = mean[: mean.shape[0] - size + 1, : mean.shape[1] - size + 1]
    return np.unravel_index(mean.argmax(), mean.shape)


def draw_crops(
    images: Mapping[str, Mapping[str, np.ndarray]], path: Path, differing: tuple[str, str]
) -> None:
    """Draw a row of crops for each photograph, each with its PSNR in the crop.

    Args:
        images: Images by photograph and method, (h, w, 3), BGR, uint8, with ``'ground truth'``
            among the methods; the same methods for all photographs.
        path: The new file.
        differing: Two methods; the crop is where they differ most.
    """
    from matplotlib.figure import Figure

    names = list(next(iter(images.values())))
    figure = Figure(figsize=(1.75 * len(names), 1.95 * len(images)), layout='constrained')
    axes = figure.subplots(len(images), len(names), squeeze=False)
    for i, (photograph, results) in enumerate(images.items()):
        first, second = differing
        y, x = _most_different_corner(results[first], results[second], _CROP_SIZE)
        square = slice(y, y + _CROP_SIZE), slice(x, x + _CROP_SIZE)
        gt = results[GROUND_TRUTH][square]
        for axis, name in zip(axes[i], names, strict=True):
            crop = results[name][square]
            axis.imshow(crop[..., ::-1], interpolation='nearest')
            axis.set_xticks([])
            axis.set_yticks([])
            label = photograph
            if name != GROUND_TRUTH:
                error = float(np.mean((crop.astype(np.float64) - gt) ** 2))
                label = f'{psnr(error):.2f} dB'
            axis.set_xlabel(label, fontsize=8)
            if i == 0:
                axis.set_title(name, fontsize=8)
    figure.savefig(path, dpi=150)
