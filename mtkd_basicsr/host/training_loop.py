"""How BasicSR's loop goes through the data: steps of an epoch, its end, and where it goes on; and
where it leaves the trained network.
"""

import copy
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basicsr.utils.registry import DATASET_REGISTRY


def steps_of_an_epoch(
    block: Mapping[str, Any], count: int, processes: int = 1, loaders: int = 1
) -> int:
    """Count the batches that BasicSR's loader gives in an epoch; a last, smaller one is left out.

    Args:
        block: ``datasets.train`` of the options.
        count: How many images the dataset has.
        processes: How many share the images.
        loaders: How many batches of ``batch_size_per_gpu`` a process takes at once.
    """
    images = math.ceil(count * block.get('dataset_enlarge_ratio', 1) / processes)
    return images // (block['batch_size_per_gpu'] * loaders)


def last_iteration(block: Mapping[str, Any], count: int, total: int) -> int:
    """Return the iteration after which BasicSR's loop ends for want of epochs, in one process.

    It computes how many epochs ``total`` takes as if the last, smaller batch of each were used.

    Args:
        block: ``datasets.train`` of the options.
        count: How many images the dataset has.
        total: ``train.total_iter``.

    Returns:
        An iteration; where it is smaller than ``total``, the training ends too early.
    """
    images = count * block.get('dataset_enlarge_ratio', 1)
    if not images:
        return 0
    supposed_steps = math.ceil(images / block['batch_size_per_gpu'])
    last_epoch = math.ceil(total / supposed_steps)
    return (last_epoch + 1) * steps_of_an_epoch(block, count)  # the first epoch is 0


def _steps_with(opt: dict[str, Any]) -> int:
    """Count the steps of an epoch with options as parsed by BasicSR."""
    block = copy.deepcopy(opt['datasets']['train'])
    count = len(DATASET_REGISTRY.get(block['type'])(block))
    loaders = 1 if opt['dist'] else max(opt['num_gpu'], 1)
    return steps_of_an_epoch(block, count, opt['world_size'], loaders)


def epoch_to_go_on_with(opt: dict[str, Any], state: dict[str, Any]) -> int:
    """Return the epoch that comes after a training state.

    BasicSR begins the epoch of the state again, whose first images are then seen twice. Where the
    epoch was over, that would be all of it.

    Args:
        opt: Options as parsed by BasicSR.
        state: Training state with ``epoch``, ``iter`` and ``began``: epoch and iteration
            in which the process that wrote it began.

    Returns:
        That of the state, or the next.
    """
    began = state['began']
    steps = _steps_with(opt)
    done = state['iter'] - began['iter'] - (state['epoch'] - began['epoch']) * steps
    return state['epoch'] + int(done == steps)


def weights_path(experiment: str | os.PathLike[str]) -> Path:
    """Return the path of the final network of a training, as written by BasicSR."""
    return Path(experiment) / 'models' / 'net_g_latest.pth'
