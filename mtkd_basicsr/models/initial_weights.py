"""Random weights to start a student from, other than those of its class."""

import torch
from torch import nn

# Slope of PReLU for negative numbers at its start.
_SLOPE = 0.25
# Of the last convolution: the output begins near what the network adds to it.
_LAST = 0.1


def he_initialise(net: nn.Module) -> None:
    """Draw weights of convolutions that keep the size of a signal from one to the next.

    With the usual weights of torch a convolution and its activation leave two fifths of the size of
    a signal. A chain of 17 of them without a skip connection, as in SRVGGNetCompact, passes nothing
    on at first: it is a constant, and learns for thousands of steps to be anything else.

    Source: He et al., Delving Deep into Rectifiers (ICCV 2015), equation 14, with the slope of
    PReLU. The last convolution gets a tenth of it.

    Args:
        net: A network whose convolutions follow each other, modified; biases become zero.
    """
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight, a=_SLOPE)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
        if convolutions:
            convolutions[-1].weight.mul_(_LAST)
