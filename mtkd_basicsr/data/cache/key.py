"""The key of a target cache: what identifies it, and where a difference in it decides.

This module is the only definition of "the same cache". Whatever compares a cache with a demand,
whether it is to be resumed, kept, trained from or read, calls :meth:`CacheKey.differences`, and
:data:`KEYS` declares which parts of the key decide there.

To add a setting: give :class:`CacheSettings` a field whose default is what older caches were made
with, add a row to :data:`KEYS`, and set the field where the cache is made (``commands/cache/``). A
setting decides for ``RESUME`` and ``KEEP``, because a training does not say how its targets are to
be computed; what has to decide there is a field of :class:`CacheKey`.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...utils.choices import CacheContents
from .inputs import (
    CachedImage,
    CacheInput,
    name_differences,
    order_differences,
    size_differences,
    teacher_differences,
)

FORMAT = 1


class Use(enum.Flag):
    """What a cache is compared for.

    Attributes:
        RESUME: An unfinished cache is completed.
        KEEP: A complete cache need not be written again.
        TRAIN: A complete cache stands in for the teachers of a training.
        READ: A dataset cuts its crops out of a complete cache.
        NOWHERE: Only recorded, for people to read.
        EVERYWHERE: All of them.
    """

    NOWHERE = 0
    RESUME = enum.auto()
    KEEP = enum.auto()
    TRAIN = enum.auto()
    READ = enum.auto()
    EVERYWHERE = RESUME | KEEP | TRAIN | READ


# The settings of version 0.1.0, which expects them in every manifest.
_ALWAYS_RECORDED = ('self_ensemble', 'precision', 'tile', 'tile_overlap')


@dataclass(frozen=True)
class CacheSettings:
    """How the targets are computed.

    Defaults are what caches were made with that do not record a setting.

    Attributes:
        self_ensemble: Whether targets are means over eight flips and rotations.
        precision: ``'fp32'`` or ``'bf16'``; None where it was not recorded.
        tile: Height and width of tiles, in low-resolution pixels; None for whole images.
        tile_overlap: Low-resolution pixels that neighbouring tiles share.
        unknown: Settings of another version, by name.
    """

    self_ensemble: bool = False
    precision: str | None = None
    tile: int | None = None
    tile_overlap: int = 32
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_manifest(cls, made_with: Mapping[str, Any]) -> 'CacheSettings':
        """Return settings as a manifest records them in ``made_with``."""
        names = cls.names()
        known = {name: value for name, value in made_with.items() if name in names}
        unknown = {name: value for name, value in made_with.items() if name not in names}
        return cls(**known, unknown=unknown)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the settings that this version knows."""
        return [part.name for part in dataclasses.fields(cls) if part.name != 'unknown']

    def to_manifest(self) -> dict[str, Any]:
        """Return what a manifest records in ``made_with``.

        A later setting is left out where it has its default: that is what a manifest without it
        says, and manifests of older caches stay what they are.
        """
        recorded = {}
        for part in dataclasses.fields(self):
            value = getattr(self, part.name)
            if part.name in _ALWAYS_RECORDED or value != part.default:
                recorded[part.name] = value
        del recorded['unknown']
        return {**recorded, **self.unknown}


@dataclass(frozen=True)
class CacheKey:
    """What identifies a cache.

    Attributes:
        contents: ``'target'`` (the fused image), or ``'teachers'`` (the output of each).
        scale: Factor between low-resolution images and ground truths.
        teachers: By name, in the order of the option file, or sorted if read from a cache.
        fusion: The fusion network of ``'target'``; None for ``'teachers'``.
        images: The ground truths, in their order in the cache.
        settings: How the targets are computed.
        version: Of the plug-in that began the cache.
        format: Of the manifest; of another one than :data:`FORMAT` nothing else is known.
    """

    contents: CacheContents
    scale: int
    teachers: Mapping[str, CacheInput] = field(default_factory=dict)
    fusion: CacheInput | None = None
    images: tuple[CachedImage, ...] = ()
    settings: CacheSettings = field(default_factory=CacheSettings)
    version: str | None = None
    format: int = FORMAT

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> 'CacheKey':
        """Return the key that a manifest describes.

        Raises:
            KeyError, TypeError, ValueError: it is not the manifest of a target cache.
        """
        if manifest['format'] != FORMAT:
            return cls('target', 0, format=manifest['format'])
        fusion = manifest['fusion']
        return cls(
            contents=manifest['what'],
            scale=manifest['scale'],
            teachers={
                name: CacheInput.from_manifest(block)
                for name, block in manifest['teachers'].items()
            },
            fusion=None if fusion is None else CacheInput.from_manifest(fusion),
            images=tuple(CachedImage(*image) for image in manifest['images']),
            settings=CacheSettings.from_manifest(manifest['made_with']),
            version=manifest.get('version'),
        )

    def to_manifest(self) -> dict[str, Any]:
        """Return the manifest of a cache with this key, for JSON."""
        return {
            'format': self.format,
            'version': self.version,
            'scale': self.scale,
            'what': self.contents,
            'teachers': {name: dataclasses.asdict(part) for name, part in self.teachers.items()},
            'fusion': None if self.fusion is None else dataclasses.asdict(self.fusion),
            'images': [list(image) for image in self.images],
            'made_with': self.settings.to_manifest(),
        }

    def differences(self, wanted: 'CacheKey', use: Use) -> list[str]:
        """List the differences between this cache and the one that is asked for.

        Weights and folders that are not on this machine cannot be compared, and are not.

        Args:
            wanted: What is asked for. Where a use knows only a part of it, the rest is that of the
                cache (``dataclasses.replace``).
            use: What the cache is for, which decides which parts have to be equal.

        Returns:
            One text for each difference, naming the option key; empty if the cache fits.
        """
        if self.format != FORMAT:
            return [f'format: {self.format} in the cache, this version reads {FORMAT}']
        found: list[str] = []
        for row in KEYS:
            if row.decides & use:
                found += row.differences(self, wanted, use)
        return found


