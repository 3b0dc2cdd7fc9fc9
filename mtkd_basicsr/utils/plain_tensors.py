"""Tensors of a network that are neither parameters nor buffers."""

import torch
from torch import nn


def move_plain_tensors(net: nn.Module, device: str | torch.device) -> None:
    """Move to a device what ``net.to(device)`` leaves behind.

    BasicSR's EDSR, RCAN and SwinIR keep their colour mean as a plain attribute, and move it in
    their first forward pass: too late for ``torch.compile``, which compiles that pass, and then all
    of it again.

    Args:
        net: The network.
        device: Its device.
    """
    for module in net.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor):
                setattr(module, name, value.to(device))
