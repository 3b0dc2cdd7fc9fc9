"""The data upcycling of DUKD: invertible augmentations, and new inputs from the ground truth.

Zhang et al.: *Data Upcycling Knowledge Distillation for Image Super-Resolution*,
https://arxiv.org/abs/2309.14162.
"""

from collections.abc import Callable, Iterable

import torch

# Applied in this order. Each is its own inverse, but the transpose does not commute with a single
# flip.
OPERATIONS = ('invert', 'hflip', 'vflip', 'transpose')
ORDERS = ('exact', 'authors')


def random_flags(
    count: int, probability: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw the operations for each image, all with the same probability.

    Args:
        count: Number of images.
        probability: Probability of each operation.
        generator: Generator on the CPU.

    Returns:
        (count, 4), bool, on the CPU, in the order of ``OPERATIONS``.
    """
    return torch.rand(count, len(OPERATIONS), generator=generator) < probability


_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    'invert': lambda x: 1 - x,
    'hflip': lambda x: x.flip(-1),
    'vflip': lambda x: x.flip(-2),
    'transpose': lambda x: x.transpose(-1, -2),
}


def _apply(x: torch.Tensor, flags: torch.Tensor, names: Iterable[str]) -> torch.Tensor:
    flags = flags.to(x.device, non_blocking=True)
    for name in names:
        chosen = flags[:, OPERATIONS.index(name), None, None, None]
        x = torch.where(chosen, _FUNCTIONS[name](x), x)
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


def undo_augment(x: torch.Tensor, flags: torch.Tensor, order: str = 'exact') -> torch.Tensor:
    """Apply F⁻¹: undo what :func:`augment` did with the same flags, at any size.

    Args:
        x: (b, c, n, n), [0, 1].
        flags: (b, 4).
        order: ``'exact'`` applies the operations in reverse. ``'authors'`` applies them in the
            order of F, which is not the inverse where a transpose meets exactly one flip (12.6 % of
            the images at probability 0.3).

    Returns:
        (b, c, n, n).
    """
    return _apply(x, flags, OPERATIONS if order == 'authors' else OPERATIONS[::-1])


def zoom_in(gt: torch.Tensor, scale: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Pick one of the scale² tiles of each ground truth, of the size of its low-resolution image.

    Args:
        gt: (b, c, scale · h, scale · w).
        scale: Factor between ground truth and low-resolution image.
        generator: Generator on the CPU.

    Returns:
        (b, c, h, w).
    """
    b, c, height, width = gt.shape
    chosen = torch.randint(scale * scale, (b,), generator=generator)
    chosen = chosen.to(gt.device, non_blocking=True)
    # (b, c, tile row, h, tile column, w) -> (b, tile, c, h, w)
    grid = gt.reshape(b, c, scale, height // scale, scale, width // scale)
    tiles = grid.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    return tiles[torch.arange(b, device=gt.device), chosen]
