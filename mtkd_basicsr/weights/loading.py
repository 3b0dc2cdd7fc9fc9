"""Load weight files into networks."""

from typing import Any, NamedTuple

import torch

from .fitting import fit_weights
from .reading import read_weights


class Loaded(NamedTuple):
    """What was loaded into a network.

    Attributes:
        content: The whole content of the file.
        warning: Names the tensors of the network that the file does not have, and that stay random;
            None if there are none.
    """

    content: dict[str, Any]
    warning: str | None


def load_weights(
    net: torch.nn.Module, path: str, key: str, strict: bool = True, param_key: str | None = None
) -> Loaded:
    """Load the weights of a file into a network.

    Args:
        net: The network.
        path: BasicSR's format (``params_ema`` preferred, ``params``), a bare state dict, or a
            mapping with one state dict; names as in BasicSR, or in one of
            :data:`~mtkd_basicsr.weights.conversions.SOURCE_FORMATS`, with or without what wrappers
            add to them. A colour mean in the file is handed to the network.
        key: The option that names the file, for messages.
        strict: Whether all names must match, and not only half of them. Shapes must match in any
            case.
        param_key: The entry of the file to take instead.

    Returns:
        The content of the file, and a warning if it does not have all of the network.

    Raises:
        WeightsError: If the file cannot be read or does not fit; lists the first differences.
    """
    content = read_weights(path, key)
    return Loaded(content, fit_weights(net, content, path, key, strict, param_key))
