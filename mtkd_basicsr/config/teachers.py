"""The entries of ``teachers``, and ``fusion``.

Each kind of teacher is a dataclass derived from :class:`TeacherConfig`, with the keys of its entry,
and is listed in :data:`TEACHER_KINDS`. The teacher itself is built by a class in ``teachers/``.
"""

# `config.parsing` checks values against the annotations, which therefore are plain types without
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

# The network `type` of a folder of images in the manifest of a cache.
IMAGES = 'images'

_Config = TypeVar('_Config', bound='TeacherConfig')


@dataclass(frozen=True)
class Surroundings:
    """The options outside its own entry that the use of a teacher depends on.

    Attributes:
        cache_named: Whether ``datasets.train.target_cache`` is set.
        cache_exists: Whether that cache exists, finished or not. It replaces files that are not on
            this machine.
        fusion_stage: Whether the fusion network is trained. Its validation runs the teachers.
        validated_on: Phase of the first validation or test set; None without one.
    """

    cache_named: bool = False
    cache_exists: bool = False
    fusion_stage: bool = False
    validated_on: str | None = None


class TeacherConfig:
    """Base of all kinds of teachers: one entry of ``teachers``."""

    # The keys that identify this kind.
    own_keys: ClassVar[tuple[str, ...]] = ()
    # Description of an entry of this kind, for messages.
    described_as: ClassVar[str] = ''
    # Whether the teacher is a network that runs here; otherwise its outputs are read from files.
    runs_here: ClassVar[bool] = True

    def resolved(self: _Config, key: str) -> _Config:
        """Return the entry with ``reference:NAME`` replaced by the path of that file.

        Raises:
            OptionError: The package has no such file.
        """
        return self

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Yield the problems with the files of the entry, without reading the files.

        Args:
            key: Option key of the entry, for messages: ``'teachers.edsr'``.
            surroundings: Options of the training that matter here.
        """
        raise NotImplementedError

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return everything that determines the teacher's outputs, for the key of a target cache.

        Args:
            image_names: Names of the ground truths.

        Returns:
            Type and arguments of the network; SHA-256 of its weights or files, None if these are
            not on this machine; the entry of the weights file that is loaded.
        """
        raise NotImplementedError

    def validation_problem(self, key: str, phase: str | None) -> OptionError | None:
        """Return the error that prevents validating stage 1 with this teacher; None without one.

        Args:
            key: Option key of the entry, for messages.
            phase: Phase of the first validation or test set; None without one.
        """
        return None


@dataclass(frozen=True)
class TeacherOptions(TeacherConfig):
    """One entry of ``teachers:``, or ``fusion:``: a network and its weights.

    Attributes:
        network: ``type`` and arguments of a network registered in BasicSR; for a teacher also
            ``{type: Spandrel}``, which infers them from the weights.
        weights: File with the weights; ``reference:edsr_x4``, ``rcan_x4`` and ``swinir_x4``
            come with the package.
        strict: Whether the file and the network must have the same parameter names. Shapes
            must always match.
        param_key: Entry of the file to load; ``~`` is ``params_ema``, else ``params``, else the
            whole file.
    """

    network: dict
    weights: str
    strict: bool = True
    param_key: str | None = None

    own_keys = ('network', 'weights')
    described_as = 'network and weights'

    def resolved(self, key: str) -> 'TeacherOptions':
        """Return the entry with ``reference:NAME`` replaced by the path of that file."""
        return dataclasses.replace(self, weights=weights_file(self.weights, f'{key}.weights'))

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Yield an error if the weights file is missing and no cache replaces it."""
        path = os.path.expanduser(self.weights)
        if not surroundings.cache_exists and not os.path.exists(path):
            yield WeightsError(f"{key}.weights: no file '{path}'")

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return the network, the digest of its weights, and the entry of the file."""
        return to_json_types(self.network), sha256(self.weights), self.param_key


