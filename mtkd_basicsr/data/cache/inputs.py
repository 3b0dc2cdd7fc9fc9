"""What targets are computed from: networks or folders of images, and the images of a training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...config import PRECOMPUTED_TYPES

_MAX_LISTED = 3


class CachedImage(NamedTuple):
    """One ground truth of a cache.

    Attributes:
        name: Path below the folder of the ground truths, with slashes, or key of an LMDB.
        height: In pixels; 0 where only the name is known.
        width: In pixels; 0 where only the name is known.
    """

    name: str
    height: int = 0
    width: int = 0


@dataclass(frozen=True)
class CacheInput:
    """A network, or a folder of images, that targets are computed from.

    Attributes:
        network: ``type`` and arguments; only ``{type: images}`` for a folder.
        sha256: Digest of the weights, or of the listing of the folder; None where they are not on
            this machine.
        param_key: Entry of the file of weights.
    """

    network: Mapping[str, Any]
    sha256: str | None = None
    param_key: str | None = None

    @classmethod
    def from_manifest(cls, entry: Mapping[str, Any]) -> 'CacheInput':
        """Return an input as a manifest describes it."""
        return cls(entry['network'], entry['sha256'], entry['param_key'])

    def differences(self, wanted: 'CacheInput', key: str) -> Iterator[str]:
        """Yield a text for each difference; a digest that is not known here is none.

        Args:
            wanted: What the option file names.
            key: Where it stands there.
        """
        for name in sorted({*self.network, *wanted.network}):
            there = self.network.get(name)
            asked = wanted.network.get(name)
            if there != asked:
                yield f'{key}.network.{name}: {there!r} in the cache, {asked!r} in the option file'
        if self.param_key != wanted.param_key:
            yield (
                f'{key}.param_key: {self.param_key!r} in the cache, '
                f'{wanted.param_key!r} in the option file'
            )
        if wanted.sha256 is not None and self.sha256 != wanted.sha256:
            kind = wanted.network.get('type')
            precomputed = kind in PRECOMPUTED_TYPES
            what = f'{kind}: other files' if precomputed else 'weights: another file'
            there = 'none' if self.sha256 is None else self.sha256[:12]
            yield f'{key}.{what} (SHA-256 {there} in the cache, {wanted.sha256[:12]} here)'


def teacher_differences(
    cached: Mapping[str, CacheInput], wanted: Mapping[str, CacheInput], others: bool
) -> Iterator[str]:
    """Yield a text for each difference between teachers. Their order is none.

    Args:
        cached: Those of the cache, by name.
        wanted: Those that are asked for.
        others: Whether more teachers in the cache are a difference.
    """
    missing = set(wanted) - set(cached)
    more = set(cached) - set(wanted) if others else set()
    for name in sorted(missing | more):
        yield f'teachers.{name}: {"not in the cache" if name in missing else "only in the cache"}'
    for name, teacher in wanted.items():
        if name in cached:
            yield from cached[name].differences(teacher, f'teachers.{name}')


def name_differences(cached: Sequence[CachedImage], wanted: Sequence[CachedImage]) -> Iterator[str]:
    """Yield what images are missing in a cache, and what are too many."""
    there = {image.name for image in cached}
    asked = {image.name for image in wanted}
    for text, names in (('not in the cache', asked - there), ('only in the cache', there - asked)):
        if names:
            yield f'images: {len(names)} {text} ({_first(sorted(names))})'


def size_differences(cached: Sequence[CachedImage], wanted: Sequence[CachedImage]) -> Iterator[str]:
    """Yield what images had another size when they were cached."""
    images = {image.name: image for image in cached}
    changed = [image.name for image in wanted if images.get(image.name, image) != image]
    if changed:
        yield f'images: {len(changed)} of another size in the cache ({_first(changed)})'


def order_differences(
    cached: Sequence[CachedImage], wanted: Sequence[CachedImage]
) -> Iterator[str]:
    """Yield a text if the same images have other numbers in a cache."""
    there = [image.name for image in cached]
    asked = [image.name for image in wanted]
    if there != asked and sorted(there) == sorted(asked):
        yield 'images: in another order in the cache'


def _first(names: list[str]) -> str:
    return ', '.join(names[:_MAX_LISTED]) + (', …' if len(names) > _MAX_LISTED else '')
