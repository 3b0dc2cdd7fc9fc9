"""One process trains on one GPU.

BasicSR trains on all GPUs that ``num_gpu`` names in one process, by ``DataParallel``. It multiplies
the batch size by their number and leaves the learning rate as it is; its replicas run under
autocast in float16, whatever dtype the model asks for, and they cannot be compiled.
"""

import sys
from typing import Any

import torch

from ..errors import OptionError
from .api import BaseModel, model_class
from .command_line import command_line
from .yaml_loader import options_of_this_process


def several_gpus_error(count: int) -> OptionError:
    """Return the error for a training on several GPUs in one process."""
    return OptionError(
        f'num_gpu: {count}, but one process trains on one GPU; use num_gpu: 1, or start one '
        f'process for each GPU: torchrun --standalone --nproc_per_node={count} -m '
        'mtkd_basicsr train -opt FILE --launcher pytorch'
    )


def _asked_for() -> Any:
    """Return ``num_gpu`` as BasicSR's command line and its option file have it, before BasicSR
    replaces ``auto``; None if they do not say.
    """
    overrides = command_line().force_yml
    values = [e.partition('=')[2] for e in overrides if e.split('=')[0] == 'num_gpu']
    if values:
        return values[-1].strip()
    return options_of_this_process().get('num_gpu')


def use_one_gpu(opt: dict[str, Any]) -> None:
    """Make ``num_gpu: auto`` one GPU in a training without a launcher.

    Args:
        opt: Options of a training as parsed by BasicSR, which replaces ``auto`` by the number of
            GPUs; ``num_gpu`` is modified.

    Raises:
        OptionError: The option file or the command line names several GPUs.
    """
    count = opt.get('num_gpu')
    if opt.get('dist') or not isinstance(count, int) or count < 2:
        return
    if _asked_for() != 'auto':
        raise several_gpus_error(count)
    opt['num_gpu'] = 1
    print(
        f'num_gpu: auto: 1 of the {count} GPUs here; for all of them start with torchrun and '
        '--launcher pytorch',
        file=sys.stderr,
    )


def refuse_without_gpus(model_type: str) -> None:
    """Raise if a model would be trained in several processes without GPUs, which it needs for that.

    Args:
        model_type: A model. One that is put on its device as BasicSR does needs GPUs.

    Raises:
        OptionError: torch finds no CUDA device.
    """
    needs_gpus = (
        getattr(model_class(model_type), 'model_to_device', None) is BaseModel.model_to_device
    )
    if needs_gpus and not torch.cuda.is_available():
        raise OptionError(
            f"model_type: '{model_type}'; BasicSR trains its own models in several processes on "
            'GPUs only, and torch finds no CUDA device; start one process, without --launcher'
        )


def check_gpus(opt: dict[str, Any]) -> None:
    """Raise if a model cannot run on the GPUs that its options ask for.

    Args:
        opt: Options of a training or a test as parsed by BasicSR.

    Raises:
        OptionError: Names ``num_gpu``.
    """
    count = opt['num_gpu']
    if count != 0 and not torch.cuda.is_available():
        raise OptionError(f'num_gpu: {count}, but torch finds no CUDA device; use 0, or auto')
    if opt['is_train'] and not opt['dist'] and count > 1:
        raise several_gpus_error(count)
    if opt['dist'] and count == 0 and torch.distributed.get_backend() != 'gloo':
        raise OptionError(
            'num_gpu: 0, but each of several processes has a GPU here; use auto, or hide the GPUs '
            '(CUDA_VISIBLE_DEVICES=)'
        )
