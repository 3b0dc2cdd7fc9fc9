"""What ``mtkd data`` notes about each picture that it has read, and about what it made of it."""

import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import OptionError
from ...utils.atomic import write_json
from ...utils.images import decode
from ...utils.texts import begun
from .._validation import spelled
from .files import is_there, naming, read_result

# Number of files that a message names.
_MAX_LISTED = 3

# No CRC-32: that of a picture whose files may be of what it was, or of what it is.
_DOUBTED = -1

# Records are saved after that many seconds, and when that many times the last saving has passed.
_SECONDS = 5
_TIMES = 50


@dataclass(frozen=True)
class SourceRecord:
    """A picture as it was read, and the files that were made of it.

    Attributes:
        size: Size of the file in bytes.
        modified: Time of its last change, in nanoseconds.
        changed: Time of the last change of its content, name or owner, in nanoseconds.
        content: CRC-32 of its bytes.
        height: Height of the cropped ground truth, in pixels.
        width: Width of the cropped ground truth, in pixels.
        results: Path of each file that was made of it, below the folder of all results -> CRC-32 of
            its bytes.
    """

    size: int
    modified: int
    changed: int
    content: int
    height: int
    width: int
    results: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, values: Any) -> 'SourceRecord | None':
        """Return a record as :meth:`Records.save` wrote it; None if it is none."""
        try:
            record = cls(**values)
        except TypeError:
            return None
        return record if isinstance(record.results, dict) else None

    def has_status_of(self, path: Path) -> bool:
        """Return whether a file has not been changed, as far as the system knows."""
        return (self.size, self.modified, self.changed) == status_of(path)


def status_of(path: Path) -> tuple[int, int, int]:
    """Return size in bytes and both times of a file, in nanoseconds."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


# The results of a layout, as patterns of paths below its folder.
RESULTS = ('GTmod*/*', 'LRbicx*/*')


class Records:
    """The file ``mtkd_data.json``: the settings of the folders, and a record of each picture.

    Args:
        out: Parent of the folders.
        settings: The settings of this call.

    Attributes:
        known: The record of each picture, by its name without suffix.

    Raises:
        OptionError: The folders were created with other settings, or the file is invalid.
        OutputError: The file cannot be read.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.path = out / 'mtkd_data.json'
        self.settings = settings
        self._due = time.monotonic() + _SECONDS
        recorded = self._read()
        differences = []
        # No image of that call could be used. One that was killed may have left some.
        is_empty = recorded.get('sources') == {} and not any(
            next(out.glob(folder), None) for folder in RESULTS
        )
        for key, value in settings.items():
            if not is_empty and recorded.get(key) != value:
                differences.append(f'{key}: {recorded.get(key)!r} before, {value!r} now')
        if differences:
            raise OptionError(
                f"{spelled('out')}: '{out}' was created with other settings "
                f'({"; ".join(differences)}); choose another folder'
            )
        self.known: dict[str, SourceRecord] = {}
        # Version 0.1.0 noted nothing about pictures.
        sources = recorded.get('sources')
        for stem, values in (sources if isinstance(sources, dict) else {}).items():
            record = SourceRecord.parse(values)
            if record is not None:
                self.known[stem] = record

    def _read(self) -> dict[str, Any]:
        try:
            text = read_result(self.path).decode('utf-8') if self.path.is_file() else None
            recorded = dict(self.settings) if text is None else json.loads(text)
        except ValueError:
            recorded = None
        if not isinstance(recorded, dict):
            raise OptionError(
                f"{spelled('out')}: '{self.path}' was not written by this command; choose another "
                'folder'
            )
        return recorded

    def doubt_changed(self, paths: Sequence[Path]) -> None:
        """Doubt, and save so, what is known of pictures that may have changed since.

        A call that is killed while it replaces their files then leaves no record that these are of
        the picture as it was before.

        Args:
            paths: The pictures of this call.

        Raises:
            OutputError: The file cannot be written.
        """
        for path in paths:
            known = self.known.get(path.stem)
            try:
                if known is not None and not known.has_status_of(path):
                    self.known[path.stem] = replace(known, content=_DOUBTED)
            except OSError:  # which is said of the picture when it is read
                continue
        self.save()

    def save(self) -> None:
        """Write the file.

        Raises:
            OutputError: It cannot be written.
        """
        start = time.monotonic()
        sources = {stem: asdict(record) for stem, record in self.known.items()}
        with naming(self.path):
            write_json(self.path, {**self.settings, 'sources': sources})
        now = time.monotonic()
        self._due = now + max(_SECONDS, _TIMES * (now - start))

    def save_now_and_then(self) -> None:
        """Write the file if that was some time ago, so that a call that is killed loses little.

        Raises:
            OutputError: It cannot be written.
        """
        if time.monotonic() >= self._due:
            self.save()

    def describe_removed(self, stems: Sequence[str]) -> str | None:
        """Describe the results of pictures that are no longer there; None if there are none.

        Args:
            stems: Names of the pictures that are there, without suffixes.
        """
        out = self.path.parent
        removed = []
        for stem in sorted(set(self.known) - set(stems)):
            if any(is_there(out / file) for file in self.known[stem].results):
                removed.append(stem)
        if not removed:
            return None
        listed = begun(removed, _MAX_LISTED)
        return (
            f"WARNING: '{out}' has images of {len(removed)} pictures that are no longer in "
            f"'{self.settings['folder']}' ({listed}); they are kept, but are not in "
            'meta_info.txt: delete them if they should not be trained on'
        )


