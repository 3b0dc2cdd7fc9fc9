"""Quality of networks with BasicSR's datasets and metrics, and their size and speed."""

import contextlib
import copy
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..config import DatasetConfig, TeacherOptions, TrainingConfig
from ..functional.padding import pad_to_multiple, run_padded
from ..functional.self_ensemble import eightfold
from ..functional.tiling import run_tiled
from ..host.api import build_dataset, calculate_psnr, calculate_ssim
from ..host.resize import imresize
from ..host.training_loop import weights_path
from ..teachers import FusedTeachers, TeacherEnsemble
from ..utils.cudnn import cudnn_flags
from ..utils.image_tensors import to_array
from ..weights.loading import load_weights
from ..weights.networks import build, size_multiple
from .statistics import HIGHEST_PSNR

# Multiply-adds are counted for an output of this size, as is usual in papers.
HEIGHT = 720
WIDTH = 1280

# One precision for students, single teachers, their mean and the fused target: in bfloat16 they
# would differ by up to 0.005 dB, as much as some methods do.
_PRECISION = 'fp32'

# (1, 3, h, w) -> (1, 3, scale · h, scale · w), RGB, [0, 1].
ImageFunction = Callable[[torch.Tensor], torch.Tensor]


def bicubic(lq: torch.Tensor, scale: int) -> torch.Tensor:
    """Upscale an image by MATLAB-like bicubic interpolation.

    Args:
        lq: (1, 3, h, w), [0, 1].
        scale: Upscaling factor.

    Returns:
        (1, 3, scale · h, scale · w), on the CPU, clamped to [0, 1].
    """
    return imresize(lq[0].cpu(), scale)[None].clamp(0, 1)


def load_trained(
    config: TrainingConfig, experiment: str | os.PathLike[str], device: str | torch.device
) -> ImageFunction:
    """Load the network of a training as a function of images; a fusion network with its teachers.

    The moving average of the weights is loaded if there is one.

    Args:
        config: Options of the training.
        experiment: Folder of the training.
        device: Device of the network.

    Returns:
        Function (1, 3, h, w) -> (1, 3, scale · h, scale · w).
    """
    path = str(weights_path(experiment))
    if config.is_fusion_stage:
        ensemble = TeacherEnsemble(config.teachers, config.scale, device, _PRECISION)
        fused = FusedTeachers(ensemble, TeacherOptions(path, config.network), device)
        return _tiled(fused, config)
    net = build(config.network, 'network_g')
    load_weights(net, path, path)
    return enlarger(net.eval().requires_grad_(False).to(device), config)


def _tiled(function: ImageFunction, config: TrainingConfig) -> ImageFunction:
    """Apply a function in tiles, if ``val.tile`` is set, in full fp32 also on a GPU."""

    def run(lq: torch.Tensor) -> torch.Tensor:
        # By default convolutions on a GPU round to TF32.
        with torch.no_grad(), cudnn_flags(allow_tf32=False):
            val = config.val
            return run_tiled(function, lq, config.scale, val.tile, val.tile_overlap)

    return run


def enlarger(net: nn.Module, config: TrainingConfig) -> ImageFunction:
    """Turn a network into a function of images of any size, with tiles if ``val.tile`` is set."""
    multiple = size_multiple(net)
    return _tiled(lambda tile: run_padded(net, tile, multiple, config.scale), config)


def references(
    config: TrainingConfig, device: str | torch.device, self_ensemble: bool = False
) -> tuple[dict[str, ImageFunction], dict[str, str]]:
    """Return bicubic upscaling, the teachers, their mean, and the fused target as functions.

    Args:
        config: Options of a run, with or without teachers and fusion network.
        device: Device of the networks.
        self_ensemble: Whether to include the target averaged over eight flips and rotations.

    Returns:
        Name -> function (1, 3, h, w) -> (1, 3, scale · h, scale · w); and the precisions of
        ``teachers`` and ``target`` (their mean and fusion).
    """
    scale = config.scale
    found: dict[str, ImageFunction] = {'bicubic': lambda lq: bicubic(lq, scale)}
    if not config.teachers:
        return found, {}
    ensemble = TeacherEnsemble(config.teachers, scale, device, _PRECISION)
    for name, net in zip(ensemble.names, ensemble.networks, strict=True):
        found[f'teacher {name}'] = enlarger(net, config)
    if len(ensemble.names) > 1:
        found['mean of teachers'] = _tiled(ensemble.mean, config)
    if config.fusion is not None:
        fused = FusedTeachers(ensemble, config.fusion, device)
        found['fused teachers'] = _tiled(fused, config)
        if self_ensemble:
            found['fused teachers, self-ensemble'] = _tiled(lambda lq: eightfold(fused, lq), config)
    return found, {'teachers': _PRECISION, 'target': ensemble.precision}


