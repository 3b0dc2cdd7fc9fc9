"""Geometric self-ensemble: the average over the eight flips and rotations of an image."""

from collections.abc import Callable
from typing import cast

import torch


def eightfold(function: Callable[..., torch.Tensor], *images: torch.Tensor) -> torch.Tensor:
    """Average the outputs of a function over the four rotations of an image and its mirror image.

    Each output is rotated and flipped back before it is added.

    Lim, Son, Kim, Nah, Lee: *Enhanced Deep Residual Networks for Single Image Super-Resolution*,
    CVPRW 2017, section 3.3.

    Args:
        function: (b, c, h, w), one argument for each image -> (b, c', s · h, s · w).
        *images: (b, c, h, w), all rotated and flipped alike; their sizes may differ.

    Returns:
        (b, c', s · h, s · w), float32.
    """
    total: torch.Tensor | int = 0
    for mirrored in (False, True):
        for turns in range(4):
            inputs = []
            for image in images:
                flipped = image.flip(-1) if mirrored else image
                inputs.append(torch.rot90(flipped, turns, (-2, -1)).contiguous())
            output = torch.rot90(function(*inputs).float(), -turns, (-2, -1))
            total = total + (output.flip(-1) if mirrored else output)
    return cast(torch.Tensor, total / 8)
