"""How BasicSR's loop goes through the data: steps of an epoch, its end, and where it goes on; and
where it leaves the trained network.
"""

import copy
import math
import os
from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from typing import Any, cast

from basicsr.utils import MessageLogger as BasicSRMessageLogger
from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY
from torch.utils.data import DataLoader

from ..errors import OptionError


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


def _steps_with(opt: dict[str, Any]) -> int:
    """Count the steps of an epoch with options as parsed by BasicSR."""
    block = copy.deepcopy(opt['datasets']['train'])
    count = len(DATASET_REGISTRY.get(block['type'])(block))
    loaders = 1 if opt['dist'] else max(opt['num_gpu'], 1)
    return steps_of_an_epoch(block, count, opt['world_size'], loaders)


def epoch_to_go_on_with(opt: dict[str, Any], state: dict[str, Any]) -> int:
    """Return the epoch that comes after a training state.

    BasicSR begins the epoch of the state again, whose first images are then seen twice. Where the
    epoch was over, that would be all of it. With other steps per epoch than those of the state
    (batch size, images, processes) BasicSR's loop would also end too early, or at once.

    Args:
        opt: Options as parsed by BasicSR.
        state: Training state with ``epoch`` and ``iter``. In those of this package ``began`` has
            the epoch and the iteration in which the process that wrote it began.

    Returns:
        The epoch of the state, or the next; with other steps per epoch, the one in which a new
        training would reach the iteration.
    """
    steps = max(_steps_with(opt), 1)
    reached: int = state['iter'] // steps
    epoch: int = state['epoch']
    began = state.get('began')
    if began is not None:
        done = state['iter'] - began['iter'] - (epoch - began['epoch']) * steps
        epoch = epoch + int(done == steps) if 0 < done <= steps else reached
    # Never a later one: epochs would be missing at the end.
    return min(epoch, reached)


def with_enough_epochs(create: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Wrap BasicSR's ``create_train_val_dataloader``, which counts too few epochs.

    It counts as if a last, smaller batch were used, and as if each process took one
    ``batch_size_per_gpu`` at a time. With few images, several processes, or several GPUs in one
    process, its loop then ends before ``total_iter`` without a word.

    Args:
        create: The function; returns loader, sampler, loaders of validations, number of epochs, and
            number of iterations.

    Returns:
        The same function with the right number of epochs; it raises an OptionError where an epoch
        has no batch: the loop would end at once, and leave a network that was not trained.
    """

    def create_train_val_dataloader(opt: dict[str, Any], *args: Any) -> tuple[Any, ...]:
        loader, sampler, validations, epochs, iterations = create(opt, *args)
        if len(loader):
            epochs = max(epochs, math.ceil(iterations / len(loader)))
        elif iterations > 0:  # none are asked for where a mix is fitted to whole images
            raise OptionError(_no_batch(opt, loader))
        return loader, sampler, validations, epochs, iterations

    return create_train_val_dataloader


def _no_batch(opt: dict[str, Any], loader: DataLoader[Any]) -> str:
    """Describe a training whose epochs have no whole batch."""
    block = opt['datasets']['train']
    ratio = block.get('dataset_enlarge_ratio', 1)
    processes = opt['world_size']
    count = len(cast(Sized, loader.dataset))
    batch = cast(int, loader.batch_size)
    shared = f', shared by {processes} processes,' if processes > 1 else ''
    return (
        f'datasets.train.dataset_enlarge_ratio: {ratio}; {count} images{shared} make no whole '
        f'batch of {batch}, and nothing would be trained; use '
        f'{math.ceil(batch * processes / count)} or more'
    )


def prepare_loader(model: type, loader: DataLoader[Any]) -> None:
    """Let the dataset of a training pack its batches, if the model unpacks them.

    That is a model of this package, or a class derived from one without a ``feed_data`` of its own.
    All others get batches as BasicSR's datasets give them.

    Args:
        model: Class of the model.
        loader: The loader of the training, which has not started yet.
    """
    feed_data = getattr(model, 'feed_data', None)
    ours = f'{__name__.partition(".")[0]}.models.'
    if getattr(feed_data, '__module__', '').startswith(ours):
        pack_batches = getattr(loader.dataset, 'pack_batches', None)
        if pack_batches is not None:
            pack_batches(loader)


def with_prepared_loader(create: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Wrap BasicSR's ``create_train_val_dataloader``, so that the loader suits model and device.

    A training on a CPU does not pin memory: that would occupy a GPU of the machine.

    Args:
        create: As for :func:`with_enough_epochs`.

    Returns:
        The same function with a prepared loader.
    """

    def create_train_val_dataloader(opt: dict[str, Any], *args: Any) -> tuple[Any, ...]:
        loader, *others = create(opt, *args)
        if isinstance(loader, DataLoader):
            if opt['num_gpu'] == 0:
                loader.pin_memory = False
            if opt['model_type'] in MODEL_REGISTRY:
                prepare_loader(MODEL_REGISTRY.get(opt['model_type']), loader)
        return (loader, *others)

    return create_train_val_dataloader


class MessageLogger(BasicSRMessageLogger):
    """BasicSR's log of progress, with the time that is left.

    BasicSR leaves out the last iteration: its log of a training ends with ``eta: -1 day,
    23:59:59``.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.max_iters += 1


def weights_path(experiment: str | os.PathLike[str]) -> Path:
    """Return the path of the final network of a training, as written by BasicSR."""
    return Path(experiment) / 'models' / 'net_g_latest.pth'
