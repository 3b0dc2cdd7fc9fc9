"""Shared memory in which the worker processes of a loader pass on their batches.

For each batch torch takes new shared memory: the system fills it with zeros page by page, the main
process gets it from the worker through a socket, maps it, and gives it back. Here a worker sends
its memory once, and from then on the number of the slot in it that holds a batch. A slot is free
again when the main process has dropped the tensor. While none is free, a batch gets new memory.
"""

import functools
import multiprocessing
import os
import weakref
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

# A worker makes two batches ahead; one more is in use, and one on its way to the device.
_COUNT = 4

# In the main process: the memory of each worker by its process ID.
_memories: dict[int, torch.Tensor] = {}


def _shared_bytes(size: int) -> torch.Tensor:
    """Return a tensor of bytes in shared memory, as torch makes it to collate batches."""
    storage = torch.UntypedStorage._new_shared(size)
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _flags(memory: torch.Tensor) -> np.ndarray:
    """Return whether each slot is in use: the last bytes of a memory, 0 or 1."""
    return memory[-_COUNT:].numpy()


def _release(flags: np.ndarray, index: int, process: int) -> None:
    # A process that was forked meanwhile has a copy of the tensor, whose end means nothing.
    if os.getpid() == process:
        flags[index] = 0


def _receive(worker: int, memory: torch.Tensor | None, index: int, size: int) -> torch.Tensor:
    """Return the batch in a slot; runs in the main process, in place of unpickling a tensor.

    Args:
        worker: ID of the worker process.
        memory: Its memory; None if it was sent before.
        index: Index of the slot.
        size: Size of a slot.

    Returns:
        (size,), uint8. The worker uses the slot again when this tensor is dropped, whatever views
        of it there are.
    """
    if memory is not None:
        running = {process.pid for process in multiprocessing.active_children()}
        for other in set(_memories) - running:
            del _memories[other]
        _memories[worker] = memory
    memory = _memories[worker]
    batch = memory[index * size : (index + 1) * size]
    weakref.finalize(batch, _release, _flags(memory), index, os.getpid()).atexit = False
    return batch


class _Slots:
    """The memory of this worker process.

    Args:
        size: Size of a slot.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_sent = False
        self.memory = _shared_bytes(_COUNT * (size + 1))
        self.flags = _flags(self.memory)
        self.flags[:] = 0

    def take(self) -> '_Slot | None':
        """Return a slot, which then is in use; None if all are."""
        for index in range(_COUNT):
            if not self.flags[index]:
                self.flags[index] = 1
                return _Slot(self, index)
        return None


class _Slot:
    """A slot in the memory of this worker process, which arrives as a tensor in the main process.

    Args:
        slots: The memory.
        index: Index of the slot.
    """

    def __init__(self, slots: _Slots, index: int) -> None:
        self.slots = slots
        self.index = index

    @property
    def content(self) -> torch.Tensor:
        """Return the bytes, to set them."""
        return self.slots.memory[self.index * self.slots.size :][: self.slots.size]

    def __reduce__(self) -> tuple[Any, ...]:
        memory = None if self.slots.is_sent else self.slots.memory
        self.slots.is_sent = True
        return _receive, (os.getpid(), memory, self.index, self.slots.size)


@functools.lru_cache(maxsize=1)
def _slots_of(process: int, size: int) -> _Slots:
    """Return the memory of a worker process for batches of a size."""
    return _Slots(size)


def new_bytes(size: int) -> tuple[torch.Tensor, Any]:
    """Return memory for the bytes of a batch.

    Args:
        size: How many. The batches of a loader have the same size.

    Returns:
        The bytes, to set them, (size,), uint8; and what a worker process puts into its batch, to
        arrive as this tensor in the main process.
    """
    if get_worker_info() is None:
        pixels = torch.empty(size, dtype=torch.uint8)
        return pixels, pixels
    slot = _slots_of(os.getpid(), size).take()
    if slot is None:
        pixels = _shared_bytes(size)
        return pixels, pixels
    return slot.content, slot
