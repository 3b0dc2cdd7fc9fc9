"""What a target cache says about itself, and how that is compared with an option file."""

import hashlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from ...config import FolderOptions, TeacherConfig, TeacherOptions, parse_fusion, parse_teachers
from ...errors import OptionError
from ...utils.image_folder import ImageFolder
from ...utils.json_types import to_json_types
from ...utils.version import __version__

FORMAT = 1
# The `type` of a teacher that is a folder.
IMAGES = 'images'


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


def _network(options: TeacherOptions) -> dict[str, Any]:
    return {
        'network': to_json_types(options.network),
        'sha256': sha256(options.weights),
        'param_key': options.param_key,
    }


def _teacher(options: TeacherConfig, names: list[str]) -> dict[str, Any]:
    if isinstance(options, TeacherOptions):
        return _network(options)
    assert isinstance(options, FolderOptions)
    return {
        'network': {'type': IMAGES},
        'sha256': ImageFolder(options.images, 'images').digest(names),
        'param_key': None,
    }


def source_of(opt: dict[str, Any], what: str, names: list[str]) -> dict[str, Any]:
    """Return what the targets depend on, according to an option file.

    Args:
        opt: All options.
        what: ``'target'`` (the fused image) or ``'teachers'`` (the output of each).
        names: Of the ground-truth images.

    Returns:
        scale, what, teachers (by name), fusion (None for ``'teachers'``); networks with the SHA-256
        of their weights, folders of images with that of their listing, which is None where file or
        folder is not on this machine.

    Raises:
        OptionError: teachers or fusion network are missing or wrong in the option file.
    """
    fusion = parse_fusion(opt) if what == 'target' else None
    if what == 'target' and fusion is None:
        raise OptionError('fusion: missing; it is needed for a cache of fused targets')
    return {
        'scale': opt['scale'],
        'what': what,
        'teachers': {name: _teacher(t, names) for name, t in parse_teachers(opt).items()},
        'fusion': None if fusion is None else _network(fusion),
    }


def new_manifest(
    source: dict[str, Any], images: list[list[Any]], **made_with: Any
) -> dict[str, Any]:
    """Return the manifest of a cache that is about to be written.

    Args:
        source: From :func:`source_of`.
        images: ``[name, height, width]`` of each ground-truth image.
        **made_with: How the targets are computed: self_ensemble, precision, tile, tile_overlap.
    """
    return {
        'format': FORMAT,
        'version': __version__,
        **source,
        'images': images,
        'made_with': made_with,
    }


def _network_differences(key: str, cached: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    if cached['network'] != wanted['network']:
        changed = sorted(
            k
            for k in {**cached['network'], **wanted['network']}
            if cached['network'].get(k) != wanted['network'].get(k)
        )
        for k in changed:
            yield (
                f'{key}.network.{k}: {cached["network"].get(k)!r} in the cache, '
                f'{wanted["network"].get(k)!r} in the option file'
            )
    if cached['param_key'] != wanted['param_key']:
        yield (
            f'{key}.param_key: {cached["param_key"]!r} in the cache, '
            f'{wanted["param_key"]!r} in the option file'
        )
    if wanted['sha256'] is not None and cached['sha256'] != wanted['sha256']:
        kind = (
            'images: other files'
            if wanted['network'].get('type') == IMAGES
            else 'weights: another file'
        )
        yield (
            f'{key}.{kind} (SHA-256 {cached["sha256"][:12]} in the cache, '
            f'{wanted["sha256"][:12]} here)'
        )


def source_differences(manifest: dict[str, Any], source: dict[str, Any]) -> list[str]:
    """List what differs between the source of a cache and the one that an option file asks for.

    The order of teachers is no difference. Weights that are not on this machine cannot be compared,
    and are not.

    Args:
        manifest: Of the cache.
        source: From :func:`source_of`.

    Returns:
        One text for each difference, naming the option key.
    """
    if manifest['format'] != FORMAT:
        return [f'format: {manifest["format"]} in the cache, this version reads {FORMAT}']
    found = [
        f'{key}: {manifest[key]} in the cache, {source[key]} in the option file'
        for key in ('scale', 'what')
        if manifest[key] != source[key]
    ]
    if manifest['what'] != source['what']:
        return found
    cached = manifest['teachers']
    wanted = source['teachers']
    # A fused target depends on every teacher; where each has its own output, others do no harm.
    others = set(cached) - set(wanted) if manifest['what'] == 'target' else set()
    found += [
        f'teachers.{name}: {"only in the cache" if name in cached else "not in the cache"}'
        for name in sorted(others | (set(wanted) - set(cached)))
    ]
    for name in wanted:
        if name in cached:
            found += _network_differences(f'teachers.{name}', cached[name], wanted[name])
    if source['fusion'] is not None:
        found += _network_differences('fusion', manifest['fusion'], source['fusion'])
    return found


def image_differences(manifest: dict[str, Any], names: list[str]) -> list[str]:
    """List what differs between the images of a cache and those of a dataset, in words.

    Args:
        manifest: Of the cache.
        names: Of the dataset.

    Returns:
        Nothing, or what is missing and what is too much.
    """
    cached = {image[0] for image in manifest['images']}
    wanted = set(names)
    found = []
    for text, some in (
        ('not in the cache', wanted - cached),
        ('only in the cache', cached - wanted),
    ):
        if some:
            first = ', '.join(sorted(some)[:3]) + (', …' if len(some) > 3 else '')
            found.append(f'images: {len(some)} {text} ({first})')
    return found
