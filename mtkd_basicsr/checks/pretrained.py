"""Check that the initial weights of the network of a training fit it."""

import torch

from ..config import TrainingConfig
from ..weights.fitting import fit_weights, refuse_random
from ..weights.loading import read_weights
from ..weights.state_dicts import pretrained_key


def load_pretrained(config: TrainingConfig, net: torch.nn.Module) -> str | None:
    """Load the weights named in ``path`` into a network, as the model of the options does.

    Args:
        config: The option file.
        net: ``network_g``.

    Returns:
        A warning that names what stays random with ``strict_load_g: false``; None if nothing does.

    Raises:
        OptionError: The options are for a test and name no weights.
        WeightsError: The file cannot be read, or does not fit.
    """
    options = config.options['path']
    key = 'path.pretrain_network_g'
    path = config.pretrained_network
    if path is None:
        if not config.is_train:
            refuse_random(net)
        return None
    content = read_weights(path, key)
    strict = options.get('strict_load_g', True)
    param_key = pretrained_key(content, options.get('param_key_g', 'params'))
    return fit_weights(
        net,
        content,
        path,
        key,
        strict,
        param_key,
        initial=config.is_train,
        as_basicsr=config.model is None,
    )
