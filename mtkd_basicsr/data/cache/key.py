"""The key of a target cache: what identifies it, and which differences matter for which use.

This module is the only definition of "the same cache". All code that compares a cache with the
requirements of a use (resuming, keeping, training or reading) calls :meth:`CacheKey.differences`,
and :data:`KEYS` declares which parts of the key matter for that use. Contents of images are no part
of the key: ``sources.py`` compares them.

To add a setting: give :class:`CacheSettings` a field, whose default describes older caches, add a
row to :data:`KEYS`, and set the field where caches are created (``commands/cache/``). A setting
matters for ``RESUME`` and ``KEEP``, because a training does not say how its targets are computed;
what matters for a training is a field of :class:`CacheKey`.
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
    teacher_order_differences,
)

# Of new caches: images in strips (see layout.py). In format 1 they are stored row by row.
FORMAT = 2
READABLE = (1, FORMAT)


class Use(enum.Flag):
    """The use for which a cache is compared with a key.

    Attributes:
        RESUME: Complete an unfinished cache.
        KEEP: Keep a complete cache instead of writing it again.
        TRAIN: Use a complete cache instead of the teachers of a training.
        READ: Read the crops of a dataset from a complete cache.
        NOWHERE: No use: the part is only recorded.
        EVERYWHERE: All uses.
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
    """The settings with which targets are computed.

    The defaults describe caches that do not record a setting.

    Attributes:
        self_ensemble: Whether targets are averaged over eight flips and rotations.
        precision: ``'fp32'`` or ``'bf16'``; None if not recorded.
        tile: Height and width of tiles, in low-resolution pixels; None for whole images.
        tile_overlap: Overlap of neighbouring tiles, in low-resolution pixels.
        outputs_from: Settings of the cache whose outputs, rounded to 8 bits, were fused; None if
            the teachers ran.
        batch_pixels: Low-resolution pixels that were computed at once, which images of one size
            share: floating-point sums depend on it. It is not compared: an existing cache keeps
            its own.
        unknown: Settings of other versions, by name.
    """

    self_ensemble: bool = False
    precision: str | None = None
    tile: int | None = None
    tile_overlap: int = 32
    outputs_from: Mapping[str, Any] | None = None
    batch_pixels: int = 1
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
        """Return the names of the settings known to this version."""
        return [field.name for field in dataclasses.fields(cls) if field.name != 'unknown']

    def to_manifest(self) -> dict[str, Any]:
        """Return the block ``made_with`` of a manifest.

        A setting newer than 0.1.0 is left out if it has its default, so that manifests of older
        caches stay the same.
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
    """The properties that identify a cache.

    Attributes:
        contents: ``'target'`` (the fused image), or ``'teachers'`` (the output of each).
        scale: Factor between low-resolution images and ground truths.
        teachers: Teachers by name, in the order of the option file; sorted if read from a cache.
        fusion: The fusion network of ``'target'``; None for ``'teachers'``.
        images: The ground truths, in the order of the cache.
        settings: Settings with which the targets are computed.
        version: Version of the package that started the cache.
        format: Format of the cache. If it is not in :data:`READABLE`, the other fields are unknown.
        teacher_order: Names of the teachers in the order in which they are fused, if the fusion
            network does not know it and that of the option file is used; None otherwise, and of
            caches of version 0.1.0.
    """

    contents: CacheContents
    scale: int
    teachers: Mapping[str, CacheInput] = field(default_factory=dict)
    fusion: CacheInput | None = None
    images: tuple[CachedImage, ...] = ()
    settings: CacheSettings = field(default_factory=CacheSettings)
    version: str | None = None
    format: int = FORMAT
    teacher_order: tuple[str, ...] | None = None

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> 'CacheKey':
        """Parse the key of a cache from its manifest.

        Raises:
            KeyError, TypeError, ValueError: The mapping is not the manifest of a target cache.
        """
        if manifest['format'] not in READABLE:
            return cls('target', 0, format=manifest['format'])
        fusion = manifest['fusion']
        order = manifest.get('teacher_order')
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
            format=manifest['format'],
            teacher_order=None if order is None else tuple(order),
        )

    def to_manifest(self) -> dict[str, Any]:
        """Return the manifest of a cache with this key, as JSON types."""
        order = {} if self.teacher_order is None else {'teacher_order': list(self.teacher_order)}
        return {
            'format': self.format,
            'version': self.version,
            'scale': self.scale,
            'what': self.contents,
            'teachers': {name: teacher.to_manifest() for name, teacher in self.teachers.items()},
            'fusion': None if self.fusion is None else self.fusion.to_manifest(),
            'images': [list(image) for image in self.images],
            'made_with': self.settings.to_manifest(),
            **order,
        }

    def differences(self, wanted: 'CacheKey', use: Use) -> list[str]:
        """List the differences between this cache and a required key.

        Weights and folders that are not on this machine are not compared.

        Args:
            wanted: The required key. A use that knows only some of its parts takes the others from
                the cache (``dataclasses.replace``).
            use: The use of the cache, which determines the parts that must be equal.

        Returns:
            One description per difference, naming the option key; empty if the cache matches.
        """
        if self.format not in READABLE:
            known = ' and '.join(map(str, READABLE))
            return [f'format: {self.format} in the cache, but this version reads {known}']
        found: list[str] = []
        for row in KEYS:
            if row.decides & use:
                found += row.differences(self, wanted, use)
        return found


def _compare_scale(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    if cached.scale != wanted.scale:
        yield f'scale: {cached.scale} in the cache, {wanted.scale} in the option file'


def _compare_contents(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    if cached.contents != wanted.contents:
        yield f'what: {cached.contents} in the cache, {wanted.contents} in the option file'


def _compare_teachers(cached: CacheKey, wanted: CacheKey, use: Use) -> Iterator[str]:
    if cached.contents != wanted.contents:
        return  # the teachers of other contents are not comparable
    # A fused target depends on every teacher. If each teacher has its own output, additional ones
    # are harmless in a complete cache, but an unfinished cache would be completed without them.
    refuse_others = wanted.contents == 'target' or use is Use.RESUME
    yield from teacher_differences(cached.teachers, wanted.teachers, refuse_others)


def _compare_fusion(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    if cached.contents == wanted.contents and cached.fusion and wanted.fusion:
        yield from cached.fusion.differences(wanted.fusion, 'fusion')


def _compare_teacher_order(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    if cached.teacher_order is not None and wanted.teacher_order is not None:
        yield from teacher_order_differences(cached.teacher_order, wanted.teacher_order)


def _compare_images(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    return name_differences(cached.images, wanted.images)


def _compare_image_sizes(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    return size_differences(cached.images, wanted.images)


def _compare_image_order(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    return order_differences(cached.images, wanted.images)


def _compare_setting(name: str) -> '_Compare':
    """Return a function that compares one setting."""

    def differences(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
        cached_value = getattr(cached.settings, name)
        wanted_value = getattr(wanted.settings, name)
        if cached_value != wanted_value:
            yield f'{name}: {cached_value!r} in the cache, {wanted_value!r} requested'

    return differences


def _compare_unknown(cached: CacheKey, wanted: CacheKey, _: Use) -> Iterator[str]:
    for name, value in cached.settings.unknown.items():
        if name not in wanted.settings.unknown:
            yield f'{name}: {value!r} in the cache, a setting that this version does not know'


def _never(*_: object) -> Iterator[str]:
    return iter(())


_Compare = Callable[[CacheKey, CacheKey, Use], Iterator[str]]


class KeyPart(NamedTuple):
    """One part of the key.

    Attributes:
        name: Name of the part.
        decides: Uses of a cache that a difference in this part prevents.
        differences: Function (cached, wanted, use) -> descriptions of the differences.
        options: Option keys that determine the part. ``mtkd compare`` recognises finished caches by
            their values, so adding a key here makes it repeat finished caches.
    """

    name: str
    decides: Use
    differences: _Compare
    options: tuple[str, ...] = ()


_TRAIN = 'datasets.train.'
_WRITE = Use.RESUME | Use.KEEP
# The format is compared first, in CacheKey.differences.
KEYS = (
    KeyPart('scale', Use.EVERYWHERE, _compare_scale, ('scale',)),
    KeyPart('contents', _WRITE | Use.TRAIN, _compare_contents),
    KeyPart('teachers', _WRITE | Use.TRAIN, _compare_teachers, ('teachers',)),
    KeyPart('fusion', _WRITE | Use.TRAIN, _compare_fusion, ('fusion',)),
    KeyPart('teacher_order', _WRITE | Use.TRAIN, _compare_teacher_order),
    KeyPart(
        'images',
        _WRITE | Use.READ,
        _compare_images,
        (f'{_TRAIN}dataroot_gt', f'{_TRAIN}dataroot_lq', f'{_TRAIN}filename_tmpl'),
    ),
    KeyPart('image sizes', _WRITE, _compare_image_sizes),
    KeyPart('image order', Use.RESUME, _compare_image_order),
    KeyPart('self_ensemble', _WRITE, _compare_setting('self_ensemble')),
    KeyPart('precision', _WRITE, _compare_setting('precision')),
    KeyPart('tile', _WRITE, _compare_setting('tile')),
    KeyPart('tile_overlap', _WRITE, _compare_setting('tile_overlap')),
    KeyPart('outputs_from', _WRITE, _compare_setting('outputs_from')),
    KeyPart('batch_pixels', Use.NOWHERE, _never),
    KeyPart('unknown settings', _WRITE, _compare_unknown),
    KeyPart('version', Use.NOWHERE, _never),
)


def option_keys(block: str = '') -> list[str]:
    """Return the option keys on which a cache depends.

    Args:
        block: ``''`` for top-level keys, or a block such as ``'datasets.train'``.
    """
    found = []
    for part in KEYS:
        for option in part.options:
            parent, _, key = option.rpartition('.')
            if parent == block:
                found.append(key)
    return found
