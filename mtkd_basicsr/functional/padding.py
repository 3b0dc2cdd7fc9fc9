"""Padding by reflection to sizes that a network can take, and cropping back."""

import torch


def reflected(size, total, device=None):
    """Which pixels of a row stand in the row that is made longer by reflection.

    Written as an index, reflection also works where the padding is larger than the image, which
    ``torch.nn.functional.pad`` refuses.

    Args:
        size (int): Of the row, from 1 on.
        total (int): Of the longer one.
        device: Where the result is.

    Returns:
        Tensor: (total), numbers from 0 to ``size - 1``.

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


def pad_to_multiple(x, multiple):
    """Pads an image at the bottom and at the right, by reflection, to a multiple of ``multiple`` in
    height and width.

    Equal to ``torch.nn.functional.pad(mode='reflect')`` where that is defined; smaller images are
    reflected as often as it takes, and an image of one pixel is repeated.

    Args:
        x (Tensor): (b, c, h, w).
        multiple (int): What height and width shall be divisible by.

    Returns:
        Tensor: (b, c, h', w') with h' and w' the next multiples; ``x`` itself if nothing is
            missing.
    """
    h, w = x.shape[-2:]
    th = -(-h // multiple) * multiple
    tw = -(-w // multiple) * multiple
    if th != h:
        x = x.index_select(-2, reflected(h, th, x.device))
    if tw != w:
        x = x.index_select(-1, reflected(w, tw, x.device))
    return x


def run_padded(function, x, multiple, scale):
    """Runs ``function`` on the padded image and crops its output to ``scale`` times the size of
    ``x``.

    Args:
        function: (b, c, h', w') -> (b, c', scale·h', scale·w').
        x (Tensor): (b, c, h, w).
        multiple (int): See :func:`pad_to_multiple`.
        scale (int): How much larger the output is than the input.

    Returns:
        Tensor: (b, c', scale·h, scale·w).
    """
    h, w = x.shape[-2:]
    return function(pad_to_multiple(x, multiple))[..., : h * scale, : w * scale]