@dataclass(frozen=True)
class FolderOptions(TeacherConfig):
    """One entry of ``teachers:`` that is a folder with the teacher's outputs, by image name.

    Attributes:
        images: Folder with an output for each ground truth of the training, with the same name
            and size; or a path pattern with ``{}`` for the name, such as
            ``'outputs/{}_x4_SR.png'``. Only ``mtkd cache`` reads it.
        val_images: The same for validation and test images; required for stage 1.
    """

    images: str
    val_images: str | None = None

    own_keys = ('images', 'val_images')
    described_as = 'images, a folder of outputs'
    runs_here = False

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Yield errors for a missing cache, missing folders, or missing validation outputs."""
        if not surroundings.cache_named:
            yield OptionError(
                f'{key}.images: images in a folder are used through a cache; set '
                'datasets.train.target_cache, and create the cache with mtkd cache -opt FILE'
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
        """Return an error if there are no outputs for the validation images of stage 1."""
        if phase is None or self.val_images is not None:
            return None
        return self.no_val_images(key, phase)

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return the network type ``images`` and the digest of the folder's listing."""
        folder = ImageFolder(self.images, 'images')
        return {'type': IMAGES}, folder.digest(image_names), None

    @staticmethod
    def no_val_images(key: str, phase: str) -> OptionError:
        """Return the error for a missing ``val_images``."""
        return OptionError(
            f'{key}.val_images: missing; the fusion network is measured on datasets.{phase}, '
            'whose images are not in the cache: set it to the folder with the outputs of the '
            'teacher for them'
        )


# An entry without identifying keys is parsed as the first kind.
TEACHER_KINDS: tuple[type[TeacherConfig], ...] = (TeacherOptions, FolderOptions)


def _kind_of(block: Any, key: str) -> type[TeacherConfig]:
    if not isinstance(block, dict):
        return TEACHER_KINDS[0]
    # Kind -> the first of its keys in the entry.
    found: dict[type[TeacherConfig], str] = {}
    for kind in TEACHER_KINDS:
        keys = [name for name in kind.own_keys if name in block]
        if keys:
            found[kind] = keys[0]
    kinds = list(found)
    if len(kinds) > 1:
        first, second = kinds[:2]
        raise OptionError(
            f"{key}: '{found[second]}' and '{found[first]}'; expected either "
            f'{second.described_as}, or {first.described_as}'
        )
    return kinds[0] if kinds else TEACHER_KINDS[0]


def parse_teacher(block: Any, key: str) -> TeacherConfig:
    """Parse one entry of ``teachers``.

    Args:
        block: The entry in the option file.
        key: Its option key, for messages.

    Returns:
        An instance of one of :data:`TEACHER_KINDS`.

    Raises:
        OptionError: The entry has keys of two kinds, or :func:`parse` refuses it.
    """
    kind: Any = _kind_of(block, key)
    config: TeacherConfig = parse(kind, block, key)
    return config.resolved(key)


def parse_teachers(
    opt: dict[str, Any], errors: ErrorCollector | None = None
) -> dict[str, TeacherConfig]:
    """Parse ``teachers``, preserving the order.

    Args:
        opt: All options.
        errors: Receives the errors; by default the first one is raised.

    Returns:
        The teachers by name, without invalid ones.

    Raises:
        OptionError: There are no teachers, or one of them is invalid.
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
                raise OptionError(f'teachers: the name {name!r} is not a string; put it in quotes')
    # One at a time, so that an invalid entry does not hide errors of the next.
    for name, block in entries.items() if isinstance(entries, dict) else ():
        with errors.collect_errors():
            teachers[name] = parse_teacher(block, f'teachers.{name}')
    return teachers


def parse_fusion(opt: dict[str, Any]) -> TeacherOptions | None:
    """Parse ``fusion``; return None if the option file has none."""
    if opt.get('fusion') is None:
        return None
    return parse(TeacherOptions, opt['fusion'], 'fusion').resolved('fusion')
