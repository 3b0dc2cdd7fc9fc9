"""Checks that the cache of an option file may stand in for the teachers that it names."""

from collections.abc import Mapping

from basicsr.utils import get_root_logger

from ...config import FolderOptions, TeacherOptions
from ...errors import CacheError, OptionError
from ...utils.choices import CacheContents
from .format import state_of
from .key import CacheKey, Use
from .manifest import cache_key
from .reader import CacheReader

# The dataset that reads a cache.
CACHE_DATASET = 'DistillImageDataset'


def matching_cache(
    path: str | None,
    contents: CacheContents,
    *,
    scale: int,
    teachers: Mapping[str, TeacherOptions | FolderOptions],
    fusion: TeacherOptions | None = None,
    dataset: str = CACHE_DATASET,
) -> CacheKey | None:
    """Return the key of the cache of a training, after comparing it with the options.

    Args:
        path: ``datasets.train.target_cache``; None where none is named.
        contents: What the model needs: ``'target'`` or ``'teachers'``.
        scale: Of the training.
        teachers: Those that the cache has to stand in for, by name: with ``'target'`` all of the
            option file.
        fusion: The fusion network, for ``'target'``.
        dataset: ``datasets.train.type``.

    Returns:
        The key; None where no cache is named, or none is there.

    Raises:
        CacheError: the cache is unfinished, or was made with another scale, other teachers,
            weights or fusion network.
        OptionError: a cache is named, but the dataset cannot read it.
    """
    if path is None:
        return None
    if dataset != CACHE_DATASET:
        raise OptionError(
            f"datasets.train.target_cache: '{path}', but datasets.train.type is {dataset}; "
            f'expected {CACHE_DATASET}'
        )
    if state_of(path) == 'none':
        return None
    cached = CacheReader(path).key
    # Which images a training takes and which settings are best is not asked here.
    wanted = cache_key(contents, scale, teachers, fusion, cached.images, cached.settings)
    found = cached.differences(wanted, Use.TRAIN)
    if found:
        raise CacheError(
            f"target cache '{path}' does not match the option file: {'; '.join(found)}; "
            'rebuild it with mtkd cache -opt FILE --overwrite'
        )
    unseen = [name for name, teacher in wanted.teachers.items() if teacher.sha256 is None]
    if wanted.fusion is not None and wanted.fusion.sha256 is None:
        unseen.append('fusion')
    if unseen:
        get_root_logger().warning(
            f"Target cache '{path}': the weights or images of {', '.join(unseen)} are not on this "
            'machine, and were not compared.'
        )
    settings = sorted(cached.settings.to_manifest().items())
    get_root_logger().info(
        f"Target cache '{path}': made with " + ', '.join(f'{k}: {v}' for k, v in settings)
    )
    return cached
