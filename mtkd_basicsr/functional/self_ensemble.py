"""Geometric self-ensemble: the average over the eight ways to lay an image down."""

from collections.abc import Callable
from typing import cast

import torch


def eightfold(function: Callable[..., torch.Tensor], *images: torch.Tensor) -> torch.Tensor:
    """Average ``function`` over the four rotations of an image and of its mirror image.

    Each output is turned back before it is added.

    Lim, Son, Kim, Nah, Lee: *Enhanced Deep Residual Networks for Single Image Super-Resolution*,
    CVPRW 2017, section 3.3.

    Args:
        function: (b, c, h, w), one for each image -> (b, c', s · h, s · w).
        *images: (b, c, h, w), all turned alike; their sizes may differ.

    Returns:
        (b, c', s · h, s · w), float32.
    """
    total: torch.Tensor | int = 0
    for mirrored in (False, True):
        for turns in range(4):
            turned = [
                torch.rot90(x.flip(-1) if mirrored else x, turns, (-2, -1)).contiguous()
                for x in images
            ]
            result = torch.rot90(function(*turned).float(), -turns, (-2, -1))
            total = total + (result.flip(-1) if mirrored else result)
    return cast(torch.Tensor, total / 8)
