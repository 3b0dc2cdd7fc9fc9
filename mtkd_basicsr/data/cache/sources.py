"""Whether a cache was made of the images that a dataset has now.

A cache knows its images by their contents: it stores a CRC-32 of each decoded image (``crc``). To
compare them without decoding, it also notes for each image the status of the file and a CRC-32 of
its bytes (``source``). A file with the same status is the same; one with other times but equal
bytes, such as a copy, is too; any other file is decoded. What is read here is noted beside the
cache, so that it is read once.

Caches of version 0.1.0 have no notes about files. A few of their images are decoded.
"""

import contextlib
import enum
import json
import os
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from ...utils.atomic import write_text
from ...utils.progress import progress
from ...utils.texts import begun
from ..source_files import SourceFiles, Status

KINDS = ('lq', 'gt')
# Number of images without notes that are decoded, which takes less than a second.
_SAMPLE = 12
# Number of images that a message names.
_MAX_LISTED = 3
# More files than this take a while to read.
_MANY = 50


class Extent(enum.Enum):
    """How many of the images are compared, and how.

    Attributes:
        QUICK: All images that there are notes about, and a few of the others.
        ALL: All images; those without notes are decoded.
        DECODED: All images are decoded, whatever the notes say.
    """

    QUICK = enum.auto()
    ALL = enum.auto()
    DECODED = enum.auto()


class SourceNote(NamedTuple):
    """A file that an image was decoded from.

    Attributes:
        size: See :class:`.Status`.
        modified: See :class:`.Status`.
        changed: See :class:`.Status`.
        content: CRC-32 of the bytes of the file, or of its value in the LMDB.
        pixels: CRC-32 of the decoded image.
    """

    size: int
    modified: int
    changed: int
    content: int
    pixels: int

    @property
    def status(self) -> Status:
        """Return the status of the file."""
        return Status(self.size, self.modified, self.changed)


class Records(Protocol):
    """A cache, complete or not, that has records of its images."""

    def checksums(self, index: int) -> dict[str, int]:
        """Return the CRC-32 of each array of an image."""

    def sources(self, index: int) -> dict[str, list[int]]:
        """Return the notes about the files of an image; empty if there are none."""


def notes_of(files: SourceFiles, index: int, kind: str) -> tuple[bytes, list[int]]:
    """Read a file for a cache.

    Args:
        files: Files of a dataset.
        index: Index of the pair.
        kind: ``'lq'`` or ``'gt'``.

    Returns:
        Its bytes; its :class:`SourceNote` without the last value.
    """
    # Before it is read, so that a change in between is noticed later.
    status = files.status(index, kind)
    content = files.read(index, kind)
    return content, [*status, zlib.crc32(content)]


@dataclass
class Comparison:
    """The result of a comparison of a cache with the images of a dataset.

    Attributes:
        changed: Index in the cache of each image with other contents -> ``'lq'``, ``'gt'`` or both.
        compared: Number of images that were compared.
        total: Number of images.
    """

    changed: dict[int, list[str]] = field(default_factory=dict)
    compared: int = 0
    total: int = 0

    def describe(self, names: Sequence[str]) -> str:
        """Describe the changed images by option key and name.

        Args:
            names: Names of the images of the cache.
        """
        found = []
        for kind in KINDS:
            indices = [index for index in sorted(self.changed) if kind in self.changed[index]]
            if indices:
                listed = begun([names[index] for index in indices], _MAX_LISTED)
                found.append(
                    f'datasets.train.dataroot_{kind}: {len(indices)} of {self.compared} images '
                    f'have other contents than in the cache ({listed})'
                )
        return '; '.join(found)

    def describe_rest(self, path: str | os.PathLike[str]) -> str | None:
        """Return a text about images that were not compared; None if all were.

        Args:
            path: The cache, for the message.
        """
        if self.compared == self.total:
            return None
        return (
            f"Target cache '{path}' is of a version that noted nothing about the files of its "
            f'images: the contents of {self.compared} of {self.total} images were compared, and '
            'are the same; mtkd cache -opt FILE --verify compares all of them'
        )


