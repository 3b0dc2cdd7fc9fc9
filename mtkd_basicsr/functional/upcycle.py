"""What DUKD makes of a batch: invertible augmentations, and tiles of the ground truth as new
inputs.

Zhang et al.: *Data Upcycling Knowledge Distillation for Image Super-Resolution*,
https://arxiv.org/abs/2309.14162.
"""

import torch

# In this order. All of them are their own inverse; the transpose does not commute with a single
# flip.
OPERATIONS = ('invert', 'hflip', 'vflip', 'transpose')
ORDERS = ('exact', 'authors')


def random_flags(count, probability, generator=None):
    """Which operations each image gets, each with the same probability.

    Args:
        count (int): Images.
        probability (float): Of each operation.
        generator (torch.Generator | None): Of the CPU.

    Returns:
        Tensor: (count, 4), bool, on the CPU, in the order of ``OPERATIONS``.
    """
    return torch.rand(count, len(OPERATIONS), generator=generator) < probability


_APPLY = {
    'invert': lambda x: 1 - x,
    'hflip': lambda x: x.flip(-1),
    'vflip': lambda x: x.flip(-2),
    'transpose': lambda x: x.transpose(-1, -2),
}


def _apply(x, flags, names):
    flags = flags.to(x.device)
    for name in names:
        chosen = flags[:, OPERATIONS.index(name), None, None, None]
        x = torch.where(chosen, _APPLY[name](x), x)
    return x


def augment(x, flags):
    """F: colour inversion, horizontal flip, vertical flip, transpose, in this order.

    Args:
        x (Tensor): (b, c, n, n), [0, 1].
        flags (Tensor): (b, 4), from :func:`random_flags`.

    Returns:
        Tensor: (b, c, n, n).
    """
    return _apply(x, flags, OPERATIONS)


def invert(x, flags, order='exact'):
    """F⁻¹: takes back what :func:`augment` did with the same flags, at any size.

    Args:
        x (Tensor): (b, c, n, n), [0, 1].
        flags (Tensor): (b, 4).
        order (str): ``'exact'`` goes backwards. ``'authors'`` applies the operations in the
            order of F, which is not the inverse where a transpose meets exactly one flip (12.6 % of
            the images at probability 0.3).

    Returns:
        Tensor: (b, c, n, n).
    """
    return _apply(x, flags, OPERATIONS if order == 'authors' else OPERATIONS[::-1])


def zoom_in(gt, scale, generator=None):
    """One of the scale² tiles of each ground truth, of the size of its low-resolution image.

    Args:
        gt (Tensor): (b, c, scale · h, scale · w).
        scale (int): Factor.
        generator (torch.Generator | None): Of the CPU.

    Returns:
        Tensor: (b, c, h, w).
    """
    b, c, height, width = gt.shape
    chosen = torch.randint(scale * scale, (b,), generator=generator).to(gt.device)
    tiles = (
        gt.reshape(b, c, scale, height // scale, scale, width // scale)
        .permute(0, 2, 4, 1, 3, 5)
        .flatten(1, 2)
    )
    return tiles[torch.arange(b, device=gt.device), chosen]
