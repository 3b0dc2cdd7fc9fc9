"""Checks that weights load, and that what comes out of the teachers is worth learning."""

import functools
from typing import Any

import torch

from ..config import parse_fusion, parse_teacher, parse_teachers, require
from ..data.cache.validation import matching_cache
from ..errors import MTKDError
from ..evaluation.measure import bicubic
from ..teachers import FusedTeachers, TeacherEnsemble, check_channels, match_teachers
from ..utils.choices import CacheContents
from ..weights.metadata import METADATA
from ..weights.networks import build, fit_weights, pretrained_key, read_weights
from .findings import Findings
from .sample_crops import Part, mean_psnr, parts_of, run
from .static import method_of, needs

_BEHIND = 1.0  # dB behind the best teacher that are worth a warning


def _which(parts: list[Part]) -> str:
    return f'{len(parts)} {"validation" if parts[0].validation else "training"}'


def _check_teachers(
    opt: dict[str, Any], parts: list[Part], device: torch.device, findings: Findings
) -> dict[str, float]:
    """Return the PSNR of every teacher that can be built, by name; empty without images."""
    measured: dict[str, float] = {}
    for name, block in opt['teachers'].items():
        with findings.catching():
            teacher = TeacherEnsemble(
                {name: parse_teacher(block, f'teachers.{name}')}, opt['scale'], device, folders=True
            )
            if parts:
                measured[name] = mean_psnr(
                    functools.partial(run, teacher, teacher), parts, opt['scale']
                )
    if not parts:
        return measured
    floor = mean_psnr(lambda part: bicubic(part.lq, opt['scale']), parts, opt['scale'])
    best = max(measured.values(), default=0)
    for name, value in measured.items():
        text = f'teachers.{name}: {value:.2f} dB on {_which(parts)} images, bicubic {floor:.2f} dB'
        if value < floor:
            findings.error(
                f'{text}: below bicubic; wrong weights, or img_range, rgb_mean or upsampler of '
                'another network'
            )
        elif value < best - _BEHIND:
            findings.warning(
                f'{text}, best teacher {best:.2f} dB: far behind, it drags a mean or a fusion down'
            )
        else:
            findings.fine(text)
    return measured


def _check_fusion(
    opt: dict[str, Any],
    parts: list[Part],
    device: torch.device,
    measured: dict[str, float],
    findings: Findings,
) -> None:
    teachers = parse_teachers(opt)
    fusion = parse_fusion(opt) or require(opt, 'fusion')
    content = read_weights(fusion.weights, 'fusion.weights')
    match_teachers(list(teachers), content.get(METADATA), fusion.weights)
    check_channels(build(fusion.network, 'fusion.network'), list(teachers), 'fusion.network')
    if len(measured) < len(teachers):
        return
    target = FusedTeachers(
        TeacherEnsemble(teachers, opt['scale'], device, folders=True), fusion, device
    )
    if not target.order_known:
        findings.warning(
            f"fusion.weights: '{fusion.weights}' does not name its teachers; they are taken in the "
            'order of the option file: '
            f'{", ".join(teachers)}'
        )
    value = mean_psnr(lambda part: run(target, target.ensemble, part), parts, opt['scale'])
    best = max(measured.values())
    text = f'fusion: {value:.2f} dB on {_which(parts)} images, best teacher {best:.2f} dB'
    if value < best:
        findings.warning(
            f'{text}: worse than no fusion; train it longer, or use skip: adaptive with mix_batches'
        )
    else:
        findings.fine(text)


def load_pretrained(opt: dict[str, Any], net: torch.nn.Module) -> None:
    """Load into a network the weights that ``path`` names, as BasicSR would.

    A file that need not fit is read, and nothing of it is loaded.

    Args:
        opt: All options.
        net: ``network_g``.

    Raises:
        WeightsError: the file cannot be read, or does not fit.
    """
    options = opt['path']
    key = 'path.pretrain_network_g'
    path = options.get('pretrain_network_g')
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


def check_networks(opt: dict[str, Any], device: torch.device, findings: Findings) -> str:
    """Build and load all networks, and measure teachers and fusion on a few validation images.

    Args:
        opt: All options.
        device: Where teachers run.
        findings: Grows.

    Returns:
        What a target cache would hold: ``'target'``, ``'teachers'``, or nothing where no
            teacher is used.
    """
    with findings.catching():
        net = build(opt['network_g'], 'network_g')
        load_pretrained(opt, net)
        if opt['model_type'] == 'MTKDFusionModel':
            check_channels(net, list(parse_teachers(opt)), 'network_g')
        findings.fine(
            f'network_g: {opt["network_g"]["type"]}, {sum(p.numel() for p in net.parameters()):,d} '
            'parameters'
        )
    used = needs(opt)
    if not used or not isinstance(opt.get('teachers'), dict):
        return ''
    parts: list[Part] = []
    try:
        parts = list(parts_of(opt))
    except (MTKDError, ValueError, OSError) as error:
        findings.warning(
            f'datasets.val: no images to measure the teachers on ({type(error).__name__}: {error})'
        )
    measured: dict[str, float] = {}
    with findings.catching(), torch.no_grad():
        measured = _check_teachers(opt, parts, device, findings)
    if 'fusion' in used:
        with findings.catching(), torch.no_grad():
            _check_fusion(opt, parts, device, measured, findings)
    what: CacheContents = 'target' if 'fusion' in used else 'teachers'
    with findings.catching():
        method = method_of(opt)
        one = method is not None and not method.fused
        name = (opt['train'].get('kd') or {}).get('teacher') if one else None
        if not name:
            name = next(iter(opt['teachers']))
        train = opt['datasets']['train']
        path = train.get('target_cache')
        teachers = parse_teachers(opt)
        cached = matching_cache(
            path,
            what,
            scale=opt['scale'],
            teachers={key: t for key, t in teachers.items() if not one or key == name},
            fusion=parse_fusion(opt) if what == 'target' else None,
            dataset=train['type'],
        )
        if cached is not None:
            findings.fine(
                f"datasets.train.target_cache: '{path}' belongs to this option file, "
                f'{len(cached.images)} images'
            )
        else:
            findings.warning(
                f'datasets.train.target_cache: {path!r}: there is no cache, the teachers run at '
                'every step; '
                'mtkd cache -opt FILE makes one'
            )
    return what
