"""Checks of values that BasicSR uses unchecked: numbers, optimizer, schedule, metrics."""

import copy
import inspect
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from ..config import DatasetConfig, TrainingConfig, require
from ..errors import YAML_NUMBERS, OptionError, did_you_mean, first_line
from ..host.api import METRIC_REGISTRY, MODEL_REGISTRY, BaseModel, registered_name
from ..host.option_schema import is_number
from .findings import Findings
from .schedule import check_schedule_numbers


class _Number(NamedTuple):
    """A key with a number.

    Attributes:
        section: Section of the option file.
        key: Key in the section.
        minimum: Smallest value.
        expected: What an error expects.
        required: Whether the key must be present.
        whole: Whether the value must be a whole number.
    """

    section: str
    key: str
    minimum: float
    expected: str
    required: bool = True
    whole: bool = True


class _Choice(NamedTuple):
    """A key with a few known values.

    Attributes:
        section: Section of the option file.
        key: Key in the section.
        known: The known values.
        required: Whether the key must be present.
    """

    section: str
    key: str
    known: tuple[Any, ...]
    required: bool = True


# Those of BasicSR's BaseModel.setup_schedulers.
_SCHEDULERS = ('MultiStepLR', 'MultiStepRestartLR', 'CosineAnnealingRestartLR')
_FROM_1 = 'a number from 1 on'
_WHOLE_FROM_0 = 'a whole number from 0 on'
_WHOLE_FROM_1 = 'a whole number from 1 on'
_NUMBERS = (
    _Number('datasets.train', 'gt_size', 1, _WHOLE_FROM_1),
    _Number('datasets.train', 'batch_size_per_gpu', 1, _WHOLE_FROM_1),
    _Number('datasets.train', 'num_worker_per_gpu', 0, _WHOLE_FROM_0),
    _Number(
        'datasets.train',
        'dataset_enlarge_ratio',
        1e-6,
        'a number above 0',
        required=False,
        whole=False,
    ),
    _Number('datasets.train', 'num_prefetch_queue', 1, _WHOLE_FROM_1, required=False),
    _Number('train', 'total_iter', 1, _FROM_1, whole=False),
    _Number('train', 'warmup_iter', -1, 'a whole number from -1 on', required=False),
    _Number('train', 'ema_decay', 0, 'a number from 0 on', required=False, whole=False),
    _Number('logger', 'print_freq', 1, _FROM_1, whole=False),
    _Number('logger', 'save_checkpoint_freq', 1, _FROM_1, whole=False),
)
_CHOICES = (
    _Choice('datasets.train', 'prefetch_mode', (None, 'cpu', 'cuda'), required=False),
    _Choice('datasets.train', 'pin_memory', (None, True, False), required=False),
    _Choice('datasets.train', 'persistent_workers', (None, True, False), required=False),
    _Choice('datasets.train', 'use_hflip', (True, False)),
    _Choice('datasets.train', 'use_rot', (True, False)),
    _Choice('logger', 'use_tb_logger', (None, True, False), required=False),
)

# Classes of users augment as they like.
_ONLY_OF_PAIRS = ('use_hflip', 'use_rot')


def _is_known(value: Any, choice: _Choice) -> bool:
    # By identity first: 1 equals True, but is not accepted for it.
    if any(value is known for known in choice.known):
        return True
    return value in choice.known[1:]


def _check_numbers(config: TrainingConfig, findings: Findings) -> None:
    for number in _NUMBERS:
        section = require(config.options, *number.section.split('.'))
        if not number.required and number.key not in section:
            continue
        if number.key == 'total_iter' and config.only_fits:
            continue
        value = section.get(number.key)
        if not is_number(value, number.minimum, whole=number.whole):
            findings.error(f'{number.section}.{number.key}: {value!r}; expected {number.expected}')
    for choice in _CHOICES:
        if choice.key in _ONLY_OF_PAIRS and not config.train_dataset.is_paired:
            continue
        section = require(config.options, *choice.section.split('.'))
        if not choice.required and choice.key not in section:
            continue
        value = section.get(choice.key)
        if not _is_known(value, choice):
            known = ['~' if each is None else str(each).lower() for each in choice.known]
            findings.error(f'{choice.section}.{choice.key}: {value!r}; known: {", ".join(known)}')
    ema_decay = config.options['train'].get('ema_decay')
    if is_number(ema_decay, 1):
        findings.error(f'train.ema_decay: {ema_decay}; expected a number below 1')


def check_loaders(config: TrainingConfig, findings: Findings) -> None:
    """Check the options with which BasicSR's loaders would fail, or that they would ignore.

    Args:
        config: Options of a training or a test.
        findings: Results are added to it.
    """
    for dataset in config.datasets.values():
        options = dataset.options
        mode = options.get('prefetch_mode')
        if dataset.phase == 'train':
            if mode == 'cuda':
                _check_cuda_prefetcher(config, dataset, findings)
            continue
        # Training images are prefetched by all modes, others by one.
        if mode not in (None, 'cpu'):
            findings.error(
                f'{dataset.key}.prefetch_mode: {mode!r}; BasicSR has only ~ and cpu for validation '
                'and test images'
            )
        size = options.get('num_prefetch_queue', 1)
        if not is_number(size, 1, whole=True):
            findings.error(f'{dataset.key}.num_prefetch_queue: {size!r}; expected {_WHOLE_FROM_1}')


def _check_cuda_prefetcher(
    config: TrainingConfig, train: DatasetConfig, findings: Findings
) -> None:
    key = "datasets.train.prefetch_mode: 'cuda'"
    if not torch.cuda.is_available():
        findings.error(f'{key}, but torch finds no CUDA device; use cpu, or nothing (~)')
    elif not config.wants_gpu:
        findings.error(f'{key}, but num_gpu is 0; use cpu, or nothing (~)')
    pinned = train.options.get('pin_memory')
    if pinned is not True:
        findings.error(f'{key} needs datasets.train.pin_memory: true; it is {pinned!r}')


