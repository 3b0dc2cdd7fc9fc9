"""Whether the metrics of validations and tests can be computed, and mean what they seem to."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import TrainingConfig
from ..errors import did_you_mean, first_line
from ..host.api import METRIC_REGISTRY
from ..host.option_schema import is_number
from .dataset_options import WITHOUT_GROUND_TRUTH
from .findings import Findings

# Side of the images that a metric is tried on, in pixels, beside the border: two blocks of NIQE.
_SIDE = 192
_MAX_BORDER = 256
# Metrics of BasicSR of which less is better.
_LOWER_IS_BETTER = ('calculate_niqe',)
# Values of arguments that the metrics of BasicSR do not check, for the images that they get.
_CHOICES = {
    'better': ('higher', 'lower'),
    'convert_to': ('y', 'gray'),
    'input_order': ('HWC',),
}


def parameters_of(kind: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a metric by name; none of one that is not registered."""
    if not isinstance(kind, str) or kind not in METRIC_REGISTRY:
        return {}
    return dict(inspect.signature(METRIC_REGISTRY.get(kind)).parameters)


@dataclass(frozen=True)
class _Metric:
    """An entry of ``val.metrics``.

    Attributes:
        key: Its option key.
        kind: Name of the function.
        arguments: What the function gets beside the images.
    """

    key: str
    kind: str
    arguments: dict[str, Any]

    @property
    def is_of_basicsr(self) -> bool:
        """Return whether it is one of BasicSR's own."""
        return str(METRIC_REGISTRY.get(self.kind).__module__).startswith('basicsr.')

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Return the parameters of the function, by name."""
        return parameters_of(self.kind)

    @property
    def compares(self) -> bool:
        """Return whether it needs a ground truth."""
        second = self.parameters.get('img2')
        return second is not None and second.default is inspect.Parameter.empty


def _check_arguments(metric: _Metric, findings: Findings) -> bool:
    """Check the arguments of a metric of BasicSR, which ignores what it does not know.

    Returns:
        Whether they are right.
    """
    count = len(findings)
    known = [name for name in metric.parameters if name not in ('img', 'img2', 'kwargs')]
    known.append('better')
    for name, value in metric.arguments.items():
        if name not in known:
            findings.error(f"{metric.key}: unknown key '{name}'; {did_you_mean(name, known)}")
        elif name == 'test_y_channel' and not isinstance(value, bool):
            findings.error(f'{metric.key}.{name}: {value!r}; known: true, false')
        elif name in _CHOICES and value not in _CHOICES[name]:
            findings.error(f'{metric.key}.{name}: {value!r}; known: {", ".join(_CHOICES[name])}')
    return len(findings) == count


def _check_better(metric: _Metric, findings: Findings) -> None:
    lower = metric.arguments.get('better', 'higher') == 'lower'
    if lower and metric.kind not in _LOWER_IS_BETTER:
        findings.error(
            f'{metric.key}.better: lower; more is better with {metric.kind}: net_g_best.pth would '
            'be the worst'
        )
    elif not lower and metric.kind in _LOWER_IS_BETTER:
        findings.warning(
            f"{metric.key}.better: higher; less is better with {metric.kind}: the log's Best would "
            'be the worst; set better: lower'
        )


def _check_runs(metric: _Metric, findings: Findings) -> None:
    """Compute a metric of BasicSR on images of random numbers, as a validation does."""
    border: Any = metric.arguments.get('crop_border')
    if not is_number(border, 0, _MAX_BORDER, whole=True):
        return  # which is reported, or takes larger images than there are
    generator = np.random.default_rng(0)
    size = (_SIDE + 2 * border, _SIDE + 2 * border, 3)
    images = {name: generator.integers(0, 256, size, np.uint8) for name in ('img', 'img2')}
    try:
        METRIC_REGISTRY.get(metric.kind)(**images, **metric.arguments)
    except Exception as error:  # whatever numpy, OpenCV and torch raise
        findings.error(
            f'{metric.key}: {metric.kind} cannot be computed for an image: '
            f'{type(error).__name__}: {first_line(error)}'
        )


def _check_ground_truths(
    config: TrainingConfig, names: list[str], key: str, findings: Findings
) -> None:
    for dataset in config.datasets.values():
        if dataset.phase != 'train' and dataset.type == WITHOUT_GROUND_TRUTH:
            findings.error(
                f'{key}: {", ".join(names)} compare with ground truths, but {dataset.key} '
                f'({WITHOUT_GROUND_TRUTH}) has none; remove val.metrics, or use PairedImageDataset'
            )


def _check_saving(config: TrainingConfig, findings: Findings) -> None:
    """Check what the names of saved images are made of."""
    val = config.options.get('val') or {}
    if not config.is_train and val.get('save_img') is True and 'suffix' not in val:
        findings.error('val.suffix: missing; expected a text for the names of images, or ~')
    suffix = val.get('suffix')
    if suffix is not None and (not isinstance(suffix, (str, int)) or {*str(suffix)} & {*'/\\\0'}):
        findings.error(f'val.suffix: {suffix!r}; expected a text without / and \\, or nothing (~)')
    known: dict[str, str] = {}
    for dataset in config.datasets.values():
        name = dataset.options['name']
        if dataset.phase != 'train' and known.setdefault(name, dataset.key) != dataset.key:
            text = f"{dataset.key}.name: '{name}' is the name of {known[name]} too; "
            if val.get('save_img') is True:
                findings.error(f'{text}images would replace each other')
            else:
                findings.warning(f'{text}the log does not tell them apart')


def check_metric_use(config: TrainingConfig, findings: Findings) -> None:
    """Check that the metrics in ``val.metrics`` can be computed, and get the arguments they have.

    Metrics of users are not run.

    Args:
        config: Options of a training or a test.
        findings: Results are added to it.
    """
    metrics = (config.options.get('val') or {}).get('metrics')
    comparing = []
    for name, entry in metrics.items() if isinstance(metrics, dict) else ():
        arguments = dict(entry) if isinstance(entry, dict) else {}
        kind = arguments.pop('type', None)
        if not isinstance(kind, str) or kind not in METRIC_REGISTRY:
            continue  # which has been reported
        metric = _Metric(f'val.metrics.{name}', kind, arguments)
        if metric.compares:
            comparing.append(name)
        if metric.is_of_basicsr and _check_arguments(metric, findings):
            _check_runs(metric, findings)
            _check_better(metric, findings)
    if comparing:
        _check_ground_truths(config, comparing, 'val.metrics', findings)
    _check_saving(config, findings)
