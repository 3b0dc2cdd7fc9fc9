"""The kinds of teachers: what an entry of ``teachers`` can be.

A kind is a dataclass with the keys of its entry, derived from :class:`TeacherConfig` or, if its
outputs lie in files, from :class:`PrecomputedConfig`, and a place in :data:`TEACHER_KINDS`.
``teachers/kinds.py`` has the class that it is built as.
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
from ..utils.output_folder import OutputFolder
from ..utils.resources import weights_file

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
    # What a teacher of this kind is, for docs/options.md.
    noun: ClassVar[str] = ''
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

    def cannot_run(self, key: str) -> OptionError:
        """Return the error for a use that takes a network, of a kind that has none here.

        Args:
            key: Where the entry stands, for messages.
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
    noun = 'a network'

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


class PrecomputedConfig(TeacherConfig):
    """Base of the kinds that are no networks here: outputs in files, by the names of the images.

    A class derived from it is a dataclass with two keys of folders, named in ``own_keys``: of the
    outputs for the images of the training, and of those for validation and testing.
    """

    runs_here = False
    # What reads one of the folders.
    folder_type: ClassVar[type[OutputFolder]]

    @classmethod
    def cache_type(cls) -> str:
        """Return what the manifest of a cache has in the place of the type of a network."""
        return cls.own_keys[0]

    def folder(self, key: str, validation: bool = False) -> OutputFolder | None:
        """Return the outputs for the images of the training, or of validation and testing.

        Args:
            key: Where the entry stands, for messages.
            validation: Which of the two.

        Returns:
            The folder; None where the option file names none.
        """
        name = self.own_keys[int(validation)]
        path = getattr(self, name)
        return None if path is None else self.folder_type(path, f'{key}.{name}')

    def problems(self, key: str, surroundings: Surroundings) -> Iterator[MTKDError]:
        """Look for a cache, the folders, and outputs for the validations of stage 1."""
        name = self.own_keys[0]
        if not surroundings.cache_named:
            yield OptionError(
                f'{key}.{name}: {name} in a folder are used through a cache; set '
                'datasets.train.target_cache, and make it with mtkd cache -opt FILE'
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
        """Return the error for a stage 1 that is measured on images which have no outputs."""
        if phase is None or self.folder(key, validation=True) is not None:
            return None
        return self.no_validation_outputs(key, phase)

    def no_validation_outputs(self, key: str, phase: str) -> OptionError:
        """Return the error for a stage 1 that is measured on images the folder has not."""
        return OptionError(
            f'{key}.{self.own_keys[1]}: missing; the fusion network is measured on '
            f'datasets.{phase}, whose images are no part of the cache: give the folder of what '
            'the teacher makes of them'
        )

    def cannot_run(self, key: str) -> OptionError:
        """Return the error for outputs that are not in the folder, which take a network."""
        name = self.own_keys[0]
        return OptionError(
            f'{key}.{name}: {name} in a folder are not a network that can be run, which is needed '
            'here: give network and weights, or a target cache where the method takes nothing but '
            'the output (mtkd cache -opt FILE)'
        )

    def cache_identity(
        self, image_names: Sequence[str]
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Return the kind as the type of network, and the digest of the folder's listing."""
        folder = self.folder('')
        assert folder is not None  # the first key is needed
        return {'type': self.cache_type()}, folder.digest(image_names), None


@dataclass(frozen=True)
class FolderOptions(PrecomputedConfig):
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
    noun = 'a folder of images'
    folder_type = ImageFolder


# In the order in which they are tried; an entry with keys of none of them is one of the first.
TEACHER_KINDS: tuple[type[TeacherConfig], ...] = (TeacherOptions, FolderOptions)
# What the manifest of a cache has in the place of the type of a network, of kinds that are none.
PRECOMPUTED_TYPES = tuple(
    kind.cache_type() for kind in TEACHER_KINDS if issubclass(kind, PrecomputedConfig)
)
