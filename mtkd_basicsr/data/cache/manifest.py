"""The inputs of a target cache, as the options of a training name them."""

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
    """Return the key of the cache that belongs to the options of a training.

    The files of weights are read, for their digests.

    Args:
        contents: ``'target'`` (the fused image) or ``'teachers'`` (the output of each).
        scale: Factor between low-resolution images and ground truths.
        teachers: Those of the option file, by name.
        fusion: The fusion network, which ``'target'`` needs; ignored for ``'teachers'``.
        images: The ground truths.
        settings: How the targets are computed.

    Raises:
        OptionError: the fusion network is missing.
    """
    images = tuple(images)
    if contents == 'target' and fusion is None:
        raise OptionError('fusion: missing; it is needed for a cache of fused targets')
    names = [image.name for image in images]
    inputs = {
        name: CacheInput(*options.cache_identity(names)) for name, options in teachers.items()
    }
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
