"""The key of a target cache, built from the options of a training."""

from collections.abc import Iterable, Mapping

from ...config import TeacherConfig, TeacherOptions
from ...errors import OptionError
from ...utils.choices import CacheContents
from ...utils.version import __version__
from .inputs import CachedImage, CacheInput
from .key import CacheKey, CacheSettings


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
    """
    images = tuple(images)
    if contents == 'target' and fusion is None:
        raise OptionError('fusion: missing; a cache of fused targets needs it')
    names = [image.name for image in images]
    inputs = {}
    for name, options in teachers.items():
        inputs[name] = CacheInput(*options.cache_identity(names), is_folder=not options.runs_here)
    used_fusion = None
    if fusion is not None and contents == 'target':
        used_fusion = CacheInput(*fusion.cache_identity(names))
    return CacheKey(
        contents=contents,
        scale=scale,
        teachers=inputs,
        fusion=used_fusion,
        images=images,
        settings=settings or CacheSettings(),
        version=__version__,
    )
