"""Checks that the cache of an option file may stand in for the teachers that it names."""

from typing import Any

from basicsr.utils import get_root_logger

from ...errors import CacheError, OptionError
from .format import CacheReader, state_of
from .manifest import source_differences, source_of


def matching_cache(
    opt: dict[str, Any], what: str, teachers: list[str] | None = None
) -> dict[str, Any] | None:
    """Return the manifest of the cache of a training, after comparing it with the option file.

    Args:
        opt: All options.
        what: ``'target'`` or ``'teachers'``: what the model needs.
        teachers: With ``'teachers'``: those that it needs; None for all in the option file.

    Returns:
        The manifest; None where the option file names no cache, or none that is there.

    Raises:
        CacheError: the cache is unfinished, or was made with another scale, other teachers,
            weights or fusion network.
        OptionError: a cache is named, but the dataset cannot read it.
    """
    train = opt['datasets']['train']
    path = train.get('target_cache')
    if path is None:
        return None
    if train['type'] != 'DistillImageDataset':
        raise OptionError(
            f"datasets.train.target_cache: '{path}', but datasets.train.type is {train['type']}; "
            'expected DistillImageDataset'
        )
    if state_of(path) == 'none':
        return None
    manifest = CacheReader(path).manifest
    source = source_of(opt, what, [image[0] for image in manifest['images']])
    if teachers is not None:
        source['teachers'] = {name: source['teachers'][name] for name in teachers}
    found = source_differences(manifest, source)
    if found:
        raise CacheError(
            f"target cache '{path}' does not match the option file: {'; '.join(found)}; "
            'rebuild it with mtkd cache -opt FILE --overwrite'
        )
    unseen = [name for name, t in source['teachers'].items() if t['sha256'] is None]
    if source['fusion'] and source['fusion']['sha256'] is None:
        unseen.append('fusion')
    if unseen:
        get_root_logger().warning(
            f"Target cache '{path}': the weights or images of {', '.join(unseen)} are not on this "
            'machine, '
            'and were not compared.'
        )
    made = manifest['made_with']
    get_root_logger().info(
        f"Target cache '{path}': made with " + ', '.join(f'{k}: {v}' for k, v in made.items())
    )
    return manifest