@dataclass(frozen=True)
class Result:
    """A file to be made of a picture.

    Attributes:
        name: Its path below the folder of all results.
        pixels: (h, w, 3), BGR, uint8.
        tolerance: Largest difference, in levels, from a file of another version that counts as
            equal: reduced images may be rounded otherwise.
    """

    name: str
    pixels: np.ndarray
    tolerance: int

    def is_in(self, content: bytes) -> bool:
        """Return whether a file has this image already."""
        image = decode(content)
        if image is None or image.shape != self.pixels.shape:
            return False
        difference = np.abs(image.astype(np.int16) - self.pixels)
        return int(difference.max()) <= self.tolerance


def files_to_write(
    out: Path,
    results: Sequence[Result],
    recorded: Mapping[str, int],
    unrecorded: Sequence[str],
    is_changed: bool,
) -> tuple[list[Result], list[str], list[str]]:
    """Decide which files of a picture are written.

    Files that somebody else wrote, or has edited since, are never replaced. Those that its record
    does not have may also have been left by a call that was killed, perhaps before the picture was
    what it is now.

    Args:
        out: Parent of the folders.
        results: What is to be made of the picture.
        recorded: Files of its record.
        unrecorded: Other files that have the name of one of its.
        is_changed: Whether it is new or has changed; otherwise recorded files are kept as they are.

    Returns:
        The files to write; those to delete, which were made of parts that a changed picture no
        longer has; those in the way of both.

    Raises:
        OutputError: A file cannot be read.
    """
    to_write: list[Result] = []
    in_the_way: list[str] = []
    for result in results:
        path = out / result.name
        if not is_there(path):
            to_write.append(result)
            continue
        if not is_changed and result.name in recorded:
            continue
        content = read_result(path)
        if recorded.get(result.name) == zlib.crc32(content):
            to_write.append(result)
        elif not result.is_in(content):
            in_the_way.append(result.name)
    to_delete: list[str] = []
    if not is_changed:
        return to_write, to_delete, in_the_way
    for name in sorted({*recorded, *unrecorded} - {result.name for result in results}):
        path = out / name
        if is_there(path):
            own = recorded.get(name) == zlib.crc32(read_result(path))
            (to_delete if own else in_the_way).append(name)
    return to_write, to_delete, in_the_way


def describe_obstacle(path: Path, out: Path, names: Sequence[str]) -> str:
    """Return the error text for files that are in the way of a new or changed picture."""
    listed = begun([f"'{out / name}'" for name in names], _MAX_LISTED)
    return (
        f"'{path}': there is another image in {listed}, which this command did not write, or did "
        'not record before it was killed, or which was edited since; move or delete it to have it '
        'made anew'
    )
