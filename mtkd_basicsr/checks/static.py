"""Quick checks: keys, names of methods and losses, and files that have to exist."""

import os
from collections.abc import Callable
from typing import Any

import torch

from ..config import (
    FolderOptions,
    TeacherOptions,
    check_near_misses,
    parse_fusion,
    parse_keep_last,
    parse_max_skipped,
    parse_mix_batches,
    parse_speed,
    parse_teacher,
    parse_teachers,
    parse_val,
    require,
)
from ..data.cache.format import state_of
from ..distillers import METHODS, Method, check_method
from ..errors import DataError, MTKDError, WeightsError, did_you_mean
from ..host.api import DATASET_REGISTRY
from ..host.option_schema import structure_errors
from ..losses.build import build as build_loss
from ..teachers import require_val_images
from ..utils.image_folder import ImageFolder
from ..utils.precision import Precision, student_precision, teacher_precision
from ..utils.resources import weights_file
from .findings import Findings
from .optimizer import check_factor, check_values

# Without these, and what BasicSR takes for granted, nothing else can be looked at.
_REQUIRED = (
    ('network_g', 'type'),
    ('datasets', 'train', 'gt_size'),
    ('datasets', 'train', 'batch_size_per_gpu'),
    ('train', 'optim_g', 'type'),
    ('train', 'scheduler', 'type'),
    ('train', 'total_iter'),
    ('logger', 'print_freq'),
    ('logger', 'save_checkpoint_freq'),
)
STAGES = ('MTKDFusionModel', 'MTKDModel', 'KDModel')


def method_of(opt: dict[str, Any]) -> type[Method] | None:
    """Return the class of ``train.kd.type``; None for stage 1, or if it is wrong."""
    default = 'MTKD' if opt.get('model_type') == 'MTKDModel' else None
    kd = (opt.get('train') or {}).get('kd') or {}
    name = kd.get('type', default) if isinstance(kd, dict) else None
    if isinstance(name, str) and opt.get('model_type') != 'MTKDFusionModel':
        return METHODS.get(name)
    return None


def needs(opt: dict[str, Any]) -> tuple[str, ...]:
    """Return which of ``teachers`` and ``fusion`` the training uses."""
    if opt.get('model_type') == 'MTKDFusionModel':
        return ('teachers',)
    method = method_of(opt)
    if method is None or method.alone:
        return ()
    return ('teachers', 'fusion') if method.fused else ('teachers',)


