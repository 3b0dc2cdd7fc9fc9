"""Training in several processes: how they meet without a GPU, what they share beside the student,
who speaks for them.
"""

import os
import time

import torch
from torch import distributed

from ..errors import OptionError

# How long a process leaves it to the first one of its machine to report an error that all of them
# have.
_PATIENCE = 5


def meet_on_cpu(backend='gloo', **kwargs):
    """What BasicSR does after ``--launcher pytorch``, without a CUDA device: the processes meet on
    gloo.

    Args:
        backend: BasicSR's, which is ``nccl`` and needs CUDA devices; not used.
        **kwargs: As for ``torch.distributed.init_process_group``.
    """
    distributed.init_process_group('gloo', **kwargs)


def refuse_slurm(*_, **__):
    """What comes after ``--launcher slurm`` without a CUDA device: BasicSR counts the processes of
    a machine by its devices.

    Raises:
        OptionError: always.
    """
    raise OptionError(
        '--launcher slurm: torch finds no CUDA device; on CPUs start with torchrun and --launcher '
        'pytorch'
    )


def share(parameters):
    """Gives all processes the values of the first one, as DistributedDataParallel does for the
    student.

    Args:
        parameters (iterable[Parameter]): In the same order everywhere.
    """
    for p in parameters:
        distributed.broadcast(p.data, 0)


def of_the_first(value):
    """What the first process has; for what each could decide for itself, and all have to decide
    alike.

    Args:
        value: Anything that can be pickled.
    """
    values = [value]
    distributed.broadcast_object_list(values, 0)
    return values[0]


def average_gradients(parameters):
    """Makes each gradient the mean over all processes, as DistributedDataParallel does for the
    student.

    Args:
        parameters (iterable[Parameter]): In the same order everywhere. One without a gradient
            counts as zeros, so that the processes never wait for each other in vain.
    """
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        distributed.all_reduce(p.grad)
        p.grad /= distributed.get_world_size()


def let_the_first_speak():
    """Waits until the launcher, after the end of the first process of this machine, ends this one
    too.

    The first process returns at once. If this one is still there after some seconds, the error is
    its own.
    """
    if int(os.environ.get('LOCAL_RANK', os.environ.get('SLURM_LOCALID', 0))):
        time.sleep(_PATIENCE)
