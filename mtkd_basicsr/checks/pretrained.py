"""Check that the initial weights of the network of a training fit it."""

import torch

from ..config import TrainingConfig
from ..weights.loading import fit_weights, pretrained_key, read_weights


def load_pretrained(config: TrainingConfig, net: torch.nn.Module) -> None:
    """Load the weights named in ``path`` into a network, as BasicSR would.

    With ``strict_load_g: false`` the file is only read.

    Args:
        config: The option file.
        net: ``network_g``.

    Raises:
        WeightsError: The file cannot be read, or does not fit.
    """
    options = config.options['path']
    key = 'path.pretrain_network_g'
    path = config.pretrained_network
    if path is None:
        return
    content = read_weights(path, key)
    if options.get('strict_load_g', True):
        param_key = pretrained_key(content, options.get('param_key_g', 'params'))
        fit_weights(net, content, path, key, param_key=param_key)