class _Notes:
    """The notes beside a cache about files that were read to compare them, by their places."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.join(path, 'sources.json')
        self.found: dict[str, list[int]] = {}
        with contextlib.suppress(OSError, ValueError), open(self.path, encoding='utf-8') as file:
            content = json.load(file)
            if isinstance(content, dict):
                self.found = content

    def get(self, place: str) -> list[SourceNote]:
        return _parse(self.found.get(place))

    def save(self, new: Mapping[str, SourceNote]) -> None:
        """Add notes; without permission to write, they are made again next time."""
        if new and os.path.isdir(os.path.dirname(self.path)):
            with contextlib.suppress(OSError):
                write_text(self.path, json.dumps({**self.found, **new}))


def _parse(values: Any) -> list[SourceNote]:
    """Return the note with these values in a list; an empty one if they are none."""
    if not isinstance(values, list) or not all(isinstance(value, int) for value in values):
        return []
    return [SourceNote._make(values)] if len(values) == len(SourceNote._fields) else []


class _File(NamedTuple):
    """A file to compare: its index in the cache and in the dataset, and what is known of it."""

    cached: int
    pair: int
    kind: str
    pixels: int
    notes: list[SourceNote]


def _read(files: SourceFiles, file: _File) -> SourceNote:
    """Read a file, and decode it if its bytes are not known."""
    content, values = notes_of(files, file.pair, file.kind)
    for note in file.notes:
        if note.content == values[-1]:
            return SourceNote._make([*values, note.pixels])
    image = files.decode(file.pair, file.kind, content)
    pixels = zlib.crc32(np.ascontiguousarray(image).data)
    return SourceNote._make([*values, pixels])


def compare(
    cache: Records,
    path: str | os.PathLike[str],
    files: SourceFiles,
    indices: Mapping[int, int],
    extent: Extent = Extent.QUICK,
) -> Comparison:
    """Compare the contents of images with those that a cache was made of.

    Args:
        cache: The cache.
        path: Its folder, in which files that are read are noted.
        files: The files of the dataset.
        indices: Index of each image in the cache -> index of its pair in the dataset.
        extent: How many images are compared.

    Raises:
        CacheError: The records of the cache are damaged.
        DataError: A file cannot be read as an image.
    """
    notes = _Notes(path)
    result = Comparison(total=len(indices))
    sample = _sample(indices) if extent is Extent.QUICK else indices
    pending: list[_File] = []
    for cached, index in indices.items():
        wanted = _files_of(cache, notes, files, cached, index)
        if all(file.notes for file in wanted) or cached in sample:
            result.compared += 1
            pending += wanted
    if extent is Extent.DECODED:
        pending = [file._replace(notes=[]) for file in pending]
    unread = []
    for file in pending:
        status = files.status(file.pair, file.kind)
        known = next((note for note in file.notes if note.status == status), None)
        if known is None:
            unread.append(file)
        elif known.pixels != file.pixels:
            result.changed.setdefault(file.cached, []).append(file.kind)
    new = {}
    for file, note in zip(unread, _read_all(files, unread), strict=True):
        new[files.place(file.pair, file.kind)] = note
        if note.pixels != file.pixels:
            result.changed.setdefault(file.cached, []).append(file.kind)
    notes.save(new)
    return result


def _sample(indices: Collection[int]) -> set[int]:
    """Return evenly distributed images."""
    return set(sorted(indices)[:: -(-len(indices) // _SAMPLE)]) if indices else set()


def _files_of(
    cache: Records, notes: _Notes, files: SourceFiles, cached: int, index: int
) -> list[_File]:
    checksums = cache.checksums(cached)
    sources = cache.sources(cached)
    found = []
    for kind in KINDS:
        known = _parse(sources.get(kind)) + notes.get(files.place(index, kind))
        found.append(_File(cached, index, kind, checksums[kind], known))
    return found


def _read_all(files: SourceFiles, unread: list[_File]) -> Iterable[SourceNote]:
    if not unread:
        return []
    files.open()
    # Reading, checksums and decoding do not hold Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda file: _read(files, file), unread)
        disabled = len(unread) < _MANY
        return list(
            progress(results, total=len(unread), unit='file', desc='compare', disable=disabled)
        )