def _check_optimizer(config: TrainingConfig, findings: Findings) -> None:
    if not check_schedule_numbers(config, findings):
        return
    opt = config.options
    # BasicSR's own functions, with a single parameter instead of a network.
    train = copy.deepcopy({key: opt['train'][key] for key in ('optim_g', 'scheduler')})
    parameter = torch.zeros(1, requires_grad=True)
    model = SimpleNamespace(
        opt={'train': train}, schedulers=[], optimizers=[torch.optim.Adam([parameter])]
    )
    arguments = train['optim_g']
    try:
        optimizer = BaseModel.get_optimizer(model, arguments.pop('type'), [parameter], **arguments)
        model.optimizers = [optimizer]
    except NotImplementedError:
        kind = opt['train']['optim_g'].get('type')
        findings.error(f'train.optim_g.type: {kind!r}; this BasicSR has {", ".join(_optimizers())}')
    except Exception as error:  # each optimizer raises its own types
        kind = opt['train']['optim_g'].get('type')
        findings.error(
            f'train.optim_g: {kind!r} cannot be built: {first_line(error)}{_hint(arguments)}'
        )
    periods = opt['train']['scheduler'].get('periods')
    total = opt['train']['total_iter']
    if periods is not None and is_number(total, 1) and sum(periods) < total - 1:
        # BasicSR's scheduler raises a TypeError after the last period.
        findings.error(
            f'train.scheduler.periods: {periods}; together they have to last for train.total_iter, '
            f'{total}'
        )
        return
    try:
        BaseModel.setup_schedulers(model)
        model.optimizers[0].step()
        for _ in range(2):  # BasicSR steps the schedule twice before the optimizer
            model.schedulers[0].step()
    except NotImplementedError:
        kind = opt['train']['scheduler'].get('type')
        findings.error(f'train.scheduler.type: {kind!r}; this BasicSR has {", ".join(_SCHEDULERS)}')
    except Exception as error:
        kind = opt['train']['scheduler'].get('type')
        findings.error(
            f'train.scheduler: {kind!r} cannot be built: {type(error).__name__}: '
            f'{first_line(error)}'
        )


def _optimizers() -> list[str]:
    """Return the names of the optimizers that the installed BasicSR has."""
    found = []
    for name, kind in vars(torch.optim).items():
        if not (inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)):
            continue
        parameter = torch.zeros(1, requires_grad=True)
        try:
            BaseModel.get_optimizer(SimpleNamespace(), name, [parameter], lr=1e-3)
        except NotImplementedError:
            continue
        except Exception:  # known, but needs more arguments
            pass
        found.append(name)
    return found


def _hint(arguments: dict[str, Any]) -> str:
    for name, value in arguments.items():
        if isinstance(value, str):
            # YAML 1.1 reads 1e-4 as a string.
            return f"; {name} is the string '{value}': {YAML_NUMBERS}"
    return ''


def check_metrics(config: TrainingConfig, findings: Findings) -> None:
    """Check that the metrics in ``val.metrics`` are known and accept their arguments."""
    metrics = (config.options.get('val') or {}).get('metrics')
    if metrics is not None and not isinstance(metrics, dict):
        findings.error(f'val.metrics: {metrics!r}; expected a mapping')
        return
    for name, block in (metrics or {}).items():
        key = f'val.metrics.{name}'
        kind = block.get('type') if isinstance(block, dict) else None
        metric = registered_name(METRIC_REGISTRY, kind)
        if metric is None:
            known = [known for known, _ in METRIC_REGISTRY if known.startswith('calculate_')]
            findings.error(f'{key}.type: unknown metric {kind!r}; {did_you_mean(kind, known)}')
            continue
        signature = inspect.signature(METRIC_REGISTRY.get(metric))
        border = block.get('crop_border')
        parameter = signature.parameters.get('crop_border')
        # Metrics of users need not have it.
        is_needed = parameter is not None and parameter.default is inspect.Parameter.empty
        if (is_needed or 'crop_border' in block) and not is_number(border, 0, whole=True):
            findings.error(f'{key}.crop_border: {border!r}; expected {_WHOLE_FROM_0}')
        arguments = {name: value for name, value in block.items() if name != 'type'}
        try:
            signature.bind(img=0, img2=0, **arguments)
        except TypeError as error:
            findings.error(f'{key}: {kind}: {error}')


def check_values(config: TrainingConfig, findings: Findings) -> bool:
    """Find values with which BasicSR's loop would fail with an error that names no key.

    Args:
        config: Options of a training that have no
            :func:`~mtkd_basicsr.host.option_schema.structure_errors`.
        findings: Results are added to it.

    Returns:
        Whether the numbers are valid, so that images and steps can be checked.
    """
    known_findings = len(findings)
    _check_numbers(config, findings)
    usable = len(findings) == known_findings
    warning = config.ema_warning() if usable else None
    if warning is not None:
        findings.warning(warning)
    check_loaders(config, findings)
    _check_optimizer(config, findings)
    check_metrics(config, findings)
    return usable


def refuse_unknown_model(model_type: str) -> None:
    """Raise if neither BasicSR nor this package has a model of that name.

    Raises:
        OptionError: Names what is known.
    """
    if registered_name(MODEL_REGISTRY, model_type) is None:
        raise OptionError(
            f"model_type: '{model_type}'; {did_you_mean(model_type, sorted(MODEL_REGISTRY.keys()))}"
        )
