"""Checks that weights load, and that what comes out of the teachers is worth learning."""

import functools

import torch

from ..config import TeacherOptions, TrainingConfig
from ..data.cache.validation import matching_cache
from ..errors import MTKDError
from ..evaluation.measure import bicubic
from ..teachers import FusedTeachers, TeacherEnsemble, check_channels, match_teachers
from ..weights.loading import fit_weights, pretrained_key, read_weights
from ..weights.metadata import METADATA
from ..weights.networks import build
from .findings import Findings
from .sample_crops import Part, center_crops, mean_psnr, run

_FAR_BEHIND = 1.0  # dB behind the best teacher that are worth a warning


def _which(parts: list[Part]) -> str:
    return f'{len(parts)} {"validation" if parts[0].validation else "training"}'


def _check_teachers(
    config: TrainingConfig, parts: list[Part], device: torch.device, findings: Findings
) -> dict[str, float]:
    """Return the PSNR of every teacher that can be built, by name; empty without images."""
    measured: dict[str, float] = {}
    scale = config.scale
    for name, options in config.teachers.items():
        with findings.collect_errors():
            teacher = TeacherEnsemble({name: options}, scale, device, allow_precomputed=True)
            if parts:
                function = functools.partial(run, teacher, teacher)
                measured[name] = mean_psnr(function, parts, scale)
    if not parts:
        return measured
    floor = mean_psnr(lambda part: bicubic(part.lq, scale), parts, scale)
    best = max(measured.values(), default=0)
    for name, value in measured.items():
        text = f'teachers.{name}: {value:.2f} dB on {_which(parts)} images, bicubic {floor:.2f} dB'
        if value < floor:
            findings.error(
                f'{text}: below bicubic; wrong weights, or img_range, rgb_mean or upsampler of '
                'another network'
            )
        elif value < best - _FAR_BEHIND:
            findings.warning(
                f'{text}, best teacher {best:.2f} dB: far behind, it drags a mean or a fusion down'
            )
        else:
            findings.ok(text)
    return measured


def _check_fusion(
    config: TrainingConfig,
    fusion: TeacherOptions,
    parts: list[Part],
    device: torch.device,
    measured: dict[str, float],
    findings: Findings,
) -> None:
    teachers = config.teachers
    content = read_weights(fusion.weights, 'fusion.weights')
    match_teachers(list(teachers), content.get(METADATA), fusion.weights)
    check_channels(build(fusion.network, 'fusion.network'), list(teachers), 'fusion.network')
    if len(measured) < len(teachers):
        return
    ensemble = TeacherEnsemble(teachers, config.scale, device, allow_precomputed=True)
    target = FusedTeachers(ensemble, fusion, device)
    if not target.order_known:
        findings.warning(
            f"fusion.weights: '{fusion.weights}' does not name its teachers; they are taken in the "
            f'order of the option file: {", ".join(teachers)}'
        )
    value = mean_psnr(lambda part: run(target, target.ensemble, part), parts, config.scale)
    best = max(measured.values())
    text = f'fusion: {value:.2f} dB on {_which(parts)} images, best teacher {best:.2f} dB'
    if value < best:
        findings.warning(
            f'{text}: worse than no fusion; train it longer, or use skip: adaptive with mix_batches'
        )
    else:
        findings.ok(text)


def load_pretrained(config: TrainingConfig, net: torch.nn.Module) -> None:
    """Load into a network the weights that ``path`` names, as BasicSR would.

    A file that need not fit is read, and nothing of it is loaded.

    Args:
        config: The option file.
        net: ``network_g``.

    Raises:
        WeightsError: the file cannot be read, or does not fit.
    """
    options = config.options['path']
    key = 'path.pretrain_network_g'
    path = config.pretrained_network
    if path is not None:
        content = read_weights(path, key)
        if options.get('strict_load_g', True):
            fit_weights(
                net,
                content,
                path,
                key,
                param_key=pretrained_key(content, options.get('param_key_g', 'params')),
            )


def check_networks(config: TrainingConfig, device: torch.device, findings: Findings) -> None:
    """Build and load all networks, and measure teachers and fusion on a few validation images.

    Args:
        config: The option file.
        device: Where teachers run.
        findings: Grows.
    """
    with findings.collect_errors():
        net = build(config.network, 'network_g')
        load_pretrained(config, net)
        if config.is_fusion_stage:
            check_channels(net, list(config.teachers), 'network_g')
        count = sum(p.numel() for p in net.parameters())
        findings.ok(f'network_g: {config.network["type"]}, {count:,d} parameters')
    if not config.teachers:
        return
    parts: list[Part] = []
    try:
        parts = list(center_crops(config))
    except (MTKDError, ValueError, OSError) as error:
        findings.warning(
            f'datasets.val: no images to measure the teachers on ({type(error).__name__}: {error})'
        )
    measured: dict[str, float] = {}
    with findings.collect_errors(), torch.no_grad():
        measured = _check_teachers(config, parts, device, findings)
    if config.fusion is not None:
        with findings.collect_errors(), torch.no_grad():
            _check_fusion(config, config.fusion, parts, device, measured, findings)
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
        findings.ok(
            f"datasets.train.target_cache: '{path}' belongs to this option file, "
            f'{len(cached.images)} images'
        )
    else:
        findings.warning(
            f'datasets.train.target_cache: {path!r}: there is no cache, the teachers run at '
            'every step; mtkd cache -opt FILE makes one'
        )
