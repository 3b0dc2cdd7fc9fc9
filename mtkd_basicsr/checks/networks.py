"""Checks that weights load, and that the outputs of the teachers are good enough to learn from."""

import functools

import numpy as np
import torch

from ..config import TeacherOptions, TrainingConfig
from ..data.cache.reader import CacheReader
from ..data.cache.validation import CACHE_DATASET, matching_cache
from ..data.distill_dataset import matching_indices
from ..errors import MTKDError
from ..evaluation.measure import bicubic
from ..teachers import (
    FusedTeachers,
    TeacherEnsemble,
    build_fusion,
    check_channels,
    match_teachers,
)
from ..weights.metadata import METADATA
from ..weights.networks import build
from ..weights.reading import read_weights
from .findings import Findings
from .paired import build_paired, has_folders
from .pretrained import load_pretrained
from .sample_crops import Crop, center_crops, psnr_of, upscale

# A teacher that is this far behind the best one, in dB, gets a warning.
_MAX_PSNR_GAP = 1.0


def _count(crops: list[Crop]) -> str:
    """Return which images were measured: ``the centers of 3 of 100 validation``.

    The PSNR of a part of a set is not that of the set, for which somebody may take it.
    """
    kind = 'validation' if crops[0].validation else 'training'
    some = f'{len(crops)} of ' if len(crops) < crops[0].total else ''
    return f'the centers of {some}{crops[0].total} {kind}'


def _measurable(config: TrainingConfig) -> tuple[list[Crop], np.ndarray]:
    """Return the crops that show something, and the PSNR of bicubic on each, in dB.

    One that bicubic reproduces shows nothing, and makes every mean infinite.
    """
    crops = list(center_crops(config))
    values = psnr_of(lambda crop: bicubic(crop.lq, config.scale), crops, config.scale)
    shows = np.isfinite(values)
    return [crop for crop, kept in zip(crops, shows, strict=True) if kept], values[shows]


def _check_teachers(
    config: TrainingConfig,
    crops: list[Crop],
    of_bicubic: np.ndarray,
    device: torch.device,
    findings: Findings,
) -> dict[str, float]:
    """Measure the teachers, and compare them with the PSNR of bicubic on the same crops.

    Returns:
        Mean PSNR of those that can be built, by name, in dB.
    """
    measured: dict[str, np.ndarray] = {}
    scale = config.scale
    for name, options in config.teachers.items():
        with findings.collect_errors():
            teacher = TeacherEnsemble({name: options}, scale, device, allow_precomputed=True)
            for warning in teacher.warnings:
                findings.warning(warning)
            if crops:
                function = functools.partial(upscale, teacher, teacher)
                measured[name] = psnr_of(function, crops, scale)
    means = {name: float(values.mean()) for name, values in measured.items()}
    if not crops:
        return means
    floor = of_bicubic.mean()
    best = max(means.values(), default=0)
    for name, value in means.items():
        text = f'teachers.{name}: {value:.2f} dB on {_count(crops)} images, bicubic {floor:.2f} dB'
        below = measured[name] < of_bicubic
        if below.all():
            findings.error(
                f'{text}: below bicubic; the weights are wrong, or img_range, rgb_mean or '
                'upsampler belong to another network'
            )
        elif value < floor:  # bicubic leaves next to nothing to gain of a nearly uniform image
            findings.warning(f'{text}: below bicubic, on {below.sum()} of these images')
        elif value < best - _MAX_PSNR_GAP:
            findings.warning(
                f'{text}, best teacher {best:.2f} dB: far behind; it degrades a mean or a fusion'
            )
        else:
            findings.ok(text)
    return means


def _check_fusion(
    config: TrainingConfig,
    fusion: TeacherOptions,
    crops: list[Crop],
    device: torch.device,
    measured: dict[str, float],
    findings: Findings,
) -> None:
    teachers = config.teachers
    content = read_weights(fusion.weights, 'fusion.weights')
    match_teachers(list(teachers), content.get(METADATA), fusion.weights)
    check_channels(build_fusion(fusion), list(teachers), 'fusion.network')
    if len(measured) < len(teachers):
        return
    ensemble = TeacherEnsemble(teachers, config.scale, device, allow_precomputed=True)
    target = FusedTeachers(ensemble, fusion, device)
    for warning in target.own_warnings:
        findings.warning(warning)
    if not target.order_known:
        findings.warning(
            f"fusion.weights: '{fusion.weights}' does not name its teachers; they are used in the "
            f'order of the option file: {", ".join(teachers)}'
        )
    psnr = psnr_of(lambda crop: upscale(target, target.ensemble, crop), crops, config.scale)
    value = psnr.mean()
    best = max(measured.values())
    text = f'fusion: {value:.2f} dB on {_count(crops)} images, best teacher {best:.2f} dB'
    if value < best:
        findings.warning(
            f'{text}: worse than no fusion; train it longer, or use skip: adaptive with mix_batches'
        )
    else:
        findings.ok(text)


def check_networks(
    config: TrainingConfig, device: torch.device, findings: Findings, with_images: bool = True
) -> None:
    """Build and load all networks, and measure teachers and fusion network on a few images.

    Args:
        config: The option file.
        device: Device of the teachers.
        findings: Results are added to it.
        with_images: Whether to measure anything; not on images that are wrong.
    """
    with findings.collect_errors():
        net = build(config.network, 'network_g')
        warning = load_pretrained(config, net)
        if warning is not None:
            findings.warning(warning)
        if config.is_fusion_stage:
            check_channels(net, list(config.teachers), 'network_g')
        count = sum(p.numel() for p in net.parameters())
        findings.ok(f'network_g: {config.network["type"]}, {count:,d} parameters')
    if not config.teachers:
        return
    crops: list[Crop] = []
    of_bicubic = np.array([])
    try:
        if with_images:
            crops, of_bicubic = _measurable(config)
    except (MTKDError, ValueError, OSError) as error:
        # What folders are missing is said before.
        if all(has_folders(dataset) for dataset in config.paired_datasets):
            findings.warning(
                f'datasets.val: no images to measure the teachers on ({type(error).__name__}: '
                f'{error})'
            )
    measured: dict[str, float] = {}
    with findings.collect_errors(), torch.no_grad():
        measured = _check_teachers(config, crops, of_bicubic, device, findings)
    if config.fusion is not None:
        with findings.collect_errors(), torch.no_grad():
            _check_fusion(config, config.fusion, crops, device, measured, findings)
    with findings.collect_errors():
        _check_cache(config, findings)


def _check_cache(config: TrainingConfig, findings: Findings) -> None:
    """Compare the target cache with the option file, or recommend one."""
    only: str | None = None
    if config.distillation is not None and not config.uses_fusion:
        only = config.distillation.main.options.teacher or next(iter(config.teachers))
    cached = matching_cache(config, only)
    path = config.target_cache
    if cached is not None:
        assert path is not None  # it has a cache
        train = config.train_dataset
        if has_folders(train):
            dataset = build_paired(train, config.scale)
            root = train.options['dataroot_gt']
            warning = matching_indices(CacheReader(path), dataset, root, config.scale)[1]
            if warning is not None:
                findings.warning(warning)
        findings.ok(
            f"datasets.train.target_cache: '{path}' matches this option file, "
            f'{len(cached.images)} images'
        )
    else:
        how = '' if path is not None else f'with such a path, and type: {CACHE_DATASET}, '
        findings.warning(
            f'datasets.train.target_cache: {path!r}; without a cache the teachers run at every '
            f'step; {how}mtkd cache -opt FILE creates one'
        )
