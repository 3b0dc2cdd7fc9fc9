"""The results of ``mtkd distill``: a table of all methods, and a figure with crops."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ...config import DatasetConfig, TrainingConfig
from ...evaluation.measure import (
    ImageFunction,
    iter_images,
    load_trained,
    references,
)
from ...host.api import calculate_psnr, calculate_ssim
from ...utils.atomic import write_text
from ...utils.image_tensors import to_array
from ...weights.networks import build
from .._crops import GROUND_TRUTH, draw_crops
from .option_files import STUDENT

# Photographs in the figure.
_DRAWN = 4


@dataclass
class _Measured:
    """What was measured of a method.

    Attributes:
        psnr: dB, of each photograph.
        ssim: Of each photograph.
        seconds: Of each photograph.
    """

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def _measure(
    methods: Mapping[str, ImageFunction], config: TrainingConfig, device: torch.device
) -> tuple[dict[str, _Measured], dict[str, dict[str, np.ndarray]]]:
    """Measure every method on the photographs that were kept apart.

    Returns:
        What was measured by method; the first images by photograph and method.
    """
    border = {'crop_border': config.scale, 'test_y_channel': True}
    measured = {name: _Measured() for name in methods}
    drawn: dict[str, dict[str, np.ndarray]] = {}
    # As BasicSR completes the data sets of an option file.
    more = {'phase': 'val', 'scale': config.scale}
    validation = DatasetConfig('val', {**config.datasets['val'].options, **more})
    for photograph, lq, gt in iter_images(validation):
        ground_truth = to_array(gt)
        images = {GROUND_TRUTH: ground_truth}
        for name, function in methods.items():
            start = time.perf_counter()
            with torch.no_grad():
                output = function(lq.to(device)).cpu()
            measured[name].seconds.append(time.perf_counter() - start)
            images[name] = to_array(output.clamp(0, 1))
            measured[name].psnr.append(float(calculate_psnr(images[name], ground_truth, **border)))
            measured[name].ssim.append(float(calculate_ssim(images[name], ground_truth, **border)))
        if len(drawn) < _DRAWN:
            drawn[photograph] = images
    return measured, drawn


def _table(measured: Mapping[str, _Measured], student: str, config: TrainingConfig) -> str:
    count = len(measured[student].psnr)
    network = build(config.network, 'network_g')
    parameters = sum(p.numel() for p in network.parameters())
    lines = [
        f'# mtkd distill, ×{config.scale}',
        '',
        f'PSNR and SSIM on the Y channel, {config.scale} pixels cropped from each border, mean '
        f'over the {count} photographs that were kept apart. The student has {parameters:,d} '
        f'parameters and was trained for {config.total_iterations:,d} iterations.',
        '',
        '| | PSNR (dB) | SSIM | against bicubic (dB) | seconds per photograph |',
        '|---|---|---|---|---|',
    ]
    base = float(np.mean(measured['bicubic'].psnr))
    for name, values in measured.items():
        psnr = float(np.mean(values.psnr))
        gain = '–' if name == 'bicubic' else f'{psnr - base:+.2f}'
        lines.append(
            f'| {name} | {psnr:.2f} | {float(np.mean(values.ssim)):.4f} | {gain} | '
            f'{float(np.mean(values.seconds)):.3f} |'
        )
    if float(np.mean(measured[student].psnr)) < base:
        lines += ['', 'The student is below bicubic enlargement: it needs a longer training.']
    return '\n'.join(lines) + '\n'


def report(
    config: TrainingConfig,
    out: Path,
    student: str,
    device: torch.device,
    table: Path,
    picture: Path,
) -> None:
    """Measure the student, bicubic enlargement and all teachers; write a table and a figure.

    Args:
        config: Options of the training of the student.
        out: Output folder.
        student: Name of the student.
        device: Where the networks run.
        table: The new table, Markdown.
        picture: The new figure.
    """
    methods, _ = references(config, device)
    label = f'student {student}'
    methods[label] = load_trained(config, out / 'experiments' / STUDENT, device)
    measured, drawn = _measure(methods, config, device)
    write_text(table, _table(measured, label, config))
    draw_crops(drawn, picture, (label, 'bicubic'))
