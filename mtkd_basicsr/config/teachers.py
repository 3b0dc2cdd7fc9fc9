"""The entries of ``teachers``, and ``fusion``.

A kind of teacher is a dataclass with the keys of its entry, derived from :class:`TeacherConfig`,
and a place in :data:`TEACHER_KINDS`; ``teachers/`` has the class that it is built as.
"""

# `config.parsing` compares values with the annotations of the fields: plain types, without
# parameters.
# mypy: disable-error-code="type-arg"

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from ..errors import MTKDError, OptionError, WeightsError
from ..utils.digest import sha256
from ..utils.image_folder import ImageFolder
from ..utils.json_types import to_json_types
from ..utils.resources import weights_file
from .collecting import ErrorCollector, RaiseFirst
from .parsing import parse

# The `type` of a teacher that is a folder, in the manifest of a cache.
IMAGES = 'images'

_Config = TypeVar('_Config', bound='TeacherConfig')


@dataclass(frozen=True)
class Surroundings:
    """What the use of a teacher depends on beside its own entry.

    Attributes:
        cache_named: Whether ``datasets.train.target_cache`` is set.
        cache_exists: Whether that cache is there, finished or not: it stands in for files that are
            not on this machine.
        fusion_stage: Whether the fusion network is trained, which validation runs the teachers for.
        validated_on: Phase of the first dataset that is measured on; None without one.
    """

    cache_named: bool = False
    cache_exists: bool = False
    fusion_stage: bool = False
    validated_on: str | None = None


class TeacherConfig:
    """Base of the kinds of teachers: one entry of ``teachers``."""

    # The keys that only this kind has.
    own_keys: ClassVar[tuple[str, ...]] = ()
    # What an entry of this kind is, for messages.
    described_as: ClassVar[str] = ''
    # Whether its network runs here; else its outputs lie in files, by the names of the images.
    runs_here: ClassVar[bool] = True

    def resolved(self: _Config, key: str) -> _Config:
        """Return the entry with the paths of files that come with the package in it.

        Raises:
            OptionError: The package has no such file.
        """
        return self

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Iterate over what is wrong with the files of the entry; nothing of them is read.

        Args:
            key: Where the entry stands, for messages: ``'teachers.edsr'``.
            surroundings: Of the training.
        """
        raise NotImplementedError

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return what the outputs of the teacher depend on, for the key of a target cache.

        Args:
            image_names: Of the ground truths.

        Returns:
            Type and arguments of the network; SHA-256 of its weights or files, None where these are
            not on this machine; the entry of the file with the weights that is taken.
        """
        raise NotImplementedError

    def validation_problem(self, key: str, phase: str | None) -> OptionError | None:
        """Return what keeps stage 1 from being measured with it; None if nothing does.

        Args:
            key: Where the entry stands, for messages.
            phase: Of the first dataset that is measured on; None without one.
        """
        return None


@dataclass(frozen=True)
class TeacherOptions(TeacherConfig):
    """One entry of ``teachers:``, or ``fusion:``: a network and its weights.

    Attributes:
        network: ``type`` and arguments of a network that BasicSR knows; for a teacher also
            ``{type: Spandrel}``, which reads them off the weights.
        weights: File with its weights; ``reference:edsr_x4``, ``rcan_x4`` and ``swinir_x4``
            come with the package.
        strict: Names in the file and in the network have to be the same. Shapes have to in any
            case.
        param_key: Which entry of the file; ``~`` takes ``params_ema``, else ``params``, else
            the file itself.
    """

    network: dict
    weights: str
    strict: bool = True
    param_key: str | None = None

    own_keys = ('network', 'weights')
    described_as = 'network and weights'

    def resolved(self, key: str) -> 'TeacherOptions':
        """Return the entry with the path of ``reference:NAME`` in the place of the name."""
        return dataclasses.replace(self, weights=weights_file(self.weights, f'{key}.weights'))

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Look for the file with the weights, which a cache can stand in for."""
        path = os.path.expanduser(self.weights)
        if not surroundings.cache_exists and not os.path.exists(path):
            yield WeightsError(f"{key}.weights: no file '{path}'")

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return the network, the digest of its weights, and which entry of the file is taken."""
        return to_json_types(self.network), sha256(self.weights), self.param_key


