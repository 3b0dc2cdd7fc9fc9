"""Pad images by reflection to the sizes that a network accepts, and crop its output."""

from collections.abc import Callable

import torch


def reflection_indices(size: int, total: int, device: torch.device | None = None) -> torch.Tensor:
    """Return the pixels of a row that make up the longer row that reflection extends it to.

    As indices, reflection also works where the padding is larger than the image, which
    ``torch.nn.functional.pad`` refuses.

    Args:
        size: Pixels of the row, at least 1.
        total: Pixels of the longer row.
        device: Device of the result.

    Returns:
        (total), numbers from 0 to ``size - 1``.

    Example:
        >>> reflection_indices(3, 8)
        tensor([0, 1, 2, 1, 0, 1, 2, 1])
    """
    # The border pixel is not repeated: 0 1 2 1 | 0 1 2 1 | … has a period of twice the last index.
    # That index is a tensor, so that a traced graph works at any size.
    last = torch.arange(size, device=device)[-1:]
    period = (2 * last).clamp(min=1)
    i = torch.arange(total, device=device) % period
    return torch.where(i <= last, i, period - i)


def _round_up(size: int, multiple: int) -> int:
    return (size + multiple - 1) // multiple * multiple


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pad an image at the bottom and the right, by reflection, to multiples of a number.

    The result equals that of ``torch.nn.functional.pad(mode='reflect')`` where that is defined;
    smaller images are reflected repeatedly, and an image of one pixel is repeated.

    Args:
        x: (b, c, h, w).
        multiple: The number that height and width shall be divisible by.

    Returns:
        (b, c, h', w') with h' and w' the next multiples; ``x`` itself if it needs no padding.
    """
    h, w = x.shape[-2:]
    padded_h = _round_up(h, multiple)
    padded_w = _round_up(w, multiple)
    if padded_h != h:
        x = x.index_select(-2, reflection_indices(h, padded_h, x.device))
    if padded_w != w:
        x = x.index_select(-1, reflection_indices(w, padded_w, x.device))
    return x


def run_padded(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, multiple: int, scale: int
) -> torch.Tensor:
    """Run a function on the padded image and crop its output to ``scale`` times the size of ``x``.

    Args:
        function: (b, c, h', w') -> (b, c', scale·h', scale·w').
        x: (b, c, h, w).
        multiple: See :func:`pad_to_multiple`.
        scale: Factor between the sizes of output and input.

    Returns:
        (b, c', scale·h, scale·w).
    """
    h, w = x.shape[-2:]
    return function(pad_to_multiple(x, multiple))[..., : h * scale, : w * scale]
