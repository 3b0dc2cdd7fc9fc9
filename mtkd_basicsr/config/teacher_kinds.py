"""The kinds of teachers: what an entry of ``teachers`` can be.

A kind is a dataclass with the keys of its entry, derived from :class:`TeacherConfig` or, if its
outputs lie in files, from :class:`PrecomputedConfig`, and a place in :data:`TEACHER_KINDS`.
The class that it is built as, in ``teachers/``, registers for it.
"""

# `config.parsing` compares values with the annotations of the fields: plain types, without
# parameters.
# mypy: disable-error-code="type-arg"

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import MTKDError, OptionError, WeightsError
from ..utils.digest import sha256
from ..utils.json_types import to_json_types
from ..utils.output_files import OutputFiles
from ..utils.paths import expanded

# The file extensions of images that are looked for, in this order.
_IMAGE_ENDINGS = (
    '.png',
    '.PNG',
    '.bmp',
    '.BMP',
    '.tif',
    '.tiff',
    '.webp',
    '.jpg',
    '.jpeg',
    '.JPG',
    '.JPEG',
)


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
    # What a teacher of this kind is, for docs/options.md.
    noun: ClassVar[str] = ''
    # Whether the teacher is a network that runs here; otherwise its outputs are read from files.
    runs_here: ClassVar[bool] = True

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

    def cannot_run(self, key: str) -> OptionError:
        """Return the error for a use that needs a network, if this kind is none.

        Args:
            key: Option key of the entry, for messages.
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
        weights: File with the weights; ``reference:edsr_x4``, ``rcan_x4``, ``swinir_x4`` and
            students come with the package.
        network: ``type`` and arguments of a network registered in BasicSR; for a teacher also
            ``{type: Spandrel}``, which infers them from the weights. ``~`` is the network that the
            file records, as the reference teachers and checkpoints of students do; for a teacher
            also one that spandrel recognizes.
        strict: Whether the file and the network must have the same parameter names; otherwise at
            least half of the network's must be in the file. Shapes must always match.
        param_key: Entry of the file to load; ``~`` is ``params_ema``, else ``params``, else the
            whole file, else its only entry that is a state dict.
    """

    weights: str
    network: dict | None = None
    strict: bool = True
    param_key: str | None = None

    own_keys = ('network', 'weights')
    described_as = 'network and weights'
    noun = 'a network'

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Yield an error if the weights file is missing and no cache replaces it."""
        path = expanded(self.weights)
        # Validations of stage 1 run the teachers; a cache has the outputs for training images.
        is_validated = surroundings.fusion_stage and surroundings.validated_on is not None
        is_used = is_validated or not surroundings.cache_exists
        if is_used and not os.path.exists(path):
            yield WeightsError(f"{key}.weights: no file '{path}'")

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return the network, the digest of its weights, and the entry of the file.

        The network is empty if the file records it.
        """
        # A network that the file records needs no comparison besides that of the file.
        network = {} if self.network is None else to_json_types(self.network)
        return network, sha256(expanded(self.weights)), self.param_key


class PrecomputedConfig(TeacherConfig):
    """Base of the kinds whose outputs are read from files, by image name.

    A subclass is a dataclass with two keys, named in ``own_keys``: the folder of the outputs for
    training images, and the one for validation and test images. Its class in ``teachers/`` reads
    the files.
    """

    runs_here = False
    # The file extensions of the outputs that are looked for, in this order.
    endings: ClassVar[tuple[str, ...]]

    @classmethod
    def cache_type(cls) -> str:
        """Return the network type of this kind in the manifest of a cache."""
        return cls.own_keys[0]

    def folder(self, key: str, validation: bool = False) -> OutputFiles | None:
        """Return the folder of the outputs, to look for its files.

        Args:
            key: Option key of the entry, for messages.
            validation: Whether to return the folder for validation and test images.

        Returns:
            The folder; None if it is not set.
        """
        name = self.own_keys[int(validation)]
        path = getattr(self, name)
        if path is None:
            return None
        return OutputFiles(expanded(path), f'{key}.{name}', self.endings)

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Yield errors for a missing cache, missing folders, or missing validation outputs."""
        name = self.own_keys[0]
        if not surroundings.cache_named:
            yield OptionError(
                f'{key}.{name}: {name} in a folder are used through a cache; set '
                'datasets.train.target_cache, and create the cache with mtkd cache -opt FILE'
            )
        for folder in (self.folder(key), self.folder(key, validation=True)):
            if folder is None or surroundings.cache_exists:
                continue
            if not folder.exists():
                yield OptionError(f"{folder.key}: no folder '{folder.root}'")
        missing = self.validation_problem(key, surroundings.validated_on)
        if surroundings.fusion_stage and missing is not None:
            yield missing

    def validation_problem(self, key: str, phase: str | None) -> OptionError | None:
        """Return an error if there are no outputs for the validation images of stage 1."""
        if phase is None or self.folder(key, validation=True) is not None:
            return None
        return self.no_validation_outputs(key, phase)

    def no_validation_outputs(self, key: str, phase: str) -> OptionError:
        """Return the error for missing outputs of validation images."""
        return OptionError(
            f'{key}.{self.own_keys[1]}: missing; the fusion network is measured on '
            f'datasets.{phase}, whose images are not in the cache: set it to the folder with the '
            'outputs of the teacher for them'
        )

    def cannot_run(self, key: str) -> OptionError:
        """Return the error for uses of the teacher that need a network."""
        name = self.own_keys[0]
        return OptionError(
            f'{key}.{name}: a folder of {name} cannot be run like a network; set network and '
            'weights, or use a target cache if the method needs only the output (mtkd cache -opt '
            'FILE)'
        )

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return the network type of this kind and the digest of the folder's listing."""
        folder = self.folder('')
        assert folder is not None  # the first key is required
        return {'type': self.cache_type()}, folder.digest(image_names), None


@dataclass(frozen=True)
class FolderOptions(PrecomputedConfig):
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
    noun = 'a folder of images'
    endings = _IMAGE_ENDINGS


# An entry without identifying keys is parsed as the first kind.
TEACHER_KINDS: tuple[type[TeacherConfig], ...] = (TeacherOptions, FolderOptions)
# Network types in the manifest of a cache that stand for precomputed outputs.
PRECOMPUTED_TYPES = tuple(
    kind.cache_type() for kind in TEACHER_KINDS if issubclass(kind, PrecomputedConfig)
)
