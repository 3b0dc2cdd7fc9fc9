"""Images of files as tensors for networks, and back."""

import numpy as np
import torch

_RED_FIRST = (2, 1, 0, 3)  # BGR(A) to RGB(A), and back


def _swap_red_and_blue(pixels: torch.Tensor) -> torch.Tensor:
    """Change BGR to RGB, BGRA to RGBA, or the other way round, in the last dimension."""
    channels = pixels.shape[-1]
    if channels == 1:
        return pixels
    return pixels.flip(-1) if channels == 3 else pixels[..., _RED_FIRST[:channels]]


def to_tensor(image: np.ndarray | torch.Tensor, device: str | torch.device = 'cpu') -> torch.Tensor:
    """Convert an image as OpenCV reads it to what a network takes.

    Args:
        image: (h, w), (h, w, 3) or (h, w, 4), BGR(A), uint8 or uint16; or (b, h, w, c), several of
            one size.
        device: Where the result is; what goes there are the bytes.

    Returns:
        (b, c, h, w), RGB(A), float32, [0, 1], with the channels last in memory.
    """
    largest = 255
    if isinstance(image, np.ndarray):
        largest = np.iinfo(image.dtype).max
        if image.dtype != np.uint8:
            image = image.astype(np.float32)  # older versions of torch know no uint16
        image = torch.from_numpy(np.ascontiguousarray(image))
    pixels = image.to(device)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim == 3:
        pixels = pixels[None]
    return _swap_red_and_blue(pixels).movedim(-1, -3).float() / largest


def to_pixels(tensor: torch.Tensor, largest: int = 255) -> torch.Tensor:
    """Round what a network gives to the values of images as OpenCV writes them.

    Args:
        tensor: (b, c, h, w) with 1, 3 or 4 channels, RGB(A); cut to [0, 1].
        largest: The value of white.

    Returns:
        (b, h, w, c), BGR(A), on the same device: uint8 for 255, else float32.
    """
    pixels = (tensor.detach().float().clamp(0, 1) * largest).round()
    if largest == 255:
        pixels = pixels.byte()  # before it leaves a GPU
    return _swap_red_and_blue(pixels.movedim(-3, -1)).contiguous()


def to_array(tensor: torch.Tensor, dtype: np.dtype | type = np.uint8) -> np.ndarray:
    """Convert what a network gives to an image as OpenCV writes it.

    Args:
        tensor: (1, c, h, w) with 1, 3 or 4 channels, RGB(A); cut to [0, 1].
        dtype: ``np.uint8`` or ``np.uint16``.

    Returns:
        (h, w, c), BGR(A), rounded to the nearest value.
    """
    pixels = to_pixels(tensor[:1], np.iinfo(dtype).max)[0]
    return pixels.cpu().numpy().astype(dtype, copy=False)
