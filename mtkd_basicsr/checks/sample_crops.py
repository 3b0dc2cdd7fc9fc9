"""A few parts of images to measure teachers and fusion network on."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..config import TrainingConfig
from ..errors import DataError
from ..host.api import calculate_psnr
from ..teachers import TeacherEnsemble
from ..utils.image_tensors import to_array
from .images import build_paired

_IMAGES = 3
_SIDE = 192  # of the part of a ground truth that is looked at: a teacher runs on a CPU too


class Part(NamedTuple):
    """The middle of an image.

    Attributes:
        lq, gt: (1, 3, h, w) and (1, 3, scale · h, scale · w), RGB, [0, 1].
        name: Path of the ground truth.
        size: Height and width of the whole ground truth.
        place: Rows and columns of the part in it.
        validation: Whether it is an image of a validation.
    """

    lq: torch.Tensor
    gt: torch.Tensor
    name: str
    size: tuple[int, int]
    place: tuple[slice, slice]
    validation: bool


def center_crops(config: TrainingConfig) -> Iterator[Part]:
    """Cut the middles out of a few validation images.

    They come out of training images if a teacher has no outputs for others.

    Args:
        config: The option file.

    Yields:
        One for each image.

    Raises:
        DataError, OSError, ValueError: there are no images, or they cannot be read.
    """
    validations = [dataset for dataset in config.datasets.values() if dataset.is_validation]
    lacking = [
        name
        for name, teacher in config.teachers.items()
        if teacher.validation_problem(f'teachers.{name}', 'val') is not None
    ]
    if lacking:
        chosen = config.train_dataset
    elif validations:
        chosen = validations[0]
    else:
        raise DataError('there is no validation set')
    scale = config.scale
    dataset = build_paired(chosen, scale, 'val')
    for index in np.linspace(0, len(dataset) - 1, min(_IMAGES, len(dataset))).astype(int):
        item = dataset[index]
        lq = item['lq']
        side = _SIDE // scale
        y, x = (max((n - side) // 2, 0) for n in lq.shape[1:])
        lq = lq[None, :, y : y + side, x : x + side]
        place = (
            slice(scale * y, scale * (y + lq.shape[2])),
            slice(scale * x, scale * (x + lq.shape[3])),
        )
        index = (None, slice(None), *place)
        yield Part(
            lq,
            item['gt'][index],
            item['gt_path'],
            tuple(item['gt'].shape[1:]),
            place,
            chosen.is_validation,
        )


def mean_psnr(function: Callable[[Part], torch.Tensor], parts: Sequence[Part], scale: int) -> float:
    """Return the mean PSNR on Y of what a function makes of parts, as papers measure it, in dB.

    Args:
        function: Gives an enlarged image, (1, 3, scale · h, scale · w).
        parts: At least one.
        scale: Pixels of the border that are left out.
    """
    values = [
        calculate_psnr(
            to_array(function(part)), to_array(part.gt), crop_border=scale, test_y_channel=True
        )
        for part in parts
    ]
    return float(np.mean(values))


def run(network: torch.nn.Module, ensemble: TeacherEnsemble, part: Part) -> torch.Tensor:
    """Run an ensemble, or the fusion network over it, on a part.

    Args:
        network: ``ensemble``, or the teachers with their fusion network.
        ensemble: The teachers.
        part: Of an image.

    Returns:
        (1, c, scale · h, scale · w).
    """
    outputs = ensemble.precomputed_outputs(part.name, part.size, part.validation)
    if outputs is None:
        return network(part.lq.to(ensemble.device))
    index = (slice(None), slice(None), *part.place)
    return network(part.lq.to(ensemble.device), outputs[index])