def iter_images(dataset: DatasetConfig) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Iterate over the images of a test set, by the names of their files.

    Args:
        dataset: A ``PairedImageDataset``.

    Yields:
        Name, low-resolution image (1, 3, h, w), ground truth (1, 3, scale · h, scale · w), RGB,
        [0, 1].
    """
    images: Any = build_dataset(copy.deepcopy(dict(dataset.options)))
    for item in sorted(range(len(images)), key=lambda i: images.paths[i]['gt_path']):
        data = images[item]
        yield Path(data['gt_path']).stem, data['lq'][None], data['gt'][None]


def measure(
    function: ImageFunction, dataset: DatasetConfig, scale: int, device: str | torch.device
) -> dict[str, list[float]]:
    """Compute PSNR and SSIM of every image of a test set.

    The metrics are BasicSR's, on the Y channel, with a border as wide as the scale cropped.

    Args:
        function: (1, 3, h, w) -> (1, 3, scale · h, scale · w).
        dataset: A ``PairedImageDataset``.
        scale: Factor.
        device: Where the function wants its input.

    Returns:
        PSNR in dB, at most :data:`~.statistics.HIGHEST_PSNR`, and SSIM, by image name.
    """
    border = {'crop_border': scale, 'test_y_channel': True}
    result: dict[str, list[float]] = {}
    for name, lq, gt in iter_images(dataset):
        image = to_array(function(lq.to(device)))
        ground_truth = to_array(gt)
        result[name] = [
            min(float(calculate_psnr(image, ground_truth, **border)), HIGHEST_PSNR),
            float(calculate_ssim(image, ground_truth, **border)),
        ]
    return result


@contextlib.contextmanager
def _without_zeros(net: nn.Module) -> Iterator[None]:
    """Replace the weights of a network that are all zero by small random values for a while.

    A network may skip what is multiplied by zero, as :class:`.DCTSwin` does before its training,
    and would seem faster than it is afterwards.
    """
    zero = [p for p in net.parameters() if not p.any()]
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for p in zero:
                p.copy_(0.01 * torch.randn(p.shape, generator=generator))
        yield
    finally:
        with torch.no_grad():
            for p in zero:
                p.zero_()


def cost(
    net: nn.Module, scale: int, lq: torch.Tensor, device: str | torch.device
) -> dict[str, float]:
    """Measure size and speed of a network.

    Args:
        net: A student or teacher, or a fusion network, which has ``in_chans``; put into
            evaluation mode. Its weights may be those of before a training: it is timed as after
            one, without weights that are all zero.
        scale: Factor.
        lq: (1, 3, h, w), an image that it is timed on.
        device: Where.

    Returns:
        ``parameters``, their number; ``macs``, multiply-adds for an output of 1280×720;
        ``milliseconds`` for ``lq``, the median of five runs.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    net = net.eval().requires_grad_(False).to(device)
    multiple = size_multiple(net)
    channels = getattr(net, 'in_chans', 3)
    x = lq.to(device).repeat(1, channels // 3, 1, 1)
    is_fusion = channels > 3
    if is_fusion:
        x = x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    times = []
    with torch.no_grad():
        with _without_zeros(net):
            for _ in range(6):
                start = time.perf_counter()
                net(pad_to_multiple(x, multiple))
                if torch.device(device).type == 'cuda':
                    torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
        size = (HEIGHT, WIDTH) if is_fusion else (HEIGHT // scale, WIDTH // scale)
        net.to('cpu')
        # Fake tensors have shapes but no values, so nothing is computed.
        with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
            net(pad_to_multiple(torch.empty(1, channels, *size), multiple))
    return {
        'parameters': sum(p.numel() for p in net.parameters()),
        'macs': counter.get_total_flops() / 2,
        'milliseconds': 1000 * float(np.median(times[1:])),
    }
