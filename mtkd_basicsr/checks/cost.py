"""Estimates of what a training costs: disk space, time and memory."""

import contextlib
import copy
import gc
import io
import logging
import statistics
import sys
import tempfile
import time

import torch

from ..config import TrainingConfig
from ..data.cache.format import state_of
from ..host.api import BaseModel, build_model
from ..utils.cudnn import cudnn_flags
from ..utils.machine import free_bytes
from ..weights.networks import build
from .findings import Findings

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# Steps before the clock starts: torch loads kernels and allocates, and compiles once more when a
# constant of the network has moved to the device. On a CPU one is enough.
_WARM_UP = {'cpu': 1, 'cuda': 4}
_STEPS = {'cpu': 1, 'cuda': 5}


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
        # Not what is allocated: torch keeps more, and fails when that does not fit.
        return torch.cuda.max_memory_reserved(device)
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024  # Linux counts in KiB


def _forget_memory(device: torch.device) -> None:
    """Make :func:`peak_memory` on a GPU that of the training alone, not of what ran before it."""
    if device.type == 'cuda':
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _seconds_of_a_step(
    model: BaseModel, images: dict[str, torch.Tensor], device: torch.device
) -> float:
    """Time training steps, with the choice of convolutions that a training has.

    Args:
        model: A model for training.
        images: A batch.
        device: Device of the model; on a GPU the clock stops when it is done.

    Returns:
        Seconds of a step, the median.
    """
    times = []
    # BasicSR's training script switches this on.
    with cudnn_flags(benchmark=True):
        for i in range(1, _WARM_UP[device.type] + _STEPS[device.type] + 1):
            start = time.perf_counter()
            model.feed_data(images)
            model.optimize_parameters(i)
            if device.type == 'cuda':
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    return statistics.median(times[_WARM_UP[device.type] :])


def check_steps(config: TrainingConfig, device: torch.device, findings: Findings) -> None:
    """Run a few steps on random images to estimate time per step, total time and memory.

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
            _forget_memory(device)
            model = _build_model_silently(config, device, folder)
            images = {
                'lq': torch.rand(batch, 3, size // scale, size // scale),
                'gt': torch.rand(batch, 3, size, size),
            }
            cached = model.distiller.teachers.cached if hasattr(model, 'distiller') else None
            if cached is not None:  # random numbers instead of cached targets
                images['target'] = torch.rand(batch, cached.stop, size, size)
            seconds = _seconds_of_a_step(model, images, device)
            peak = peak_memory(device)
            memory = '' if peak is None else f'; {_gib(peak)} of memory on {device}'
            findings.ok(
                f'train.total_iter: {total:,d} iterations of {seconds:.2f} s are '
                f'{total * seconds / 3600:,.1f} hours without data loading and validation{memory}'
            )
    except Exception as error:  # BasicSR and torch raise many types
        findings.error(f'train: a step fails: {type(error).__name__}: {error}')
    finally:
        logger.disabled = saved
