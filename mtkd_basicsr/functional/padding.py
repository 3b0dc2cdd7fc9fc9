"""Padding by reflection to sizes that a network can take, and cropping back."""

from collections.abc import Callable

import torch


def reflected(size: int, total: int, device: torch.device | None = None) -> torch.Tensor:
    """Return which pixels of a row stand in the row that is made longer by reflection.

    Written as an index, reflection also works where the padding is larger than the image, which
    ``torch.nn.functional.pad`` refuses.

    Args:
        size: Of the row, from 1 on.
        total: Of the longer one.
        device: Where the result is.

    Returns:
        (total), numbers from 0 to ``size - 1``.

    Example:
        >>> reflected(3, 8)
        tensor([0, 1, 2, 1, 0, 1, 2, 1])
    """
    # The border is not repeated: the period is twice the last number. A tensor, so that a graph of
    # any size can hold it.
    last = torch.arange(size, device=device)[-1:]
    period = (2 * last).clamp(min=1)
    i = torch.arange(total, device=device) % period
    return torch.where(i <= last, i, period - i)


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pad an image to a multiple of ``multiple`` in height and width.

    The padding is at the bottom and at the right, by reflection. The result equals that of
    ``torch.nn.functional.pad(mode='reflect')`` where that is defined; smaller images are reflected
    as often as it takes, and an image of one pixel is repeated.

    Args:
        x: (b, c, h, w).
        multiple: What height and width shall be divisible by.

    Returns:
        (b, c, h', w') with h' and w' the next multiples; ``x`` itself if nothing is missing.
    """
    h, w = x.shape[-2:]
    th = -(-h // multiple) * multiple
    tw = -(-w // multiple) * multiple
    if th != h:
        x = x.index_select(-2, reflected(h, th, x.device))
    if tw != w:
        x = x.index_select(-1, reflected(w, tw, x.device))
    return x


def run_padded(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, multiple: int, scale: int
) -> torch.Tensor:
    """Run a function on the padded image and crop its output to ``scale`` times the size of ``x``.

    Args:
        function: (b, c, h', w') -> (b, c', scale·h', scale·w').
        x: (b, c, h, w).
        multiple: See :func:`pad_to_multiple`.
        scale: How much larger the output is than the input.

    Returns:
        (b, c', scale·h, scale·w).
    """
    h, w = x.shape[-2:]
    return function(pad_to_multiple(x, multiple))[..., : h * scale, : w * scale]
