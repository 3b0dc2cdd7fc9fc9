"""Whether code runs or is only looked at, and whether its tensors may be kept."""

import torch


def is_compiling() -> bool:
    """Return whether ``torch.compile`` or ``torch.export`` is tracing the caller.

    torch < 2.3 cannot tell: there it breaks its graph where code cannot be traced.
    """
    return hasattr(torch.compiler, 'is_compiling') and torch.compiler.is_compiling()


def is_recording(device: torch.device) -> bool:
    """Return whether a CUDA graph is being recorded on a device."""
    return device.type == 'cuda' and torch.cuda.is_current_stream_capturing()


def is_lasting(tensor: torch.Tensor) -> bool:
    """Return whether a tensor that has just been computed may be kept for later.

    A fake tensor, with which operations are counted, has no values; one in a CUDA graph that is
    being recorded has none yet.
    """
    return type(tensor) is torch.Tensor and not is_recording(tensor.device)
