"""Attention masks of Swin networks, computed once for each size of an image and on its device.

BasicSR's SwinIR, and the networks of spandrel that are made of the same blocks, compute the mask of
an image that is not of ``img_size`` in every block, on the CPU, at every forward pass, and copy it
to the device. That is 15 ms of each training step of a small SwinIR, and seconds for a large image.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from basicsr.archs.swinir_arch import SwinTransformerBlock

from ..utils.compiling import autocast_type, is_compiling, is_lasting, is_recording


class NoMask:
    """Stands for a mask that is all zero, which blocks without a shift have.

    Without a mask their attention is the same, and adds nothing to its scores.
    """

    def to(self, device: torch.device) -> None:
        """Return no mask: blocks call this before they attend."""


MaskFunction: TypeAlias = Callable[[Any, tuple[int, int]], torch.Tensor | NoMask]

# How many masks are kept, and of how many bytes together. With windows of 8×8 a mask has 256 bytes
# for each pixel of a low-resolution image.
_MAX_MASKS = 16
_MAX_BYTES = 2**28

_NO_MASK = NoMask()
# Masks by all that they depend on, those used last at the end.
_masks: dict[tuple[Any, ...], torch.Tensor] = {}
_lock = threading.Lock()


def shifted_mask(
    h: int, w: int, size: int, shift: int, device: torch.device | None = None
) -> torch.Tensor:
    """Compute a mask as Swin's ``calculate_mask``, without writing into slices.

    After the cyclic shift, pixels from opposite borders meet in the last row and column of windows.

    Args:
        h, w: Size of the image, multiples of ``size``.
        size: Window size.
        shift: Cyclic shift in pixels.
        device: Device of the result.

    Returns:
        (windows, size², size²), 0 where a pair of pixels may attend and -100 where not.
    """
    below = torch.arange(h, device=device) >= h - shift
    right = torch.arange(w, device=device) >= w - shift
    border = 2 * below[:, None] + right
    border = border.view(h // size, size, w // size, size).transpose(1, 2).reshape(-1, size**2)
    different = border[:, None, :] != border[:, :, None]
    return torch.zeros(different.shape, device=device).masked_fill(different, -100.0)


def _compute(
    original: Any, block: Any, x_size: tuple[int, int], device: torch.device
) -> torch.Tensor:
    # Not a tensor for inference alone: a training may use it next.
    with torch.inference_mode(False), torch.device(device):
        mask: torch.Tensor = original(block, x_size)
        if block.shift_size == 0:  # all zero
            mask = torch.zeros(()).expand(mask.shape)
    return mask


def _changes_nothing(block: Any) -> bool:
    """Return whether a mask that is all zero changes nothing.

    In fp32 beside scores in another type, it would change theirs.
    """
    weight = block.norm1.weight
    if block.shift_size or autocast_type(weight.device) is not None:
        return False
    return torch.promote_types(weight.dtype, torch.get_default_dtype()) is weight.dtype


def _bytes(masks: dict[tuple[Any, ...], torch.Tensor]) -> int:
    return sum(mask.untyped_storage().nbytes() for mask in masks.values())


def _caching(original: MaskFunction) -> MaskFunction:
    @functools.wraps(original)
    def calculate_mask(self: Any, x_size: tuple[int, int]) -> torch.Tensor | NoMask:
        # When a graph is traced, the size is a tensor, which the graph follows. A mask of that
        # resolution becomes a buffer of its block.
        if torch.jit.is_tracing() or x_size == self.input_resolution:
            return original(self, x_size)
        if _changes_nothing(self):
            return _NO_MASK
        h, w = x_size
        device = self.norm1.weight.device
        if is_compiling() or is_recording(device):
            # A part of the graph, which does not keep what it takes from outside.
            return shifted_mask(h, w, self.window_size, self.shift_size, device)
        key = (original, h, w, self.window_size, self.shift_size, device, torch.get_default_dtype())
        with _lock:
            mask = _masks.pop(key, None)
            if mask is None:
                mask = _compute(original, self, x_size, device)
            if is_lasting(mask):
                _masks[key] = mask
            while len(_masks) > 1 and (len(_masks) > _MAX_MASKS or _bytes(_masks) > _MAX_BYTES):
                del _masks[next(iter(_masks))]
        return mask

    return calculate_mask


def cache_masks(block: Any) -> None:
    """Make a class of Swin blocks compute each mask once.

    Calling it twice is harmless.

    Args:
        block: Their class, which is BasicSR's or has its code; others are left as they are.
    """
    original = getattr(block, 'calculate_mask', None)
    if original is not None and not hasattr(original, '__wrapped__'):
        block.calculate_mask = _caching(original)


def install() -> None:
    """Make BasicSR's SwinIR compute each mask once."""
    cache_masks(SwinTransformerBlock)
