"""Memory that is free, and memory that a network needs."""

import contextlib
import os
import re
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# What RuntimeErrors say when memory runs out: PyTorch's allocator for CPUs on Linux and on Windows,
# C++, oneDNN, MPS and drivers, cuBLAS and cuDNN.
_OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|bad[_ ]alloc|could not create a memory|"
    r'out of memory|_ALLOC_FAILED',
    re.IGNORECASE,
)
# Files of a control group (version 2 and 1): the limit, the use, and in a list the part of the use
# that is a cache of files, which the system drops when memory runs short.
_GROUP_FILES = (
    ('memory.max', 'memory.current', 'inactive_file'),
    ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a computation needs more memory than there is."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def available_memory(device: torch.device) -> int | None:
    """Return how many bytes a computation can still allocate on a device.

    On a CPU this is the least of what the machine has free, what the control groups of the process
    (containers, jobs of a cluster) have left, and what ``ulimit`` allows.

    Args:
        device: A CUDA device; any other one stands for the memory of the machine.

    Returns:
        Bytes; None where the system does not tell.
    """
    if device.type == 'cuda':
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    limits = [_free_on_machine(Path('/')), *_free_in_groups(Path('/')), *_free_of_process()]
    known = [limit for limit in limits if limit is not None]
    return max(min(known), 0) if known else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding='utf-8')
    except OSError:
        return None


def _entry(path: Path, name: str) -> int | None:
    """Read a number from a file with lines such as ``MemAvailable:  123 kB``."""
    match = re.search(rf'^{name}:?\s+(\d+)', _read(path) or '', re.MULTILINE)
    return None if match is None else int(match.group(1))


def _free_on_machine(root: Path) -> int | None:
    kilobytes = _entry(root / 'proc/meminfo', 'MemAvailable')
    if kilobytes is not None:
        return 1024 * kilobytes
    # macOS does not say how much is free without a tool.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 2
    return None


def _free_in_groups(root: Path) -> Iterator[int]:
    """Yield what each control group has left that the process is in, if it has a limit."""
    for line in (_read(root / 'proc/self/cgroup') or '').splitlines():
        _, controllers, group = line.split(':', 2)
        if controllers not in ('', 'memory'):
            continue
        mounted = root / 'sys/fs/cgroup' / controllers
        own = mounted / group.strip('/')
        # Inside of a container the path can be that of the host, which does not exist here; and
        # limits of the groups above hold too.
        for folder in (own, *own.parents):
            yield from _free_in_group(folder)
            if folder == mounted:
                break


def _free_in_group(folder: Path) -> Iterator[int]:
    for limit_file, use_file, dropped in _GROUP_FILES:
        limit = (_read(folder / limit_file) or '').strip()
        use = (_read(folder / use_file) or '').strip()
        if limit.isdecimal() and use.isdecimal():  # without a limit it is 'max'
            yield int(limit) - int(use) + (_entry(folder / 'memory.stat', dropped) or 0)


def _free_of_process() -> Iterator[int]:
    """Yield what the limits of ``ulimit -v`` and ``ulimit -d`` leave."""
    try:
        import resource  # not on Windows
    except ImportError:
        return
    status = Path('/proc/self/status')
    for limit, name in ((resource.RLIMIT_AS, 'VmSize'), (resource.RLIMIT_DATA, 'VmData')):
        most, _ = resource.getrlimit(limit)
        used = _entry(status, name)
        if most != resource.RLIM_INFINITY and used is not None:
            yield most - 1024 * used


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors that are created inside and still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.peak = 0
        # Number of tensors that share a storage, by its address. A view is alive after the tensor
        # that it is of.
        self.owners: dict[int, int] = {}

    def __torch_dispatch__(  # the signature is torch's
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self._add(value)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        size = storage.nbytes()
        self.owners[address] = self.owners.get(address, 0) + 1
        if self.owners[address] == 1:
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
        weakref.finalize(tensor, self._remove, address, size).atexit = False

    def _remove(self, address: int, size: int) -> None:
        self.owners[address] -= 1
        if self.owners[address] == 0:
            del self.owners[address]
            self.bytes -= size


def peak_bytes(function: Callable[[torch.Tensor], object], x: torch.Tensor) -> int:
    """Measure how much memory a function needs at most for the tensors that it creates.

    What libraries allocate for themselves (about a tenth on a CPU) is not in it.

    Args:
        function: Called once.
        x: Its argument.

    Returns:
        Bytes.
    """
    live = _LiveTensors()
    with live:
        function(x)
    return live.peak
