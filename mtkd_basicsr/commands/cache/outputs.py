"""Targets out of the outputs of teachers that another cache holds: no teacher runs."""

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...data.cache.format import data_file
from ...data.cache.key import Use
from ...data.cache.reader import CacheReader, close_map, is_mapped
from ...data.cache.sources import Extent, compare
from ...data.source_files import SourceFiles
from ...errors import CacheError, OptionError
from ...teachers import TeacherEnsemble
from ...utils.image_tensors import to_tensor
from .._validation import option_of, spelled

if TYPE_CHECKING:
    from ...data.cache.key import CacheKey
    from .request import CacheRequest


def _differences(cached: 'CacheKey', wanted: 'CacheKey') -> list[str]:
    """List what a cache lacks to be the outputs of the teachers of another one."""
    # Any settings do: those of the targets say which they are.
    outputs = dataclasses.replace(
        wanted, contents='teachers', fusion=None, settings=cached.settings
    )
    return cached.differences(outputs, Use.KEEP)


def open_outputs(path: str, request: 'CacheRequest', wanted: 'CacheKey') -> CacheReader:
    """Open a cache with the outputs of the teachers of a request.

    Args:
        path: The cache.
        request: The targets to be made.
        wanted: Their key.

    Raises:
        OptionError: No fused targets are to be made, or they would replace these outputs.
        CacheError: It cannot be read, or holds the outputs of other teachers or for other images.
    """
    if request.contents != 'target':
        raise OptionError(f'{spelled("outputs_from")}: for fused targets; this training needs none')
    if os.path.realpath(path) == os.path.realpath(request.path):
        raise OptionError(
            f"{spelled('outputs_from')}: '{path}' is datasets.train.target_cache itself; expected "
            'a cache of stage 1, and another name for that of stage 2'
        )
    reader = CacheReader(path, readahead=True)
    found = _differences(reader.key, wanted)
    if found:
        raise CacheError(
            f"{spelled('outputs_from')}: '{path}' does not hold the outputs of these teachers for "
            f'these images: {"; ".join(found)}'
        )
    index_of = {image.name: index for index, image in enumerate(request.images)}
    indices = {i: index_of[image.name] for i, image in enumerate(reader.key.images)}
    comparison = compare(reader, path, SourceFiles(request.dataset), indices, Extent.ALL)
    if comparison.changed:
        raise CacheError(
            f"{spelled('outputs_from')}: '{path}' was made of other images: "
            f'{comparison.describe([image.name for image in reader.key.images])}'
        )
    return reader


def settings_of(reader: CacheReader) -> Mapping[str, Any]:
    """Return what the key of targets says of the outputs that they are computed from."""
    # How many images were computed at once matters less than a rounding to 8 bits.
    return dataclasses.replace(reader.key.settings, batch_pixels=1).to_manifest()


def _hint(request: 'CacheRequest', wanted: 'CacheKey') -> str | None:
    """Return a text that names a cache with the outputs of the teachers; None if there is none.

    Only the folder of the wanted cache is searched.

    Args:
        request: The targets to be made.
        wanted: Their key.
    """
    own = os.path.realpath(request.path)
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(os.path.dirname(own)), key=lambda entry: entry.name):
            if entry.path != own and os.path.isfile(data_file(entry.path)):
                path = os.path.join(os.path.dirname(request.path), entry.name)
                if _holds_outputs(path, wanted):
                    return (
                        f"'{path}' holds the outputs of these teachers, rounded to 8 bits: with "
                        f'{option_of("outputs_from")} {path} the targets are computed from them, '
                        'and no teacher runs'
                    )
    return None


def say_hint(request: 'CacheRequest', key: 'CacheKey') -> None:
    """Say, in one process, if another cache could replace the teachers."""
    if int(os.environ.get('RANK', 0)) == 0:
        text = _hint(request, key)
        if text is not None:
            print(text, flush=True)


def _holds_outputs(path: str, wanted: 'CacheKey') -> bool:
    # Another LMDB, or a damaged one, is not what is looked for.
    was_mapped = is_mapped(path)
    with contextlib.suppress(CacheError):
        found = _differences(CacheReader(path).key, wanted)
        if not was_mapped:
            close_map(path)
        return not found
    return False


class _CachedTeacher(nn.Module):
    """A teacher whose outputs are read from a cache.

    Args:
        name: Name of the teacher.
        reader: The cache.
    """

    runs_here = False
    supports_bf16 = True

    def __init__(self, name: str, reader: CacheReader) -> None:
        super().__init__()
        self.arch_name = f"outputs in '{reader.path}'"
        self._array = f'teacher/{name}'
        self._reader = reader
        self._indices = {image.name: index for index, image in enumerate(reader.key.images)}

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Read the output for an image, (1, 3, height, width), RGB, [0, 1]."""
        return to_tensor(self._reader.array(self._indices[name], self._array).copy())

    def check_outputs(self, images: Sequence[Sequence[Any]], validation: bool = False) -> None:
        """Do nothing: the key of the cache has been compared."""


class CachedEnsemble(TeacherEnsemble):
    """An ensemble of teachers whose outputs are all read from a cache.

    Args:
        names: Names of the teachers.
        reader: The cache.
        scale: Upscaling factor.
        device: Device of the outputs.
        precision: Precision of what runs on them.
    """

    def __init__(
        self,
        names: Sequence[str],
        reader: CacheReader,
        scale: int,
        device: torch.device,
        precision: str | None,
    ) -> None:
        super().__init__({}, scale, device, precision)
        self.names = list(names)
        self._teacher_modules = nn.ModuleList(_CachedTeacher(name, reader) for name in names)
