"""The inputs of a cache: networks or folders of images, and the images of a training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Number of images that a message names.
_MAX_LISTED = 3


class CachedImage(NamedTuple):
    """One ground truth of a cache.

    Attributes:
        name: Path relative to the folder of the ground truths, with slashes, or key of an LMDB.
        height: Height in pixels; 0 if only the name is known.
        width: Width in pixels; 0 if only the name is known.
    """

    name: str
    height: int = 0
    width: int = 0


@dataclass(frozen=True)
class CacheInput:
    """A network, or a folder of images, from which targets are computed.

    Attributes:
        network: ``type`` and arguments; for a folder ``{type: images}``; empty for the network that
            the weights record.
        sha256: Digest of the weights, or of the listing of the folder; None if they are not on this
            machine.
        param_key: Entry of the weights file.
        is_folder: Whether it is a folder; for messages, and not in the manifest.
    """

    network: Mapping[str, Any]
    sha256: str | None = None
    param_key: str | None = None
    is_folder: bool = field(default=False, compare=False)

    @classmethod
    def from_manifest(cls, entry: Mapping[str, Any]) -> 'CacheInput':
        """Return an input as a manifest describes it."""
        return cls(entry['network'], entry['sha256'], entry['param_key'])

    def to_manifest(self) -> dict[str, Any]:
        """Return the input as a manifest describes it."""
        return {'network': self.network, 'sha256': self.sha256, 'param_key': self.param_key}

    def differences(self, wanted: 'CacheInput', key: str) -> Iterator[str]:
        """Yield a description of each difference. An unknown digest of ``wanted`` is not compared.

        Args:
            wanted: The input in the option file.
            key: Its option key.
        """
        # An entry without a network uses the one that the file records: then the digest decides.
        both_named = self.network and wanted.network
        for name in sorted({*self.network, *wanted.network}) if both_named else ():
            cached = self.network.get(name)
            required = wanted.network.get(name)
            if cached != required:
                yield (
                    f'{key}.network.{name}: {cached!r} in the cache, {required!r} in the option '
                    'file'
                )
        if self.param_key != wanted.param_key:
            yield (
                f'{key}.param_key: {self.param_key!r} in the cache, '
                f'{wanted.param_key!r} in the option file'
            )
        if wanted.sha256 is not None and self.sha256 != wanted.sha256:
            text = 'weights: another file'
            if wanted.is_folder:
                text = f'{wanted.network["type"]}: other files'
            cached = 'none' if self.sha256 is None else self.sha256[:12]
            yield f'{key}.{text} (SHA-256 {cached} in the cache, {wanted.sha256[:12]} here)'


def teacher_differences(
    cached: Mapping[str, CacheInput], wanted: Mapping[str, CacheInput], refuse_others: bool
) -> Iterator[str]:
    """Yield a description of each difference between teachers, regardless of their order; see
    :func:`teacher_order_differences`.

    Args:
        cached: Teachers of the cache, by name.
        wanted: Teachers of the option file, by name.
        refuse_others: Whether additional teachers in the cache are a difference.
    """
    missing = set(wanted) - set(cached)
    additional = set(cached) - set(wanted) if refuse_others else set()
    for name in sorted(missing | additional):
        where = 'not in the cache' if name in missing else 'only in the cache'
        yield f'teachers.{name}: {where}'
    for name, teacher in wanted.items():
        if name in cached:
            yield from cached[name].differences(teacher, f'teachers.{name}')


def teacher_order_differences(cached: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    """Yield a description if the same teachers were fused in another order.

    Args:
        cached: Names of the teachers of the cache, in the order of their fusion.
        wanted: The same of the option file.
    """
    if tuple(cached) != tuple(wanted) and sorted(cached) == sorted(wanted):
        yield (
            f'teachers: {", ".join(cached)} in the cache, {", ".join(wanted)} in the option file; '
            'their order matters, because the fusion network does not name its teachers'
        )


def name_differences(cached: Sequence[CachedImage], wanted: Sequence[CachedImage]) -> Iterator[str]:
    """Yield a description of the images that are missing from a cache, or additional in it."""
    cached_names = {image.name for image in cached}
    wanted_names = {image.name for image in wanted}
    missing = sorted(wanted_names - cached_names)
    if missing:
        yield f'images: {len(missing)} not in the cache ({_list_first(missing)})'
    additional = sorted(cached_names - wanted_names)
    if additional:
        yield f'images: {len(additional)} only in the cache ({_list_first(additional)})'


def size_differences(cached: Sequence[CachedImage], wanted: Sequence[CachedImage]) -> Iterator[str]:
    """Yield a description of the images that have another size in the cache."""
    by_name = {image.name: image for image in cached}
    changed = [image.name for image in wanted if by_name.get(image.name, image) != image]
    if changed:
        yield f'images: {len(changed)} of another size in the cache ({_list_first(changed)})'


def order_differences(
    cached: Sequence[CachedImage], wanted: Sequence[CachedImage]
) -> Iterator[str]:
    """Yield a description if the same images have another order in the cache."""
    cached_names = [image.name for image in cached]
    wanted_names = [image.name for image in wanted]
    if cached_names != wanted_names and sorted(cached_names) == sorted(wanted_names):
        yield 'images: in another order in the cache'


def _list_first(names: list[str]) -> str:
    return ', '.join(names[:_MAX_LISTED]) + (', …' if len(names) > _MAX_LISTED else '')
