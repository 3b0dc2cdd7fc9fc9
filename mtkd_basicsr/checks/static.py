"""Quick checks: option keys, names of methods and losses, and required files."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..config import MODELS, DatasetConfig, TrainingConfig, model_of, parse_scale, require
from ..data.cache.format import state_of
from ..data.whole_images import folder_error
from ..distillers import training_config
from ..errors import DataError, MTKDError, WeightsError, did_you_mean
from ..host.api import DATASET_REGISTRY, registered_name
from ..host.option_schema import REQUIRED_FOR_TRAINING, structure_errors
from ..losses.build import build as build_loss
from ..losses.build import try_out
from ..utils.attempts import first_accepted
from ..utils.json_types import of_other_types
from ..utils.precision import Precision, student_precision, teacher_precision
from ..utils.resources import weights_file
from .dataset_options import check_dataset_options
from .device import device_of, try_on
from .findings import Findings
from .loggers import check_loggers
from .metrics import check_metric_use, parameters_of
from .optimizer import check_values
from .unread_keys import check_unread_keys

# Size of the batch that a loss is tried with first: images, and pixels of a side.
_FEW_IMAGES = 2
_SMALL_SIDE = 256


def _check_exists(
    findings: Findings,
    key: str,
    path: Any,
    kind: type[MTKDError] = WeightsError,
) -> None:
    path = os.path.expanduser(str(path))
    if not os.path.exists(path):
        findings.error(f"{key}: no file '{path}'", kind)


def check_folders(datasets: Iterable[DatasetConfig], findings: Findings) -> None:
    """Check that the folders, LMDBs and name lists of paired datasets exist."""
    for dataset in datasets:
        if not dataset.is_paired:
            continue
        for name in ('dataroot_gt', 'dataroot_lq'):
            key = f'{dataset.key}.{name}'
            error = folder_error(key, dataset.options.get(name))
            if error is not None:
                findings.error(str(error), type(error))
        names = dataset.options.get('meta_info_file')
        if names is not None:
            key = f'{dataset.key}.meta_info_file'
            if str(names).startswith('~') and not os.path.exists(names):
                findings.error(f"{key}: '{names}'; BasicSR does not replace ~ here: write the path")
                continue
            _check_exists(findings, key, names, kind=DataError)


def check_datasets(config: TrainingConfig, findings: Findings) -> None:
    """Check that dataset types are known, their folders exist, and patches fit the scale."""
    for dataset in config.datasets.values():
        if registered_name(DATASET_REGISTRY, dataset.type) is None:
            findings.error(
                f"{dataset.key}.type: unknown dataset '{dataset.type}'; "
                f'{did_you_mean(dataset.type, sorted(DATASET_REGISTRY.keys()))}'
            )
    check_folders(config.datasets.values(), findings)
    train = config.datasets.get('train')
    size = None if train is None else train.gt_size
    if size is not None and size % config.scale:
        findings.error(
            f'datasets.train.gt_size: {size}; expected a multiple of the scale, {config.scale}'
        )


def _cache_exists(config: TrainingConfig) -> bool:
    return config.target_cache is not None and state_of(config.target_cache) != 'none'


def _check_weights(config: TrainingConfig, findings: Findings) -> None:
    # A cache replaces teachers that are not on this machine.
    surroundings = config.teacher_surroundings(_cache_exists(config))
    entries = {f'teachers.{name}': teacher for name, teacher in config.teachers.items()}
    if config.fusion is not None:
        entries['fusion'] = config.fusion
    for key, entry in entries.items():
        for error in entry.problems(key, surroundings):
            findings.error(str(error), type(error))
    for method in config.distillation.all if config.distillation is not None else ():
        for error in method.problems():
            findings.error(str(error), type(error))
    if config.pretrained_network is not None:
        key = 'path.pretrain_network_g'
        with findings.collect_errors():
            _check_exists(findings, key, weights_file(config.pretrained_network, key))


def check_losses(config: TrainingConfig, findings: Findings) -> None:
    """Check that the losses can be built, and give a number for a pair of patches."""
    for name, loss in (('pixel_opt', config.pixel_loss), ('distill_opt', config.distill_loss)):
        if loss:
            with findings.collect_errors():
                _try_loss(config, loss, f'train.{name}')
    perceptual = config.options['train'].get('perceptual_opt')
    if perceptual and config.is_fusion_stage:
        with findings.collect_errors():
            build_loss(perceptual, 'train.perceptual_opt')


def _try_loss(config: TrainingConfig, loss: dict[str, Any], key: str) -> None:
    """Build a loss, and compute it once.

    Raises:
        OptionError: One of both fails.
    """
    built = build_loss(loss, key)
    train = config.train_dataset
    size = train.gt_size
    if size is None or size < 1 or not train.is_paired:
        return  # which is reported elsewhere; images of a class of the user's may be anything
    channels = train.channels
    batch_size = train.options.get('batch_size_per_gpu')
    count = batch_size if isinstance(batch_size, int) and batch_size > 0 else 1
    # Some losses need the batch of the training.
    shapes = sorted(
        {
            (min(count, _FEW_IMAGES), channels, *[min(size, _SMALL_SIDE)] * 2),
            (count, channels, size, size),
        }
    )

    def check(device: torch.device) -> None:
        first_accepted(lambda shape: try_out(built, loss, key, shape, device), shapes)

    try_on(config, check)


def _check_recorded(config: TrainingConfig, findings: Findings) -> None:
    """Warn about arguments of the student that its checkpoints cannot record."""
    if config.is_fusion_stage:
        return
    for key in of_other_types(config.network, 'network_g'):
        findings.warning(
            f'{key}: a class or function, with which checkpoints cannot record the network: mtkd '
            'upscale and mtkd export will not open them; register a network that has it as default'
        )


def _teachers_run(config: TrainingConfig) -> bool:
    """Return whether teachers run in the training: not if everything used is in a cache."""
    if not config.uses_teachers:
        return False
    if config.is_fusion_stage or not _cache_exists(config):
        return True  # in stage 1 the validations run them
    distillation = config.distillation
    return distillation is not None and any(
        method.spec.has_own_losses for method in distillation.all
    )


def _check_precision(config: TrainingConfig, findings: Findings) -> None:
    device = device_of(config)
    used: list[tuple[str, Callable[[str | None, torch.device], Precision], str | None]] = []
    if not config.is_fusion_stage:
        used.append(('train.amp', student_precision, config.speed.amp))
    if _teachers_run(config):
        asked = config.speed.teacher_precision
        used.append(('train.teacher_precision', teacher_precision, asked))
    for key, choose, asked in used:
        with findings.collect_errors():
            precision = choose(asked, device)
            if precision.warning:
                findings.warning(precision.warning)
            elif asked is not None:
                findings.ok(f'{key}: {precision.reason}')


def _check_protocol(config: TrainingConfig, findings: Findings) -> None:
    """Warn about metrics that are not comparable with those of papers."""
    metrics = (config.options.get('val') or {}).get('metrics')
    for name, metric in (metrics if isinstance(metrics, dict) else {}).items():
        if not isinstance(metric, dict):
            continue  # check_values reports it
        read = parameters_of(metric.get('type'))
        if 'crop_border' in read and metric.get('crop_border') != config.scale:
            findings.warning(
                f'val.metrics.{name}.crop_border: {metric.get("crop_border")}; papers crop as many '
                f'pixels as the scale, {config.scale}: results are not comparable with theirs'
            )
        if 'test_y_channel' in read and metric.get('test_y_channel') is not True:
            findings.warning(
                f'val.metrics.{name}.test_y_channel: {metric.get("test_y_channel")}; papers '
                'measure on the Y channel (true): PSNR on RGB is about 2 dB lower'
            )


def check_fast(opt: dict[str, Any], findings: Findings) -> TrainingConfig | None:
    """Parse an option file for training, and check that all its files exist.

    No network is built and no image read. If bf16 is requested but not native, one layer is timed.

    Args:
        opt: All options.
        findings: Results are added to it.

    Returns:
        The parsed options; None if they are too incomplete to check networks and images.
    """
    if model_of(opt.get('model_type')) is None:
        findings.error(
            f"model_type: '{opt.get('model_type')}'; {did_you_mean(opt.get('model_type'), MODELS)}"
        )
    with findings.collect_errors():
        parse_scale(opt)
    for text in structure_errors(opt):
        findings.error(text)
    for path in REQUIRED_FOR_TRAINING:
        with findings.collect_errors():
            require(opt, *path)
    if findings.failed:
        return None
    if opt.get('num_gpu') not in (0, 'auto') and not torch.cuda.is_available():
        findings.error(
            f'num_gpu: {opt.get("num_gpu")}, but torch finds no CUDA device; use 0, or auto'
        )
    config = training_config(opt, errors=findings)
    usable = check_values(config, findings)
    check_unread_keys(config, findings)
    check_loggers(opt, findings)
    check_metric_use(config, findings)
    with findings.collect_errors():
        _check_precision(config, findings)
    check_losses(config, findings)
    check_datasets(config, findings)
    check_dataset_options(config, findings)
    _check_weights(config, findings)
    _check_recorded(config, findings)
    _check_protocol(config, findings)
    return config if usable else None


def refuse(opt: dict[str, Any]) -> TrainingConfig | None:
    """Run :func:`check_fast` and raise its errors; do nothing for models of other packages.

    Returns:
        The parsed options; None for models of other packages.

    Raises:
        MTKDError: An option cannot be used. The message lists all errors.
    """
    if model_of(opt.get('model_type')) is None:
        return None
    findings = Findings()
    config = check_fast(opt, findings)
    findings.raise_errors()
    return config