def _scale(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    if cached.scale != wanted.scale:
        yield f'scale: {cached.scale} in the cache, {wanted.scale} in the option file'


def _contents(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    if cached.contents != wanted.contents:
        yield f'what: {cached.contents} in the cache, {wanted.contents} in the option file'


def _teachers(cached: CacheKey, wanted: CacheKey, use: Use) -> Iterator[str]:
    if cached.contents != wanted.contents:
        return  # the inputs of something else say nothing more
    # A fused target depends on every teacher. Where each has its own output, those of others do no
    # harm in a complete cache; an unfinished one would be completed without them.
    others = wanted.contents == 'target' or use is Use.RESUME
    yield from teacher_differences(cached.teachers, wanted.teachers, others)


def _fusion(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    if cached.contents == wanted.contents and cached.fusion and wanted.fusion:
        yield from cached.fusion.differences(wanted.fusion, 'fusion')


def _images(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    return name_differences(cached.images, wanted.images)


def _image_sizes(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    return size_differences(cached.images, wanted.images)


def _image_order(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    return order_differences(cached.images, wanted.images)


def _setting(name: str) -> '_Compare':
    def differences(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
        there = getattr(cached.settings, name)
        asked = getattr(wanted.settings, name)
        if there != asked:
            yield f'{name}: {there!r} in the cache, {asked!r} asked for'

    return differences


def _unknown(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    for name, value in cached.settings.unknown.items():
        if name not in wanted.settings.unknown:
            yield f'{name}: {value!r} in the cache, a setting that this version does not know'


def _never(*_: object) -> Iterator[str]:
    return iter(())


_Compare = Callable[[CacheKey, CacheKey, Use], Iterator[str]]


class KeyPart(NamedTuple):
    """One part of the key.

    Attributes:
        name: For people.
        decides: The uses of a cache that a difference in it prevents.
        differences: Yields a text for each difference: (cached, wanted, use) -> texts.
        options: The keys of an option file that it comes from. ``mtkd compare`` recognises finished
            caches by them: another one here makes it do these again.
    """

    name: str
    decides: Use
    differences: _Compare
    options: tuple[str, ...] = ()


_TRAIN = 'datasets.train.'
_WRITE = Use.RESUME | Use.KEEP
# The format is compared before all of them.
KEYS = (
    KeyPart('scale', Use.EVERYWHERE, _scale, ('scale',)),
    KeyPart('contents', _WRITE | Use.TRAIN, _contents),
    KeyPart('teachers', _WRITE | Use.TRAIN, _teachers, ('teachers',)),
    KeyPart('fusion', _WRITE | Use.TRAIN, _fusion, ('fusion',)),
    KeyPart(
        'images',
        _WRITE | Use.READ,
        _images,
        (f'{_TRAIN}dataroot_gt', f'{_TRAIN}dataroot_lq', f'{_TRAIN}filename_tmpl'),
    ),
    KeyPart('image sizes', _WRITE, _image_sizes),
    KeyPart('image order', Use.RESUME, _image_order),
    KeyPart('self_ensemble', _WRITE, _setting('self_ensemble')),
    KeyPart('precision', _WRITE, _setting('precision')),
    KeyPart('tile', _WRITE, _setting('tile')),
    KeyPart('tile_overlap', _WRITE, _setting('tile_overlap')),
    KeyPart('unknown settings', _WRITE, _unknown),
    KeyPart('version', Use.NOWHERE, _never),
)


def option_keys(block: str = '') -> list[str]:
    """Return the keys of an option file that a cache depends on.

    Args:
        block: ``''`` for those at the top, ``'datasets.train'`` for those in this block.
    """
    found = []
    for part in KEYS:
        for option in part.options:
            above, _, key = option.rpartition('.')
            if above == block:
                found.append(key)
    return found
