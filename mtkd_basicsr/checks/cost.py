"""Estimates of what a training costs: disk space, time and memory."""

import contextlib
import copy
import io
import logging
import sys
import tempfile
import time

import torch

from ..config import TrainingConfig
from ..data.cache.format import state_of
from ..data.cache.writer import free_bytes
from ..host.api import BaseModel, build_model
from ..weights.networks import build
from .findings import Findings

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_STEPS = 2


def _gib(size: float) -> str:
    return f'{size / 2**30:.2f} GiB'


def _compare_with_free_space(findings: Findings, text: str, needed: float, path: str) -> None:
    free = free_bytes(path)
    if needed > free:
        findings.error(f'{text} need about {_gib(needed)}; only {_gib(free)} are free')
    else:
        findings.ok(f'{text} need about {_gib(needed)} of {_gib(free)} free')


def check_disk(config: TrainingConfig, pixels: float, findings: Findings) -> None:
    """Check that the disk has space for the target cache, if it is not complete, and checkpoints.

    Args:
        config: The option file.
        pixels: Total number of pixels of all ground truths of the training.
        findings: Results are added to it.
    """
    path = config.target_cache
    contents = config.cache_contents if config.teachers else None
    if contents is not None and path is not None and state_of(path) == 'none':
        outputs = len(config.teachers) if contents == 'teachers' else 1
        # Ground truth, low-resolution image and outputs, three bytes a pixel.
        needed = 3 * pixels * (1 + 1 / config.scale**2 + outputs)
        _compare_with_free_space(
            findings, f"datasets.train.target_cache: '{path}' will", needed, path
        )
    with findings.collect_errors():
        parameters = sum(p.numel() for p in build(config.network, 'network_g').parameters())
        total = config.options['train']['total_iter']
        count = int(total // config.options['logger']['save_checkpoint_freq']) + 1
        # The network, its moving average, and two moments of the optimizer, as float32.
        _compare_with_free_space(
            findings,
            f'logger.save_checkpoint_freq: {count} checkpoints',
            count * parameters * 4 * 4,
            'experiments',
        )


def _build_model_silently(config: TrainingConfig, device: torch.device, folder: str) -> BaseModel:
    opt = copy.deepcopy(config.options)
    opt.update(dist=False, rank=0, world_size=1, is_train=True, num_gpu=int(device.type == 'cuda'))
    opt['path'].update(models=folder, training_states=folder, log=folder, visualization=folder)
    with contextlib.redirect_stdout(io.StringIO()):
        return build_model(opt)


def peak_memory(device: torch.device) -> int | None:
    """Return the peak memory use in bytes; None if the system does not report it."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated()
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024  # Linux counts in KiB


def check_steps(config: TrainingConfig, device: torch.device, findings: Findings) -> None:
    """Run two steps on random images to estimate time per step, total time and memory.

    Args:
        config: The option file.
        device: The device of the training.
        findings: Results are added to it.
    """
    scale = config.scale
    size = config.train_dataset.options['gt_size']
    batch = config.train_dataset.options['batch_size_per_gpu']
    total = int(config.options['train']['total_iter'])
    logger = logging.getLogger('basicsr')
    saved = logger.disabled
    logger.disabled = True
    try:
        with tempfile.TemporaryDirectory() as folder, findings.collect_errors():
            model = _build_model_silently(config, device, folder)
            times = []
            images = {
                'lq': torch.rand(batch, 3, size // scale, size // scale),
                'gt': torch.rand(batch, 3, size, size),
            }
            cached = model.distiller.teachers.cached if hasattr(model, 'distiller') else None
            if cached is not None:  # random numbers instead of cached targets
                images['target'] = torch.rand(batch, cached.stop, size, size)
            for i in range(1, _STEPS + 1):
                start = time.perf_counter()
                model.feed_data(images)
                model.optimize_parameters(i)
                times.append(time.perf_counter() - start)
            peak = peak_memory(device)
            memory = '' if peak is None else f'; {_gib(peak)} of memory on {device}'
            seconds = times[-1]
            findings.ok(
                f'train.total_iter: {total:,d} iterations of {seconds:.2f} s are '
                f'{total * seconds / 3600:,.1f} hours without data loading and validation{memory}'
            )
    except Exception as error:  # BasicSR and torch raise many types
        findings.error(f'train: a step fails: {type(error).__name__}: {error}')
    finally:
        logger.disabled = saved
