"""Windows of an image: the order of its pixels window by window, and the authors' masks."""

from typing import Any, cast

import torch

from ..functional.dct import window_dct_matrices
from ..utils.compiling import is_compiling
from ..utils.recent_tensors import RecentTensors

_MASKED = -100.0  # the value that Swin adds to a masked score
# Sizes of images whose orders are kept: validation images have several, which alternate.
_SIZES = 8
# From rows to windows, to shifted windows and back, and between both.
_ORDERS_OF_A_SIZE = 6
_orders = RecentTensors(_SIZES * _ORDERS_OF_A_SIZE)
_masks = RecentTensors(_SIZES)
_kinds = RecentTensors(_SIZES)


def window_order(
    h: int, w: int, size: int, shift: int, device: torch.device | None = None
) -> torch.Tensor:
    """Return the order that arranges the pixels of an image window by window.

    Args:
        h, w: Size of the image, multiples of ``size``.
        size: Window size.
        shift: Number of pixels by which the image is rolled up and to the left before it is cut.
        device: Device of the result.

    Returns:
        (h · w), the indices of the pixels, counted row by row.
    """
    pixels = torch.arange(h * w, device=device).view(h, w).roll((-shift, -shift), (0, 1))
    return pixels.view(h // size, size, w // size, size).transpose(1, 2).flatten()


def _order_between(
    h: int, w: int, size: int, start: int | None, end: int | None, device: torch.device
) -> torch.Tensor:
    """Return where each pixel of one arrangement is in another one; see :func:`rearrange`."""
    if start is None:
        assert end is not None  # row by row, as it is
        return window_order(h, w, size, end, device)
    place = window_order(h, w, size, start, device).argsort()
    return place if end is None else place[window_order(h, w, size, end, device)]


class _Permute(torch.autograd.Function):
    """Selection of tokens, each of them once; the gradient is selected in the inverse order.

    ``index_select`` cannot know that no token is selected twice: its backward pass adds the
    gradient to zeros, on a GPU by atomic operations.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, order: torch.Tensor, inverse: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(order, inverse)
        return x.index_select(1, order)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        order, inverse = ctx.saved_tensors
        return cast(torch.Tensor, _Permute.apply(grad, inverse, order)), None, None


def rearrange(
    x: torch.Tensor, h: int, w: int, size: int, start: int | None, end: int | None
) -> torch.Tensor:
    """Move the tokens of an image from one arrangement to another one.

    An arrangement is None for row by row, or the shift of a :func:`window_order`.

    Args:
        x: (b, h · w, c).
        h, w: Size of the image, multiples of ``size``.
        size: Window size.
        start: Arrangement of ``x``.
        end: Arrangement of the result.

    Returns:
        (b, h · w, c).
    """
    if start == end:
        return x

    def order(start: int | None, end: int | None) -> torch.Tensor:
        key = (h, w, size, start, end, x.device)
        return _orders.get(key, lambda: _order_between(h, w, size, start, end, x.device))

    is_traced = torch.jit.is_tracing() or is_compiling()
    if is_traced or not (x.requires_grad and torch.is_grad_enabled()):
        return x.index_select(1, order(start, end))
    return cast(torch.Tensor, _Permute.apply(x, order(start, end), order(end, start)))


def _mask_kinds(size: int, shift: int, norm: str) -> torch.Tensor:
    """Compute the different masks of :func:`authors_shift_mask`.

    Returns:
        (4, size², size²): of windows inside of the image, at its right border, at its lower border,
        and in the corner between both. Without a shift (1, size², size²), of all windows.
    """
    if shift:
        labels_of_rows = torch.zeros(2 * size, dtype=torch.float64)
        labels_of_rows[-size:-shift] = 1
        labels_of_rows[-shift:] = 2
        labels = 3 * labels_of_rows[:, None] + labels_of_rows[None, :]
    else:
        labels = torch.full((size, size), 8, dtype=torch.float64)
    forward, _ = window_dct_matrices(size, norm, torch.float64)
    side = len(labels)
    windows = labels.flatten()[window_order(side, side, size, 0)].view(-1, size**2, 1)
    coefficients = (forward @ windows).squeeze(-1)
    # The tolerance tells true differences from rounding errors, which are below 1e-12 here.
    different = (coefficients[:, None, :] - coefficients[:, :, None]).abs() > 1e-9
    return different * _MASKED


def _kind_of_windows(h: int, w: int, size: int, device: torch.device | None) -> torch.Tensor:
    """Return which of the four masks of :func:`_mask_kinds` each window has."""
    lower = torch.arange(h // size, device=device) == h // size - 1
    right = torch.arange(w // size, device=device) == w // size - 1
    return (2 * lower[:, None] + right[None, :].long()).flatten()


def authors_shift_mask(
    h: int, w: int, size: int, shift: int, norm: str, device: torch.device | None = None
) -> torch.Tensor:
    """Compute the attention mask that the authors' code builds for a feature map.

    Swin labels the regions that meet in a window after the cyclic shift, and masks pairs of pixels
    with different labels. In the authors' code the DCT is part of the window partition, so that
    the labels are transformed too and *coefficients of the label image* are compared. Without a
    shift Swin's slices label every pixel 8: harmless for pixels, but among coefficients this
    separates the DC from all others.

    The labels of a window only depend on whether it touches the right and the lower border. So the
    masks of these four kinds of windows are kept, and the kinds of the windows of the last sizes.

    Args:
        h, w: Size of the feature map, multiples of ``size``.
        size: Window size.
        shift: Cyclic shift, 0 or half of the window size.
        norm: Scaling of the DCT.
        device: Device of the result.

    Returns:
        (h/size · w/size, size², size²), float32, 0 where a pair may attend and -100 where not.
        Without a shift (1, size², size²), the mask of all windows.
    """
    # The mask is computed on the CPU: on a device, products of matrices may be rounded otherwise.
    masks = _masks.get(
        (size, shift, norm, device), lambda: _mask_kinds(size, shift, norm).to(device)
    )
    if not shift:
        return masks
    kinds = _kinds.get((h, w, size, device), lambda: _kind_of_windows(h, w, size, device))
    return masks[kinds]
