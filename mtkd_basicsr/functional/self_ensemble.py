"""Geometric self-ensemble: the average over the eight ways to lay an image down."""

import torch


def eightfold(function, x):
    """Mean of ``function`` over the four rotations of an image and of its mirror image, each turned back.

    Lim, Son, Kim, Nah, Lee: *Enhanced Deep Residual Networks for Single Image Super-Resolution*, CVPRW 2017, section 3.3.

    Args:
        function: (b, c, h, w) -> (b, c', s · h, s · w).
        x (Tensor): (b, c, h, w).

    Returns:
        Tensor: (b, c', s · h, s · w), float32.
    """
    total = 0
    for mirrored in (False, True):
        for turns in range(4):
            image = torch.rot90(x.flip(-1) if mirrored else x, turns, (-2, -1))
            result = torch.rot90(function(image.contiguous()).float(), -turns, (-2, -1))
            total = total + (result.flip(-1) if mirrored else result)
    return total / 8
