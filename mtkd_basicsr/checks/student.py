"""A check that the student makes images of the right size out of its patches."""

import torch

from ..config import TrainingConfig
from ..errors import OptionError
from ..utils.attempts import first_accepted
from ..weights.networks import build, check_scale, size_multiple
from .device import try_on

# Side in pixels of the input that the student is run with first.
_SMALL_SIDE = 24


def check_student(config: TrainingConfig) -> None:
    """Check that low-resolution patches consist of whole windows of the student, and run it.

    Args:
        config: Options of a training or a test.

    Raises:
        OptionError: The patches have another size, or the student cannot be run, or does not
            enlarge by the scale.
    """
    net = build(config.network, 'network_g').eval()
    if config.is_fusion_stage:
        return  # its inputs are those of the teachers, and of any size
    multiple = size_multiple(net)
    train = config.datasets.get('train')
    size = None if train is None else train.gt_size
    if size is not None and (size // config.scale) % multiple:
        raise OptionError(
            f'datasets.train.gt_size: {size}, which makes patches of {size // config.scale} '
            f'low-resolution pixels, but {config.network["type"]} has windows of {multiple}; '
            f'expected a multiple of {multiple * config.scale}'
        )
    if train is not None and not train.is_paired:
        return  # a class of the user's, whose images may have any number of channels
    datasets = [train] if train is not None else list(config.datasets.values())
    grey = any(dataset.options.get('color') == 'y' for dataset in datasets)
    channels = 1 if grey else 3
    sides = [max(_SMALL_SIDE // multiple, 1) * multiple]
    if size is not None:
        # Some networks take inputs of one size, or of a least one.
        side = size // config.scale
        sides = sorted({min(sides[0], side), side})

    def check(device: torch.device) -> None:
        moved = net.to(device)
        first_accepted(
            lambda side: check_scale(moved, config.scale, 'network_g', side, channels), sides
        )

    try:
        try_on(config, check)
    except OptionError as error:
        # Of the sizes of the images of a test nothing is known here.
        if train is not None or error.__cause__ is None:
            raise
