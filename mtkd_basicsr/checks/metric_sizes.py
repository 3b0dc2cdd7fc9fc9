"""How large an image must be for the metrics of BasicSR to have a value."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..config import TrainingConfig
from ..host.option_schema import is_number

# Side of the window of SSIM, which moves inside the image, and of the blocks of NIQE, of which two
# are needed for a covariance.
_SSIM_WINDOW = 11
_NIQE_BLOCK = 96


class MetricSize(NamedTuple):
    """What a metric needs of an image.

    Attributes:
        key: Option key of the metric.
        fits: Whether it has a value for an image of a height and width, in pixels.
        expected: The same in words.
    """

    key: str
    fits: Callable[[int, int], bool]
    expected: str


def _larger_than(least: int) -> tuple[Callable[[int, int], bool], str]:
    return lambda h, w: min(h, w) >= least, f'{least} pixels or more on each side'


def _blocks(border: int) -> tuple[Callable[[int, int], bool], str]:
    def fits(h: int, w: int) -> bool:
        return ((h - 2 * border) // _NIQE_BLOCK) * ((w - 2 * border) // _NIQE_BLOCK) >= 2

    text = f'two blocks of {_NIQE_BLOCK}×{_NIQE_BLOCK} pixels'
    return fits, f'{text}, besides a border of {border}' if border else text


def _need(kind: Any, border: int) -> tuple[Callable[[int, int], bool], str] | None:
    if kind == 'calculate_niqe':
        return _blocks(border)
    least = {'calculate_psnr': 1, 'calculate_ssim': _SSIM_WINDOW}.get(kind)
    return None if least is None else _larger_than(2 * border + least)


def metric_sizes(config: TrainingConfig) -> Iterator[MetricSize]:
    """Yield what each metric in ``val.metrics`` needs; metrics of other packages are left out."""
    metrics = (config.options.get('val') or {}).get('metrics')
    for name, block in (metrics if isinstance(metrics, dict) else {}).items():
        border = block.get('crop_border') if isinstance(block, dict) else None
        if border is None or not is_number(border, 0, whole=True):
            continue  # check_metrics reports it
        need = _need(block.get('type'), int(border))
        if need is not None:
            yield MetricSize(f'val.metrics.{name}', *need)
