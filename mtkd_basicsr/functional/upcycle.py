"""What DUKD makes of a batch: invertible augmentations, and new inputs from the ground truth.

The new inputs are tiles of the ground truth.

Zhang et al.: *Data Upcycling Knowledge Distillation for Image Super-Resolution*,
https://arxiv.org/abs/2309.14162.
"""

from collections.abc import Callable, Iterable

import torch

# In this order. All of them are their own inverse; the transpose does not commute with a single
# flip.
OPERATIONS = ('invert', 'hflip', 'vflip', 'transpose')
ORDERS = ('exact', 'authors')


def random_flags(
    count: int, probability: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw the operations that each image gets, each with the same probability.

    Args:
        count: Images.
        probability: Of each operation.
        generator: Of the CPU.

    Returns:
        (count, 4), bool, on the CPU, in the order of ``OPERATIONS``.
    """
    return torch.rand(count, len(OPERATIONS), generator=generator) < probability


_APPLY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    'invert': lambda x: 1 - x,
    'hflip': lambda x: x.flip(-1),
    'vflip': lambda x: x.flip(-2),
    'transpose': lambda x: x.transpose(-1, -2),
}


def _apply(x: torch.Tensor, flags: torch.Tensor, names: Iterable[str]) -> torch.Tensor:
    flags = flags.to(x.device)
    for name in names:
        chosen = flags[:, OPERATIONS.index(name), None, None, None]
        x = torch.where(chosen, _APPLY[name](x), x)
    return x


def augment(x: torch.Tensor, flags: torch.Tensor) -> torch.Tensor:
    """Apply F: colour inversion, horizontal flip, vertical flip, transpose, in this order.

    Args:
        x: (b, c, n, n), [0, 1].
        flags: (b, 4), from :func:`random_flags`.

    Returns:
        (b, c, n, n).
    """
    return _apply(x, flags, OPERATIONS)


def invert(x: torch.Tensor, flags: torch.Tensor, order: str = 'exact') -> torch.Tensor:
    """Apply F⁻¹: take back what :func:`augment` did with the same flags, at any size.

    Args:
        x: (b, c, n, n), [0, 1].
        flags: (b, 4).
        order: ``'exact'`` goes backwards. ``'authors'`` applies the operations in the
            order of F, which is not the inverse where a transpose meets exactly one flip (12.6 % of
            the images at probability 0.3).

    Returns:
        (b, c, n, n).
    """
    return _apply(x, flags, OPERATIONS if order == 'authors' else OPERATIONS[::-1])


def zoom_in(gt: torch.Tensor, scale: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Pick one of the scale² tiles of each ground truth, as large as its low-resolution image.

    Args:
        gt: (b, c, scale · h, scale · w).
        scale: Factor.
        generator: Of the CPU.

    Returns:
        (b, c, h, w).
    """
    b, c, height, width = gt.shape
    chosen = torch.randint(scale * scale, (b,), generator=generator).to(gt.device)
    tiles = (
        gt.reshape(b, c, scale, height // scale, scale, width // scale)
        .permute(0, 2, 4, 1, 3, 5)
        .flatten(1, 2)
    )
    return tiles[torch.arange(b, device=gt.device), chosen]
