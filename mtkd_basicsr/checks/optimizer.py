"""Values of BasicSR's keys, which it takes as they come: numbers, optimizer, schedule, metrics."""

import copy
import inspect
from types import SimpleNamespace
from typing import Any

import torch

from ..config import TrainingConfig, require
from ..errors import OptionError, did_you_mean, first_line
from ..host.api import METRIC_REGISTRY, MODEL_REGISTRY, BaseModel
from ..host.option_schema import is_number
from .findings import Findings

# Block, key, smallest value, whether it has to be there, whether it has to be a whole number.
_NUMBERS = (
    ('datasets.train', 'gt_size', 1, True, True),
    ('datasets.train', 'batch_size_per_gpu', 1, True, True),
    ('datasets.train', 'num_worker_per_gpu', 0, True, True),
    ('datasets.train', 'dataset_enlarge_ratio', 1e-6, False, False),
    ('datasets.train', 'num_prefetch_queue', 1, False, True),
    ('train', 'total_iter', 1, True, False),
    ('train', 'warmup_iter', -1, False, True),
    ('train', 'ema_decay', 0, False, False),
    ('logger', 'print_freq', 1, True, False),
    ('logger', 'save_checkpoint_freq', 1, True, False),
)
_CHOICES = (
    ('datasets.train', 'prefetch_mode', (None, 'cpu', 'cuda'), False),
    ('datasets.train', 'use_hflip', (True, False), True),
    ('datasets.train', 'use_rot', (True, False), True),
    ('logger', 'use_tb_logger', (None, True, False), False),
)


def _check_numbers(config: TrainingConfig, findings: Findings) -> None:
    opt = config.options
    for path, key, least, needed, whole in _NUMBERS:
        block = require(opt, *path.split('.'))
        if (needed or key in block) and not is_number(block.get(key), least, whole=whole):
            findings.error(
                f'{path}.{key}: {block.get(key)!r}; expected a {"whole " if whole else ""}number'
                f'{f" from {least} on" if least in (-1, 0, 1) else " above 0"}'
            )
    for path, key, known, needed in _CHOICES:
        block = require(opt, *path.split('.'))
        if (
            (needed or key in block)
            and not any(block.get(key) is value for value in known)
            and block.get(key) not in known[1:]
        ):
            findings.error(
                f'{path}.{key}: {block.get(key)!r}; known: '
                f'{", ".join("~" if v is None else str(v).lower() for v in known)}'
            )
    if is_number(opt['train'].get('ema_decay'), 1):
        findings.error(f'train.ema_decay: {opt["train"]["ema_decay"]}; expected a number below 1')


def _check_optimizer(config: TrainingConfig, findings: Findings) -> None:
    opt = config.options
    # BasicSR's own functions, on one number in the place of a network.
    train = copy.deepcopy({key: opt['train'][key] for key in ('optim_g', 'scheduler')})
    model = SimpleNamespace(
        opt={'train': train},
        schedulers=[],
        optimizers=[torch.optim.Adam([torch.zeros(1, requires_grad=True)])],
    )
    try:
        model.optimizers = [
            BaseModel.get_optimizer(
                model,
                train['optim_g'].pop('type'),
                [torch.zeros(1, requires_grad=True)],
                **train['optim_g'],
            )
        ]
    except Exception as error:  # each optimizer has its own
        kind = opt['train']['optim_g'].get('type')
        findings.error(
            f'train.optim_g: {kind!r} cannot be built: {first_line(error)}{_hint(train["optim_g"])}'
        )
    try:
        BaseModel.setup_schedulers(model)
        model.optimizers[0].step()
        for _ in range(2):  # what BasicSR asks it before the first steps
            model.schedulers[0].step()
    except Exception as error:
        findings.error(
            f'train.scheduler: {opt["train"]["scheduler"].get("type")!r} cannot be built: '
            f'{type(error).__name__}: '
            f'{first_line(error)}'
        )
        return
    periods = opt['train']['scheduler'].get('periods')
    total = opt['train']['total_iter']
    if periods is not None and is_number(total, 1) and sum(periods) < total - 1:
        # BasicSR's scheduler ends in a TypeError, at the end of the last period.
        findings.error(
            f'train.scheduler.periods: {periods}; together they have to last for train.total_iter, '
            f'{total}'
        )


def _hint(arguments: dict[str, Any]) -> str:
    name = next((key for key, value in arguments.items() if isinstance(value, str)), None)
    if not name:
        return ''
    # YAML 1.1 takes 1e-4 for a text.
    return (
        f"; {name} is the text '{arguments[name]}': YAML needs a dot in such a number, as in 1.0e-4"
    )


def check_metrics(config: TrainingConfig, findings: Findings) -> None:
    """Check that the metrics of ``val.metrics`` are known, and take what is given to them."""
    metrics = (config.options.get('val') or {}).get('metrics')
    if metrics is not None and not isinstance(metrics, dict):
        findings.error(f'val.metrics: {metrics!r}; expected a mapping')
        return
    for name, block in (metrics or {}).items():
        key = f'val.metrics.{name}'
        kind = block.get('type') if isinstance(block, dict) else None
        if not isinstance(kind, str) or kind not in METRIC_REGISTRY:
            known = [known for known, _ in METRIC_REGISTRY if known.startswith('calculate_')]
            findings.error(f'{key}.type: unknown metric {kind!r}; {did_you_mean(kind, known)}')
            continue
        if not is_number(block.get('crop_border'), 0, whole=True):
            findings.error(
                f'{key}.crop_border: {block.get("crop_border")!r}; expected a whole number from 0 '
                'on'
            )
        try:
            inspect.signature(METRIC_REGISTRY.get(kind)).bind(
                img=0, img2=0, **{k: v for k, v in block.items() if k != 'type'}
            )
        except TypeError as error:
            findings.error(f'{key}: {kind}: {error}')


def check_values(config: TrainingConfig, findings: Findings) -> bool:
    """Find values that end BasicSR's loop, or its first step, in an error that names no key.

    Args:
        config: Of a training, with the sections that
            :func:`~mtkd_basicsr.host.option_schema.structure_errors` asks for.
        findings: Grows.

    Returns:
        Whether the numbers are such that images and steps can be looked at with them.
    """
    before = len(findings)
    _check_numbers(config, findings)
    usable = len(findings) == before
    _check_optimizer(config, findings)
    check_metrics(config, findings)
    return usable


def refuse_unknown_model(model_type: str) -> None:
    """Raise if neither BasicSR nor this package has a model of that name.

    Raises:
        OptionError: Names what is known.
    """
    if model_type not in MODEL_REGISTRY:
        raise OptionError(
            f"model_type: '{model_type}'; {did_you_mean(model_type, sorted(MODEL_REGISTRY.keys()))}"
        )
