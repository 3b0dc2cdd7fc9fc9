"""Training in several processes.

How they meet without a GPU, what they share beside the student, and who speaks for them.
"""

import os
import time
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

import torch
from torch import distributed

from ..errors import OptionError

# How long a process leaves it to the first one of its machine to report an error that all of them
# have.
_PATIENCE = 5

_Value = TypeVar('_Value')


def meet_on_cpu(backend: str = 'gloo', **kwargs: Any) -> None:
    """Let the processes of ``--launcher pytorch`` meet on gloo, without a CUDA device.

    Args:
        backend: BasicSR's, which is ``nccl`` and needs CUDA devices; not used.
        **kwargs: As for ``torch.distributed.init_process_group``.
    """
    distributed.init_process_group('gloo', **kwargs)


def refuse_slurm(*_: Any, **__: Any) -> NoReturn:
    """Refuse ``--launcher slurm`` without a CUDA device.

    BasicSR counts the processes of a machine by its devices.

    Raises:
        OptionError: Always.
    """
    raise OptionError(
        '--launcher slurm: torch finds no CUDA device; on CPUs start with torchrun and --launcher '
        'pytorch'
    )


def share(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Give all processes the values of the first one.

    DistributedDataParallel does so for the student.

    Args:
        parameters: In the same order everywhere.
    """
    for p in parameters:
        distributed.broadcast(p.data, 0)


def of_the_first(value: _Value) -> _Value:
    """Return what the first process has, in all processes.

    This is for what each could decide for itself, and all have to decide alike.

    Args:
        value: Anything that can be pickled.

    Returns:
        The value of the first process.
    """
    values = [value]
    distributed.broadcast_object_list(values, 0)
    return values[0]


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Make each gradient the mean over all processes.

    DistributedDataParallel does so for the student.

    Args:
        parameters: In the same order everywhere. One without a gradient
            counts as zeros, so that the processes never wait for each other in vain.
    """
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        distributed.all_reduce(p.grad)
        p.grad /= distributed.get_world_size()


def let_the_first_speak() -> None:
    """Leave it to the first process of this machine to report an error that all of them have.

    The first process returns at once. Another one waits for the launcher, which ends it after the
    end of the first. If this one is still there after some seconds, the error is
    its own.
    """
    if int(os.environ.get('LOCAL_RANK', os.environ.get('SLURM_LOCALID', 0))):
        time.sleep(_PATIENCE)
