"""Estimates of what a training costs: disk space, time and memory."""

import contextlib
import copy
import gc
import io
import sys

import torch

from ..config import TrainingConfig
from ..data.cache.format import state_of
from ..host.api import BaseModel, build_model
from ..utils.machine import free_bytes
from ..weights.networks import build
from .estimates import cache_bytes
from .findings import Findings

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def gib(size: float) -> str:
    return f'{size / 2**30:.2f} GiB'


def _compare_with_free_space(findings: Findings, text: str, needed: float, path: str) -> None:
    free = free_bytes(path)
    if needed > free:
        findings.error(f'{text} need about {gib(needed)}; only {gib(free)} are free')
    else:
        findings.ok(f'{text} need about {gib(needed)} of {gib(free)} free')


def outputs(config: TrainingConfig) -> int:
    """Return the number of outputs of an image in the cache."""
    return len(config.teachers) if config.cache_contents == 'teachers' else 1


def makes_cache(config: TrainingConfig) -> bool:
    """Return whether the option file names a cache that ``mtkd cache`` has not begun."""
    path = config.target_cache
    contents = config.cache_contents if config.teachers else None
    return contents is not None and path is not None and state_of(path) == 'none'


def checkpoints(config: TrainingConfig) -> tuple[int, float]:
    """Return how many checkpoints of a training lie on the disk at most, and their bytes."""
    parameters = sum(p.numel() for p in build(config.network, 'network_g').parameters())
    total = config.options['train']['total_iter']
    count = int(total // config.options['logger']['save_checkpoint_freq'])
    if config.keep_last is not None:
        # An old one is removed after a new one is written.
        count = min(count, config.keep_last + 1)
    count += 1  # net_g_latest.pth
    # The network, its moving average, and two moments of the optimizer, as float32.
    return count, count * parameters * 4 * 4


def check_disk(config: TrainingConfig, pixels: float, findings: Findings) -> None:
    """Check that the disk has space for the target cache, if it is not complete, and checkpoints.

    Args:
        config: The option file.
        pixels: Total number of pixels of all ground truths of the training; 0 if unknown.
        findings: Results are added to it.
    """
    path = config.target_cache
    if makes_cache(config) and path is not None and pixels:
        needed = cache_bytes(pixels, 0, config.scale, outputs(config))
        _compare_with_free_space(
            findings, f"datasets.train.target_cache: '{path}' will", needed, path
        )
    with findings.collect_errors():
        count, needed = checkpoints(config)
        _compare_with_free_space(
            findings,
            f'logger.save_checkpoint_freq: {count} checkpoints',
            needed,
            'experiments',
        )


def build_model_silently(config: TrainingConfig, device: torch.device, folder: str) -> BaseModel:
    opt = copy.deepcopy(config.options)
    opt.update(dist=False, rank=0, world_size=1, is_train=True, num_gpu=int(device.type == 'cuda'))
    opt['path'].update(models=folder, training_states=folder, log=folder, visualization=folder)
    with contextlib.redirect_stdout(io.StringIO()):
        return build_model(opt)


def peak_memory(device: torch.device) -> int | None:
    """Return the peak memory use in bytes; None if the system does not report it."""
    if device.type == 'cuda':
        # Not what is allocated: torch keeps more, and fails when that does not fit.
        return torch.cuda.max_memory_reserved(device)
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024  # Linux counts in KiB


def forget_memory(device: torch.device) -> None:
    """Make :func:`peak_memory` on a GPU that of the training alone, not of what ran before it."""
    if device.type == 'cuda':
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
