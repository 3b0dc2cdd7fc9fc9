"""Checks that the cache named in an option file matches its teachers."""

from ...config import TrainingConfig
from ...errors import CacheError, OptionError
from ...host.api import get_root_logger
from .format import state_of
from .key import CacheKey, Use
from .manifest import cache_key
from .reader import CacheReader

# The dataset that reads a cache.
CACHE_DATASET = 'DistillImageDataset'


def matching_cache(config: TrainingConfig, only: str | None = None) -> CacheKey | None:
    """Compare the cache of a training with the options, and return its key.

    Args:
        config: Options of a training that uses teachers.
        only: Name of the only teacher whose output the training uses; None for all teachers.

    Returns:
        The key; None if no cache is named or it does not exist.

    Raises:
        CacheError: The cache is unfinished, or was created with another scale, fusion network,
            weights or other teachers.
        OptionError: The option file names a cache, but its dataset class cannot read one.
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
    # Images and settings are not compared here.
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
    not_compared = [name for name, teacher in wanted.teachers.items() if teacher.sha256 is None]
    if wanted.fusion is not None and wanted.fusion.sha256 is None:
        not_compared.append('fusion')
    if not_compared:
        get_root_logger().warning(
            f"Target cache '{path}': the weights or images of {', '.join(not_compared)} are not on "
            'this machine, and were not compared.'
        )
    settings = sorted(cached.settings.to_manifest().items())
    listed = ', '.join(f'{name}: {value}' for name, value in settings)
    get_root_logger().info(f"Target cache '{path}': made with {listed}")
    return cached
