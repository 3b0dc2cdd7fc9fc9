"""The GPUs that this process may use."""

import os

import torch


def visible_gpus() -> list[str]:
    """Return the GPUs of this process by names that a child process takes.

    Returns:
        Values for ``CUDA_VISIBLE_DEVICES`` of a process with one GPU: numbers, UUIDs or names of
        MIG instances, as this process was given them; numbers from 0 on if it was given none.
    """
    count = torch.cuda.device_count()
    given = os.environ.get('CUDA_VISIBLE_DEVICES')
    if given is None:
        return [str(i) for i in range(count)]
    # CUDA ignores what comes after the first name that it does not know.
    return [name.strip() for name in given.split(',')][:count]
