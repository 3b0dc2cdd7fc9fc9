"""The results of the demo: a table of all methods, and a figure with crops."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...config import TeacherOptions, parse_fusion, parse_teachers
from ...data.sample_photographs import TRAIN, VALIDATION
from ...functional.padding import run_padded
from ...host.api import calculate_psnr, calculate_ssim
from ...host.resize import resize_image
from ...host.yaml_loader import read_options
from ...teachers import FusedTeachers, TeacherEnsemble
from ...utils.image_tensors import to_array, to_tensor
from ...utils.images import decode
from ...utils.resources import option_file
from ...weights.loading import load_weights
from ...weights.networks import build, size_multiple
from .._crops import draw_crops
from .trainings import seconds_of


def _options(name: str) -> dict[str, Any]:
    return read_options(option_file('demo', f'{name}.yml'))


@dataclasses.dataclass(frozen=True)
class _Method:
    """A row of the table.

    Attributes:
        function: (1, 3, h, w) -> (1, 3, scale · h, scale · w), RGB, [0, 1]. With
            ``fuses_teachers`` its input is the outputs of all teachers, (1, 3 N, scale · h, scale ·
            w). None is bicubic.
        parameters: Number of parameters of all its networks.
        is_teacher: Whether its output is an input of the methods with ``fuses_teachers``.
        fuses_teachers: Whether its input is the outputs of the teachers; its time includes theirs.
    """

    function: Callable[[torch.Tensor], torch.Tensor] | None
    parameters: int = 0
    is_teacher: bool = False
    fuses_teachers: bool = False


def _methods(out: Path, scale: int) -> tuple[dict[str, _Method], FusedTeachers]:
    """Return the methods by name, in the order of the table, and the fused teachers."""
    opt = _options('mtkd')
    # The teachers of the demo are networks, not folders of images.
    absolute = {
        name: dataclasses.replace(teacher, weights=str(out / str(teacher.weights)))
        for name, teacher in parse_teachers(opt).items()
        if isinstance(teacher, TeacherOptions)
    }
    fusion = parse_fusion(opt)
    assert fusion is not None  # its option file comes with the package
    target = FusedTeachers(
        TeacherEnsemble(absolute, scale),
        dataclasses.replace(fusion, weights=str(out / str(fusion.weights))),
    )
    methods = {'bicubic': _Method(None)}

    def size(net: nn.Module) -> int:
        return sum(p.numel() for p in net.parameters())

    def padded(net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda lq: run_padded(net, lq, size_multiple(net), scale)

    for name, net in zip(target.ensemble.names, target.ensemble.networks, strict=True):
        methods[f'teacher {name}'] = _Method(padded(net), size(net), is_teacher=True)

    def mean(images: torch.Tensor) -> torch.Tensor:
        return images.unflatten(1, (-1, 3)).mean(1)

    methods['mean of teachers'] = _Method(mean, size(target.ensemble), fuses_teachers=True)
    methods['fused teachers'] = _Method(target.fusion, size(target), fuses_teachers=True)
    for label, name in (('student from scratch', 'scratch'), ('student MTKD', 'mtkd')):
        net = build(_options(name)['network_g'], 'network_g').eval()
        weights = out / 'experiments' / f'demo_{name}' / 'models' / 'net_g_latest.pth'
        load_weights(net, str(weights), name)
        methods[label] = _Method(padded(net), size(net))
    return methods, target


def _enlarge(
    methods: dict[str, _Method], lq: np.ndarray, scale: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Upscale an image with every method.

    Args:
        methods: Methods by name.
        lq: (h, w, 3), BGR, uint8.
        scale: Factor.

    Returns:
        By name: images, (scale · h, scale · w, 3), BGR, uint8; and their seconds.
    """
    image = to_tensor(lq)
    images = {}
    seconds = {}
    teacher_outputs: list[torch.Tensor] = []
    teacher_seconds = 0.0
    for name, method in methods.items():
        start = time.perf_counter()
        if method.function is None:
            images[name] = resize_image(lq, scale)
        else:
            inputs = torch.cat(teacher_outputs, 1) if method.fuses_teachers else image
            with torch.no_grad():
                result = method.function(inputs).clamp(0, 1)
            images[name] = to_array(result)
        seconds[name] = time.perf_counter() - start
        if method.is_teacher:
            teacher_outputs.append(result)
            teacher_seconds += seconds[name]
        if method.fuses_teachers:
            seconds[name] += teacher_seconds
    return images, seconds


