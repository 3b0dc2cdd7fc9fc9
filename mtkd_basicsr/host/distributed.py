"""Training in several processes.

Initialization without a GPU, what is synchronized besides the student, and which process reports
errors.
"""

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import torch
from torch import distributed

from ..errors import OptionError
from ..utils.launchers import check_launched, local_rank

# Seconds that a process waits for the first one of its machine to report an error that all of them
# have.
_SECONDS_TO_DEFER = 5

_Value = TypeVar('_Value')


def init_gloo(backend: str = 'gloo', **kwargs: Any) -> None:
    """Initialize the processes of ``--launcher pytorch`` with gloo, without a CUDA device.

    Args:
        backend: Ignored: BasicSR passes ``nccl``, which needs CUDA devices.
        **kwargs: Further arguments of ``torch.distributed.init_process_group``.

    Raises:
        OptionError: No launcher has started this process.
    """
    check_launched('pytorch')
    distributed.init_process_group('gloo', **kwargs)


def refuse_slurm(*_: Any, **__: Any) -> NoReturn:
    """Refuse ``--launcher slurm`` without a CUDA device.

    BasicSR derives the ranks of the processes of a machine from its devices.

    Raises:
        OptionError: Always.
    """
    raise OptionError(
        '--launcher slurm: torch finds no CUDA device; on CPUs start with torchrun and --launcher '
        'pytorch'
    )


def launched(
    launcher: str, function: Callable[..., None], without_gpu: Callable[..., None]
) -> Callable[..., None]:
    """Let a function of BasicSR that initializes processes raise if no launcher started this one.

    Args:
        launcher: ``'pytorch'`` or ``'slurm'``.
        function: The function.
        without_gpu: What is called in its place on machines without a CUDA device. They are not
            asked for one before: processes that read images, too, import this package.

    Returns:
        The function with the check; ``function`` itself if it has it already.
    """
    if getattr(function, 'is_checked', False):
        return function

    @functools.wraps(function)
    def initialize(*args: Any, **kwargs: Any) -> None:
        if not torch.cuda.is_available():
            without_gpu(*args, **kwargs)
            return
        check_launched(launcher)
        function(*args, **kwargs)

    initialize.is_checked = True  # type: ignore[attr-defined]
    return initialize


def broadcast_parameters(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Set parameters to the values of rank 0 in all processes.

    DistributedDataParallel does this for the student.

    Args:
        parameters: In the same order in all processes.
    """
    for p in parameters:
        distributed.broadcast(p.data, 0)


def of_the_first(value: _Value) -> _Value:
    """Return the value of rank 0 in all processes.

    This is for decisions that each process could take on its own, but that must be the same in all.

    Args:
        value: Anything that can be pickled.

    Returns:
        The value of rank 0.
    """
    values = [value]
    distributed.broadcast_object_list(values, 0)
    return values[0]


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes.

    DistributedDataParallel does this for the student.

    Args:
        parameters: In the same order in all processes. A missing gradient counts as zeros, so that
            no process waits for one that has none.
    """
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        distributed.all_reduce(p.grad)
        p.grad /= distributed.get_world_size()


def defer_to_local_rank_zero() -> None:
    """Let the first process of this machine report an error that all of them have.

    The first process returns at once. Any other one waits: the launcher ends it after the first one
    has ended. If it still runs after some seconds, the error is its own.
    """
    if local_rank() != 0:
        time.sleep(_SECONDS_TO_DEFER)
