"""The key of a target cache, built from the options of a training."""

import os
from collections.abc import Iterable, Mapping

from ...config import TeacherConfig, TeacherOptions
from ...errors import OptionError
from ...utils.choices import CacheContents
from ...utils.paths import expanded
from ...utils.resources import weights_file
from ...utils.version import __version__
from ...weights.metadata import METADATA
from ...weights.reading import read_weights
from .inputs import CachedImage, CacheInput
from .key import CacheKey, CacheSettings


def _order_of_fusion(fusion: TeacherOptions, teachers: Iterable[str]) -> tuple[str, ...] | None:
    """Return the order in which teachers are fused; None if the fusion network has its own.

    It is unknown, None, of a network whose weights are not on this machine.
    """
    if not os.path.isfile(expanded(weights_file(fusion.weights, 'fusion.weights'))):
        return None
    metadata = read_weights(fusion.weights, 'fusion.weights').get(METADATA) or {}
    return tuple(teachers) if metadata.get('teachers') is None else None


def cache_key(
    contents: CacheContents,
    scale: int,
    teachers: Mapping[str, TeacherConfig],
    fusion: TeacherOptions | None,
    images: Iterable[CachedImage],
    settings: CacheSettings | None = None,
) -> CacheKey:
    """Build the key of a cache from the options of a training.

    The weights files are read to compute their digests.

    Args:
        contents: ``'target'`` (the fused image) or ``'teachers'`` (the output of each).
        scale: Factor between low-resolution images and ground truths.
        teachers: Teachers of the option file, by name.
        fusion: The fusion network, required for ``'target'`` and ignored for ``'teachers'``.
        images: The ground truths.
        settings: Settings with which the targets are computed.

    Raises:
        OptionError: The fusion network is missing.
        WeightsError: Its weights cannot be read.
    """
    images = tuple(images)
    if contents == 'target' and fusion is None:
        raise OptionError('fusion: missing; a cache of fused targets needs it')
    names = [image.name for image in images]
    inputs = {}
    for name, options in teachers.items():
        inputs[name] = CacheInput(*options.cache_identity(names), is_folder=not options.runs_here)
    used_fusion = order = None
    if fusion is not None and contents == 'target':
        used_fusion = CacheInput(*fusion.cache_identity(names))
        order = _order_of_fusion(fusion, teachers)
    return CacheKey(
        contents=contents,
        scale=scale,
        teachers=inputs,
        fusion=used_fusion,
        images=images,
        settings=settings or CacheSettings(),
        version=__version__,
        teacher_order=order,
    )