def _measure(
    methods: dict[str, _Method], folder: Path, scale: int
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Measure every method on the validation photographs.

    Returns:
        Mean PSNR (dB), SSIM and seconds by method; images by photograph and method, with the ground
        truth among the methods.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in methods}
    pictures = {}
    border = {'crop_border': scale, 'test_y_channel': True}
    for photograph in VALIDATION:
        gt = decode((folder / 'GT' / f'{photograph}.png').read_bytes())
        lq = decode((folder / f'LRbicx{scale}' / f'{photograph}.png').read_bytes())
        # Both were written before the trainings.
        assert gt is not None
        assert lq is not None
        images, seconds = _enlarge(methods, lq, scale)
        for name, image in images.items():
            quality = calculate_psnr(image, gt, **border), calculate_ssim(image, gt, **border)
            rows[name].append((*quality, seconds[name]))
        pictures[photograph] = {'ground truth': gt, **images}
    return {name: np.mean(values, 0) for name, values in rows.items()}, pictures


def _table(
    methods: dict[str, _Method], measured: dict[str, np.ndarray], scale: int, quick: bool
) -> str:
    scratch = measured['student from scratch'][0]
    trained = f'Everything else was trained on {", ".join(TRAIN)}'
    if quick:
        trained += ', for few iterations (`--quick`)'
    lines = [
        f'# mtkd demo, ×{scale}',
        '',
        f'PSNR and SSIM on the Y channel, {scale} pixels cropped from each border, mean over '
        f'{", ".join(VALIDATION)}. The teachers come with the package and were trained on other '
        f'photographs (BSDS500). {trained}.',
        '',
        '| | PSNR (dB) | SSIM | against scratch (dB) | parameters | seconds per image |',
        '|---|---|---|---|---|---|',
    ]
    for name, method in methods.items():
        psnr, ssim, per_image = measured[name]
        gain = '–' if name == 'student from scratch' else f'{psnr - scratch:+.2f}'
        cells = [
            name,
            f'{psnr:.2f}',
            f'{ssim:.4f}',
            gain,
            f'{method.parameters:,d}',
            f'{per_image:.3f}',
        ]
        lines.append(f'| {" | ".join(cells)} |')
    threads = torch.get_num_threads()
    unit = 'CPU thread' if threads == 1 else 'CPU threads'
    lines += ['', f'Seconds on this machine, one image at a time, {threads} {unit}.', '']
    return '\n'.join(lines)


def _time_saved(out: Path, target: FusedTeachers) -> str:
    """Describe what the caches cost, and what the teachers would have cost at every iteration."""
    cached = 0.0
    uncached = 0.0
    for name, network in (('fusion', target.ensemble), ('mtkd', target)):
        opt = _options(name)
        train = opt['datasets']['train']
        size = train['gt_size'] // opt['scale']
        batch = torch.rand(train['batch_size_per_gpu'], 3, size, size)
        start = time.perf_counter()
        network(batch)
        uncached += (time.perf_counter() - start) * opt['train']['total_iter']
        seconds = seconds_of(out, f'cache_{name}')
        assert seconds is not None  # the trainings waited for it
        cached += seconds
    return (
        f'`mtkd cache` computed the targets once, in {cached:.0f} s of all processes. At every '
        f'iteration of the trainings, the teachers would have taken {uncached:.0f} s in total.\n'
    )


def report(out: Path, scale: int, quick: bool) -> tuple[Path, Path]:
    """Measure every method on the validation photographs; write the table and the figure.

    Args:
        out: Output folder of the demo.
        scale: Factor.
        quick: Whether the trainings were shortened.

    Returns:
        ``results.md`` and ``results.png``.
    """
    methods, target = _methods(out, scale)
    measured, images = _measure(methods, out / 'datasets' / 'val', scale)
    table = out / 'results.md'
    picture = out / 'results.png'
    text = _table(methods, measured, scale, quick)
    if not quick:
        text += '\n' + _time_saved(out, target)
    table.write_text(text, encoding='utf-8')
    # The square where the fused target differs most from bicubic: this choice favours neither
    # student.
    draw_crops(images, picture, ('fused teachers', 'bicubic'))
    return table, picture
