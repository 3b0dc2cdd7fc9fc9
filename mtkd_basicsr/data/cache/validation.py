"""Checks that the cache of an option file may stand in for the teachers that it names."""

from basicsr.utils import get_root_logger

from ...config import TrainingConfig
from ...errors import CacheError, OptionError
from .format import state_of
from .key import CacheKey, Use
from .manifest import cache_key
from .reader import CacheReader

# The dataset that reads a cache.
CACHE_DATASET = 'DistillImageDataset'


def matching_cache(config: TrainingConfig, only: str | None = None) -> CacheKey | None:
    """Return the key of the cache of a training, after comparing it with the options.

    Args:
        config: The options, of a training that uses teachers.
        only: The teacher whose output the training uses; None for all of them.

    Returns:
        The key; None where no cache is named, or none is there.

    Raises:
        CacheError: The cache is unfinished, or was made with another scale, other teachers,
            weights or fusion network.
        OptionError: A cache is named, but the dataset cannot read it.
    """
    path = config.target_cache
    contents = config.cache_contents
    if path is None or contents is None:
        return None
    dataset = config.train_dataset.type
    if dataset != CACHE_DATASET:
        raise OptionError(
            f"datasets.train.target_cache: '{path}', but datasets.train.type is {dataset}; "
            f'expected {CACHE_DATASET}'
        )
    if state_of(path) == 'none':
        return None
    cached = CacheReader(path).key
    # Which images a training takes and which settings are best is not asked here.
    teachers = config.teachers if only is None else {only: config.teachers[only]}
    wanted = cache_key(
        contents, config.scale, teachers, config.fusion, cached.images, cached.settings
    )
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
