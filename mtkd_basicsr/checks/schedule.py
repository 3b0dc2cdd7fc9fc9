"""Numbers of the optimizer and the schedule, whose types BasicSR does not check.

``Counter('250000')`` is no error, and equals no iteration: the learning rate would never fall.
"""

import math
from typing import Any, NamedTuple

from ..config import TrainingConfig
from ..errors import yaml_hint
from ..host.option_schema import is_number
from .findings import Findings


class _Argument(NamedTuple):
    """An argument of an optimizer or a schedule.

    Attributes:
        name: Its key.
        is_list: Whether it is a list of numbers.
        least: The smallest number.
        whole: Whether numbers are iterations.
        expected: What an error expects.
    """

    name: str
    is_list: bool
    least: float
    whole: bool
    expected: str


# These multiply the present rate, which a warm-up leaves a step below that of the optimizer; in a
# long one that is next to nothing.
_STEPWISE = ('MultiStepLR', 'MultiStepRestartLR')
_SHORT_WARMUP = 100
_ITERATIONS = 'a list of iterations, whole numbers from 1 on'
_SCHEDULE = (
    _Argument('milestones', True, 1, True, _ITERATIONS),
    _Argument('periods', True, 1, True, _ITERATIONS),
    _Argument('restarts', True, 0, True, 'a list of iterations, whole numbers from 0 on'),
    _Argument('restart_weights', True, 0, False, 'a list of numbers'),
    _Argument('gamma', False, 0, False, 'a number from 0 on'),
    _Argument('eta_min', False, 0, False, 'a number from 0 on'),
)
_OPTIMIZER = (
    _Argument('lr', False, 0, False, 'a number from 0 on'),
    _Argument('weight_decay', False, 0, False, 'a number from 0 on'),
    _Argument('betas', True, 0, False, 'a list of two numbers'),
)


def _is_right(value: Any, argument: _Argument) -> bool:
    if not argument.is_list:
        return is_number(value, argument.least)
    if not isinstance(value, (list, tuple)):
        return False
    for number in value:
        if not is_number(number, argument.least):
            return False
        if argument.whole and number != math.floor(number):
            return False
    return True


def _check(
    config: TrainingConfig, section: str, arguments: tuple[_Argument, ...], findings: Findings
) -> bool:
    given = config.options['train'][section]
    right = True
    for argument in arguments:
        value = given.get(argument.name)
        if argument.name in given and not _is_right(value, argument):
            right = False
            findings.error(
                f'train.{section}.{argument.name}: {value!r}; expected {argument.expected}'
                f'{yaml_hint(value)}'
            )
    return right


def check_schedule_numbers(config: TrainingConfig, findings: Findings) -> bool:
    """Check the numbers of ``train.optim_g`` and ``train.scheduler``.

    Args:
        config: Options of a training.
        findings: Results are added to it.

    Returns:
        Whether all of them are numbers.
    """
    train = config.options['train']
    warmup = train.get('warmup_iter')
    total = train.get('total_iter')
    if is_number(warmup, 1) and is_number(total, 1) and warmup >= total:
        findings.warning(
            f'train.warmup_iter: {warmup}, but train.total_iter is {total}: the learning rate '
            'never reaches train.optim_g.lr'
        )
    elif is_number(warmup, 2, _SHORT_WARMUP) and train['scheduler'].get('type') in _STEPWISE:
        findings.warning(
            f"train.warmup_iter: {warmup}; BasicSR's {train['scheduler']['type']} goes on with the "
            f'last rate of the warm-up, {warmup - 1:g}/{warmup:g} of train.optim_g.lr'
        )
    optimizer = _check(config, 'optim_g', _OPTIMIZER, findings)
    return _check(config, 'scheduler', _SCHEDULE, findings) and optimizer
