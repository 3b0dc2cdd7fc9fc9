"""Check that the weights that a training begins with fit its network."""

import dataclasses

import torch

from ..config import TrainingConfig
from ..host.resume import networks_of_state
from ..weights.fitting import fit_weights, refuse_random
from ..weights.networks import build
from ..weights.reading import read_weights
from ..weights.state_dicts import pretrained_key


def load_pretrained(
    config: TrainingConfig, net: torch.nn.Module, key: str = 'path.pretrain_network_g'
) -> str | None:
    """Load the weights named in ``path`` into a network, as the model of the options does.

    Args:
        config: The option file.
        net: ``network_g``.
        key: The option key that the weights come from, for messages.

    Returns:
        A warning that names what stays random with ``strict_load_g: false``; None if nothing does.

    Raises:
        OptionError: The options are for a test and name no weights.
        WeightsError: The file cannot be read, or does not fit.
    """
    options = config.options['path']
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


def check_resumed_network(config: TrainingConfig, state: str | None) -> None:
    """Check that a training state can be resumed: that it and its network are there, and fit.

    Args:
        config: The option file.
        state: The training state; None for a training from the beginning.

    Raises:
        OptionError: The state is beyond the last iteration of the option file.
        WeightsError: The state or its network cannot be read, or the network does not fit.
    """
    if state is None:
        return
    key = 'pretrain_network_g'
    file = networks_of_state(state, dict(config.options)).get(key)
    if file is None:
        return  # path.ignore_resume_networks
    path = {**config.options['path'], key: file, 'param_key_g': 'params'}
    resumed = dataclasses.replace(config, options={**config.options, 'path': path})
    load_pretrained(resumed, build(config.network, 'network_g'), 'path.resume_state')
