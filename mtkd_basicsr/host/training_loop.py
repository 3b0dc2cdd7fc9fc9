"""Where in the data a training was when its state was saved."""

import copy
import math
from typing import Any

from basicsr.utils.registry import DATASET_REGISTRY


def _steps_of_an_epoch(opt: dict[str, Any]) -> int:
    """Count the batches of BasicSR's loader in an epoch; its last, smaller batch is left out."""
    block = copy.deepcopy(opt['datasets']['train'])
    ratio = block.get('dataset_enlarge_ratio', 1)
    images = math.ceil(len(DATASET_REGISTRY.get(block['type'])(block)) * ratio / opt['world_size'])
    return images // (block['batch_size_per_gpu'] * (1 if opt['dist'] else max(opt['num_gpu'], 1)))


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
    steps = _steps_of_an_epoch(opt)
    done = state['iter'] - began['iter'] - (state['epoch'] - began['epoch']) * steps
    return state['epoch'] + int(done == steps)