@dataclass(frozen=True)
class FolderOptions(TeacherConfig):
    """One entry of ``teachers:`` that is not a network here: what it has made of the images, by
    their names.

    Attributes:
        images: Folder with an image for each ground truth of the training, of its name and
            size; or a pattern of files with ``{}`` in the place of the name,
            ``'outputs/{}_x4_SR.png'``. Used by ``mtkd cache`` alone.
        val_images: The same for the images of validation and testing; stage 1 needs it.
    """

    images: str
    val_images: str | None = None

    own_keys = ('images', 'val_images')
    described_as = 'images, a folder of outputs'
    runs_here = False

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Look for a cache, the folders, and images for the validations of stage 1."""
        if not surroundings.cache_named:
            yield OptionError(
                f'{key}.images: images in a folder are used through a cache; set '
                'datasets.train.target_cache, and make it with mtkd cache -opt FILE'
            )
        for name, path in (('images', self.images), ('val_images', self.val_images)):
            if path is None or surroundings.cache_exists:
                continue
            folder = ImageFolder(path, key)
            if not folder.exists():
                yield OptionError(f"{key}.{name}: no folder '{folder.root}'")
        missing = self.validation_problem(key, surroundings.validated_on)
        if surroundings.fusion_stage and missing is not None:
            yield missing

    def validation_problem(self, key: str, phase: str | None) -> OptionError | None:
        """Return the error for a stage 1 that is measured on images which have no outputs."""
        if phase is None or self.val_images is not None:
            return None
        return self.no_val_images(key, phase)

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return ``images`` as the type of network, and the digest of the folder's listing."""
        folder = ImageFolder(self.images, 'images')
        return {'type': IMAGES}, folder.digest(image_names), None

    @staticmethod
    def no_val_images(key: str, phase: str) -> OptionError:
        """Return the error for a stage 1 that is measured on images the folder has not."""
        return OptionError(
            f'{key}.val_images: missing; the fusion network is measured on datasets.{phase}, '
            'whose images are no part of the cache: give the folder of what the teacher makes of '
            'them'
        )


# In the order in which they are tried; an entry with keys of none of them is one of the first.
TEACHER_KINDS: tuple[type[TeacherConfig], ...] = (TeacherOptions, FolderOptions)


def _kind_of(block: Any, key: str) -> type[TeacherConfig]:
    if not isinstance(block, dict):
        return TEACHER_KINDS[0]
    found = []
    for kind in TEACHER_KINDS:
        keys = [name for name in kind.own_keys if name in block]
        if keys:
            found.append((kind, keys[0]))
    if len(found) > 1:
        (second, second_key), (first, first_key) = found[1], found[0]
        raise OptionError(
            f"{key}: '{second_key}' and '{first_key}'; expected either {second.described_as}, or "
            f'{first.described_as}'
        )
    return found[0][0] if found else TEACHER_KINDS[0]


def parse_teacher(block: Any, key: str) -> TeacherConfig:
    """Parse one entry of ``teachers``.

    Args:
        block: What stands in the option file.
        key: Where it stands, for messages.

    Returns:
        An instance of one of :data:`TEACHER_KINDS`.

    Raises:
        OptionError: As :func:`parse`, or keys of two kinds in one entry.
    """
    kind: Any = _kind_of(block, key)
    config: TeacherConfig = parse(kind, block, key)
    return config.resolved(key)


def parse_teachers(
    opt: dict[str, Any], errors: ErrorCollector | None = None
) -> dict[str, TeacherConfig]:
    """Parse ``teachers``, in its order.

    Args:
        opt: All options.
        errors: Takes the errors; by default the first one is raised.

    Returns:
        The teachers by name; without those that were wrong.

    Raises:
        OptionError: No teachers, or something is wrong with one of them.
    """
    errors = RaiseFirst() if errors is None else errors
    entries = opt.get('teachers')
    teachers: dict[str, TeacherConfig] = {}
    with errors.collect_errors():
        if not isinstance(entries, dict) or not entries:
            raise OptionError(
                f'teachers: {entries!r}; expected a mapping of names to a network and its weights, '
                'for example {edsr: {network: {type: EDSR, ...}, weights: edsr.pth}}'
            )
        for name in entries:
            if not isinstance(name, str):
                raise OptionError(f'teachers: the name {name!r} is not a text; put it in quotes')
    # One by one, so that one that is wrong does not hide the next.
    for name, block in entries.items() if isinstance(entries, dict) else ():
        with errors.collect_errors():
            teachers[name] = parse_teacher(block, f'teachers.{name}')
    return teachers


def parse_fusion(opt: dict[str, Any]) -> TeacherOptions | None:
    """Parse ``fusion``; return None where the option file has none."""
    if opt.get('fusion') is None:
        return None
    return parse(TeacherOptions, opt['fusion'], 'fusion').resolved('fusion')
