"""Crops of a few images, on which the teachers and the fusion network are measured."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..config import TrainingConfig
from ..errors import DataError
from ..host.api import calculate_psnr
from ..teachers import TeacherEnsemble
from ..utils.image_tensors import to_array
from .paired import build_paired

_MAX_IMAGES = 3
# Side of the crop of a ground truth, small enough for teachers on a CPU.
_SIDE = 192


class Crop(NamedTuple):
    """The center of an image.

    Attributes:
        lq: Low-resolution crop, (1, 3, h, w), RGB, [0, 1].
        gt: Ground-truth crop, (1, 3, scale · h, scale · w), RGB, [0, 1].
        name: Path of the ground truth.
        size: Height and width of the whole ground truth.
        place: Rows and columns of the crop in the whole ground truth.
        validation: Whether the image belongs to a validation set.
        total: Number of images of that set.
    """

    lq: torch.Tensor
    gt: torch.Tensor
    name: str
    size: tuple[int, int]
    place: tuple[slice, slice]
    validation: bool
    total: int


def center_crops(config: TrainingConfig) -> Iterator[Crop]:
    """Crop the centers of a few validation images.

    Training images are used instead if a teacher has outputs only for them.

    Args:
        config: The option file.

    Yields:
        One crop per image.

    Raises:
        DataError, OSError, ValueError: There are no images, or they cannot be read.
    """
    validations = [dataset for dataset in config.datasets.values() if dataset.is_validation]
    lacks_outputs = any(
        teacher.validation_problem(f'teachers.{name}', 'val') is not None
        for name, teacher in config.teachers.items()
    )
    if lacks_outputs:
        chosen = config.train_dataset
    elif validations:
        chosen = validations[0]
    else:
        raise DataError('there is no validation set')
    scale = config.scale
    dataset = build_paired(chosen, scale, 'val')
    side = _SIDE // scale
    indices = np.linspace(0, len(dataset) - 1, min(_MAX_IMAGES, len(dataset))).astype(int)
    for index in indices:
        item = dataset[index]
        lq = item['lq']
        h, w = lq.shape[1:]
        y = max((h - side) // 2, 0)
        x = max((w - side) // 2, 0)
        lq = lq[None, :, y : y + side, x : x + side]
        rows = slice(scale * y, scale * (y + lq.shape[2]))
        columns = slice(scale * x, scale * (x + lq.shape[3]))
        gt = item['gt']
        yield Crop(
            lq=lq,
            gt=gt[None, :, rows, columns],
            name=item['gt_path'],
            size=tuple(gt.shape[1:]),
            place=(rows, columns),
            validation=chosen.is_validation,
            total=len(dataset),
        )


def psnr_of(
    function: Callable[[Crop], torch.Tensor], crops: Sequence[Crop], scale: int
) -> np.ndarray:
    """Compute the PSNR of upscaled crops on the Y channel, as papers do, in dB.

    Args:
        function: Upscales a crop: returns (1, 3, scale · h, scale · w).
        crops: The crops.
        scale: Upscaling factor; also the width of the border that is ignored.

    Returns:
        (n,); infinite where nothing differs.
    """
    values = []
    for crop in crops:
        output = to_array(function(crop))
        gt = to_array(crop.gt)
        values.append(calculate_psnr(output, gt, crop_border=scale, test_y_channel=True))
    return np.array(values)


def upscale(network: torch.nn.Module, ensemble: TeacherEnsemble, crop: Crop) -> torch.Tensor:
    """Run an ensemble, or the fusion network over it, on a crop.

    Args:
        network: ``ensemble``, or the teachers with their fusion network.
        ensemble: The teachers.
        crop: The crop.

    Returns:
        (1, c, scale · h, scale · w).
    """
    lq = crop.lq.to(ensemble.device)
    outputs = ensemble.precomputed_outputs(crop.name, crop.size, crop.validation)
    if outputs is None:
        return network(lq)
    index = (slice(None), slice(None), *crop.place)
    return network(lq, outputs[index])