def paired(opt: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the blocks of datasets of pairs, by phase; those of other types belong to BasicSR."""
    return {
        phase: block
        for phase, block in (opt.get('datasets') or {}).items()
        if isinstance(block, dict)
        and block.get('type') in ('PairedImageDataset', 'DistillImageDataset')
    }


def _there(
    findings: Findings,
    key: str,
    path: Any,
    folder: bool = False,
    kind: type[MTKDError] = WeightsError,
) -> None:
    path = os.path.expanduser(str(path))
    if not (os.path.isdir(path) if folder and not path.endswith('.lmdb') else os.path.exists(path)):
        findings.error(f"{key}: no {'folder' if folder else 'file'} '{path}'", kind)


def check_folders(opt: dict[str, Any], findings: Findings) -> None:
    """Look for the folders, LMDBs and lists of names that datasets of pairs are made of."""
    for phase, block in paired(opt).items():
        for name in ('dataroot_gt', 'dataroot_lq'):
            if block.get(name) is None:
                findings.error(f'datasets.{phase}.{name}: missing; it is needed here')
            else:
                _there(
                    findings, f'datasets.{phase}.{name}', block[name], folder=True, kind=DataError
                )
        if block.get('meta_info_file') is not None:
            _there(
                findings,
                f'datasets.{phase}.meta_info_file',
                block['meta_info_file'],
                kind=DataError,
            )


def check_datasets(opt: dict[str, Any], findings: Findings) -> None:
    """Check the types of datasets, that their folders exist, and that patches fit the scale."""
    blocks = opt.get('datasets') or {}
    for phase, block in blocks.items():
        if block['type'] not in DATASET_REGISTRY:
            findings.error(
                f"datasets.{phase}.type: unknown dataset '{block['type']}'; "
                f'{did_you_mean(block["type"], sorted(DATASET_REGISTRY.keys()))}'
            )
    check_folders(opt, findings)
    scale = opt.get('scale')
    size = blocks.get('train', {}).get('gt_size')
    if isinstance(size, int) and isinstance(scale, int) and size % scale:
        findings.error(f'datasets.train.gt_size: {size}; expected a multiple of the scale, {scale}')


def _check_folder(
    findings: Findings,
    key: str,
    block: FolderOptions,
    cache: str | None,
    opt: dict[str, Any],
) -> None:
    """Check the folders of a teacher, and that a cache stands in for what they do not have."""
    if cache is None:
        findings.error(
            f'{key}.images: images in a folder are used through a cache; set '
            'datasets.train.target_cache, and make it with '
            'mtkd cache -opt FILE'
        )
    for name in ('images', 'val_images'):
        path = getattr(block, name)
        if (
            path is not None
            and not ImageFolder(path, key).exists()
            and (cache is None or state_of(cache) == 'none')
        ):
            findings.error(f"{key}.{name}: no folder '{ImageFolder(path, key).root}'")
    if opt['model_type'] == 'MTKDFusionModel':
        with findings.catching():
            require_val_images(block, key, opt)


def _check_weights(opt: dict[str, Any], findings: Findings) -> None:
    blocks: dict[str, TeacherOptions | FolderOptions] = {}
    teachers = opt.get('teachers') if 'teachers' in needs(opt) else {}
    if not isinstance(teachers, dict) or (not teachers and 'teachers' in needs(opt)):
        with findings.catching():
            parse_teachers(opt)
        teachers = {}
    # one by one, so that one that is wrong does not hide the next
    for name, block in teachers.items():
        with findings.catching():
            blocks[f'teachers.{name}'] = parse_teacher(block, f'teachers.{name}')
    with findings.catching():
        if 'fusion' in needs(opt):
            blocks['fusion'] = parse_fusion(opt) or require(opt, 'fusion')
    # With a cache the teachers need not be on this machine.
    cache = paired(opt).get('train', {}).get('target_cache')
    for key, block in blocks.items():
        if isinstance(block, FolderOptions):
            _check_folder(findings, key, block, cache, opt)
        elif cache is None or state_of(cache) == 'none':
            _there(findings, f'{key}.weights', block.weights)
    path = (opt.get('path') or {}).get('pretrain_network_g')
    if path is not None:
        with findings.catching():
            _there(
                findings, 'path.pretrain_network_g', weights_file(path, 'path.pretrain_network_g')
            )


def _check_training(opt: dict[str, Any], findings: Findings) -> None:
    train = opt.get('train') or {}
    for parsing in (check_near_misses, parse_val, parse_max_skipped, parse_keep_last):
        with findings.catching():
            parsing(opt)
    with findings.catching():
        if opt['model_type'] == 'MTKDFusionModel':
            parse_mix_batches(opt)
        else:
            default = {'type': 'MTKD'} if opt['model_type'] == 'MTKDModel' else None
            check_method(train.get('kd', default))
    with findings.catching():
        _check_precision(opt, findings)
    for parse in (parse_max_skipped, parse_keep_last):
        with findings.catching():
            parse(opt)
    for name in ('pixel_opt', 'distill_opt'):
        with findings.catching():
            method = method_of(opt)
            if name == 'pixel_opt' or (
                method is not None and method.needs_target and not method.adds
            ):
                require(opt, 'train', name)
            if train.get(name):
                build_loss(train[name], f'train.{name}')


def _teachers_run(opt: dict[str, Any]) -> bool:
    """Return whether teachers run in the training: not if a cache has all that is used."""
    if 'teachers' not in needs(opt):
        return False
    cache = paired(opt).get('train', {}).get('target_cache')
    if cache is None or state_of(cache) == 'none' or opt['model_type'] == 'MTKDFusionModel':
        return True  # those of stage 1 run in its validations
    method = method_of(opt)
    assert method is not None  # or needs() would have been empty
    return method.adds or bool(opt['train'].get('kd') and opt['train']['kd'].get('also'))


def _check_precision(opt: dict[str, Any], findings: Findings) -> None:
    device = torch.device(
        'cuda' if opt.get('num_gpu') != 0 and torch.cuda.is_available() else 'cpu'
    )
    speed = parse_speed(opt)
    used: list[tuple[str, Callable[[str | None, torch.device], Precision], str | None]] = []
    if opt['model_type'] != 'MTKDFusionModel':
        used.append(('train.amp', student_precision, speed.amp))
    if _teachers_run(opt):
        used.append(('train.teacher_precision', teacher_precision, speed.teacher_precision))
    for key, choose, asked in used:
        with findings.catching():
            precision = choose(asked, device)
            if precision.warning:
                findings.warning(precision.warning)
            elif asked is not None:
                findings.fine(f'{key}: {precision.reason}')


def _check_protocol(opt: dict[str, Any], findings: Findings) -> None:
    metrics = (opt.get('val') or {}).get('metrics')
    for name, metric in (metrics if isinstance(metrics, dict) else {}).items():
        if not isinstance(metric, dict):
            continue  # check_values has said so
        if metric.get('crop_border') != opt.get('scale'):
            findings.warning(
                f'val.metrics.{name}.crop_border: {metric.get("crop_border")}; papers cut as many '
                'pixels as the scale, '
                f'{opt.get("scale")}: figures do not compare with theirs'
            )
        if metric.get('test_y_channel') is not True:
            findings.warning(
                f'val.metrics.{name}.test_y_channel: {metric.get("test_y_channel")}; papers '
                'measure on the Y channel '
                '(true): PSNR on RGB is about 2 dB lower'
            )


def check_fast(opt: dict[str, Any], findings: Findings) -> bool:
    """Check the keys of an option file, and look for every file that it names.

    Nothing is built or read. Where bf16 is asked for and not native, one layer is timed.

    Args:
        opt: All options.
        findings: Grows.

    Returns:
        Whether there is all that a look at networks and images takes.
    """
    if opt.get('model_type') not in STAGES:
        findings.error(
            f"model_type: '{opt.get('model_type')}'; {did_you_mean(opt.get('model_type'), STAGES)}"
        )
    check_factor(opt, findings)
    for text in structure_errors(opt):
        findings.error(text)
    for path in _REQUIRED:
        with findings.catching():
            require(opt, *path)
    if findings.failed:
        return False
    if opt.get('num_gpu') not in (0, 'auto') and not torch.cuda.is_available():
        findings.error(
            f'num_gpu: {opt.get("num_gpu")}, but torch finds no CUDA device; use 0, or auto'
        )
    usable = check_values(opt, findings)
    _check_training(opt, findings)
    check_datasets(opt, findings)
    _check_weights(opt, findings)
    _check_protocol(opt, findings)
    return usable


def refuse(opt: dict[str, Any]) -> None:
    """Raise what :func:`check_fast` finds, all at once; do nothing for models of others.

    Raises:
        MTKDError: every error.
    """
    findings = Findings()
    if opt.get('model_type') in STAGES:
        check_fast(opt, findings)
    findings.raise_errors()
