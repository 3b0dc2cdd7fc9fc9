"""The inputs of a target cache, as the options of a training name them."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from ...config import FolderOptions, TeacherOptions
from ...errors import OptionError
from ...utils.choices import CacheContents
from ...utils.image_folder import ImageFolder
from ...utils.version import __version__
from .inputs import IMAGES, CachedImage, CacheInput
from .key import CacheKey, CacheSettings


def sha256(path: str) -> str | None:
    """Return the SHA-256 of a file as text; None if there is no such file."""
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        return None
    with open(path, 'rb') as file:
        if hasattr(hashlib, 'file_digest'):
            return hashlib.file_digest(file, 'sha256').hexdigest()
        return _digest(file)


def _digest(file: BinaryIO) -> str:
    # Python 3.10 has no hashlib.file_digest.
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b''):
        digest.update(block)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """Return option values as JSON gives them back: mappings without order, tuples as lists.

    Args:
        value: Mapping, list, tuple, text, number or anything else.
    """
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def _network(options: TeacherOptions) -> CacheInput:
    return CacheInput(plain(options.network), sha256(options.weights), options.param_key)


def _teacher(options: TeacherOptions | FolderOptions, names: list[str]) -> CacheInput:
    if not isinstance(options, FolderOptions):
        return _network(options)
    digest = ImageFolder(options.images, 'images').digest(names)
    return CacheInput({'type': IMAGES}, digest)


def cache_key(
    contents: CacheContents,
    scale: int,
    teachers: Mapping[str, TeacherOptions | FolderOptions],
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
    return CacheKey(
        contents=contents,
        scale=scale,
        teachers={name: _teacher(options, names) for name, options in teachers.items()},
        fusion=_network(fusion) if fusion is not None and contents == 'target' else None,
        images=images,
        settings=settings or CacheSettings(),
        version=__version__,
    )
