"""Batches of images as one tensor of bytes, which become floats on the device.

As float32, a batch of 16 patches of 192×192 with their targets has 14.6 MB, which a worker process
writes into shared memory, and the main process reads there and copies to the device. As bytes, and
in one piece, a batch costs both of them a fraction.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torchvision.transforms.functional import normalize

from .batch_memory import new_bytes

# Entries of a packed batch: its bytes; name and shape of each part, in order; mean and standard
# deviation of BasicSR's datasets, or None.
_PIXELS = 'pixels'
_LAYOUT = 'layout'
_NORMALIZATION = 'normalization'


def new_batch(
    layout: Mapping[str, Sequence[int]], mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    """Create a packed batch.

    Args:
        layout: Shape of each image tensor of the batch by name, (b, 3 n, h, w).
        mean: Mean of RGB to subtract from images in [0, 1]; None without one.
        std: Standard deviation of RGB to divide them by; None without one.

    Returns:
        The batch, whose pixels are not set yet; and for each sample the places of its images, (3,
        h, w), uint8, in the order of the layout.
    """
    sizes = [math.prod(shape) for shape in layout.values()]
    pixels, sent = new_bytes(sum(sizes))
    places: list[list[np.ndarray]] = []
    for shape, part in zip(layout.values(), pixels.split(sizes), strict=True):
        count, _, h, w = shape
        places = places or [[] for _ in range(count)]
        for of_sample, images in zip(places, part.view(count, -1, 3, h, w).numpy(), strict=True):
            of_sample.extend(images)
    has_normalization = mean is not None or std is not None
    batch = {
        _PIXELS: sent,
        _LAYOUT: {name: list(shape) for name, shape in layout.items()},
        _NORMALIZATION: [mean, std] if has_normalization else None,
    }
    return batch, places


def put_image(image: np.ndarray, flips: tuple[bool, bool, bool], place: np.ndarray) -> None:
    """Flip a crop of an image, and write it to its place in a batch.

    Args:
        image: (h, w, 3), BGR, uint8.
        flips: Whether to flip horizontally, flip vertically, and transpose.
        place: (3, h, w), or (3, w, h) if transposed, contiguous; RGB.
    """
    horizontal, vertical, transposed = flips
    if horizontal:
        image = cv2.flip(image, -1 if vertical else 1)
    elif vertical:
        image = cv2.flip(image, 0)
    if transposed:
        image = cv2.transpose(image)
    if place.shape[1:] != image.shape[:2]:
        raise ValueError(f'a crop of {image.shape[:2]}; expected {place.shape[1:]}')
    # Into the memory of these arrays. Channel by channel, numpy takes two to three times as long.
    cv2.split(image, [place[2], place[1], place[0]])


@functools.lru_cache
def _largest(device: torch.device) -> torch.Tensor:
    """Return 255 as a tensor on a device.

    With a number, a GPU multiplies by 1 / 255, which changes the last bit of some results.
    """
    return torch.full((), 255.0, device=device)


def to_device(data: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Copy a batch to a device, and unpack it there if it is packed.

    The copy of pinned memory (``pin_memory: true``) does not wait for the steps before it.

    Args:
        data: A batch of any dataset.
        device: The device.

    Returns:
        The entries of the batch; the images of a packed one are float32, with the bits that images
        of ``PairedImageDataset`` have.
    """
    batch = {}
    for name, value in data.items():
        is_tensor = isinstance(value, torch.Tensor)
        # CUDA reads memory that is not pinned before it returns; of other devices that is not said.
        batch[name] = value.to(device, non_blocking=device.type == 'cuda') if is_tensor else value
    if _PIXELS not in batch:
        return batch
    pixels = batch.pop(_PIXELS)
    layout = batch.pop(_LAYOUT)
    normalization = batch.pop(_NORMALIZATION)
    parts = pixels.split([math.prod(shape) for shape in layout.values()])
    for (name, shape), part in zip(layout.items(), parts, strict=True):
        image = part.view(*shape).float().div_(_largest(pixels.device))
        if normalization is not None:
            normalize(image.unflatten(1, (-1, 3)), *normalization, inplace=True)
        batch[name] = image
    return batch
