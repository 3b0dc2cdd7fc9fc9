"""Writing the files of one picture, which a worker process of ``mtkd data`` does."""

import errno
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ...errors import DataError
from ...utils.atomic import write_bytes
from ...utils.bicubic import resize_pixels
from .files import OutputError, is_there, naming, read_result
from .layout import Layout, Part, parts_of
from .record import (
    Result,
    SourceRecord,
    describe_obstacle,
    files_to_write,
    status_of,
)
from .sources import Note, read_source


def _write(path: Path, image: np.ndarray) -> int:
    """Write a PNG, and return the CRC-32 of its bytes.

    Raises:
        OutputError: It cannot be written.
    """
    content = cv2.imencode('.png', image)[1].tobytes()
    # Not flushed to disk: there are thousands of files, and a missing one is written again.
    with naming(path):
        write_bytes(path, content, durable=False)
    return zlib.crc32(content)


def _results(
    image: np.ndarray,
    parts: list[Part],
    folders: dict[int, Path],
    recorded: Mapping[str, int],
) -> Iterator[Result]:
    """Yield the files of an image in all scales.

    Args:
        image: (h, w, 3), BGR, uint8, cropped.
        parts: The files; see :func:`_names`.
        folders: Folder of each scale.
        recorded: Files of the image that are recorded; others may be of another version.
    """
    for scale, folder in folders.items():
        pixels = image if scale == 1 else resize_pixels(image, 1 / scale)
        for part in parts:
            rows = slice(part.y // scale, (part.y + part.height) // scale)
            columns = slice(part.x // scale, (part.x + part.width) // scale)
            name = f'{folder.name}/{part.name}'
            tolerance = 0 if name in recorded or scale == 1 else 1
            yield Result(name, pixels[rows, columns], tolerance)


class Task(NamedTuple):
    """A picture whose files are written.

    Attributes:
        path: The picture.
        layout: The folders.
        known: What is known of the picture; None for a new one.
        unrecorded: Paths below the folder of all results of files that have the name of one of
            its, and are not in its record.
    """

    path: Path
    layout: Layout
    known: SourceRecord | None
    unrecorded: Sequence[str]


@dataclass(frozen=True)
class Processed:
    """What became of a picture.

    Attributes:
        lines: Lines of ``meta_info.txt``.
        error: Why it cannot be used; None if it can.
        record: What to remember of it; None to remember what is known.
        notes: What its user should know about it.
    """

    lines: list[str]
    error: str | None = None
    record: SourceRecord | None = None
    notes: Sequence[Note] = ()


def _lines(parts: list[Part]) -> list[str]:
    return [f'{part.name} ({part.height},{part.width},3)' for part in parts]


def process_image(task: Task) -> Processed:
    """Write the files of an image that are missing, or all if the image has changed.

    Raises:
        OutputError: A file of the results cannot be read or written.
    """
    path, layout, known, _ = task
    try:
        status = status_of(path)
        unchanged = known is not None and known.has_status_of(path)
        content = known.content if known and unchanged else zlib.crc32(path.read_bytes())
    except OSError as error:
        return Processed([], f"'{path}': cannot be read as an image: {error.strerror}")
    if known is not None and content == known.content:
        parts = parts_of(path, known.height, known.width, layout)
        files = [
            f'{folder.name}/{name}' for folder in layout.folders().values() for name, *_ in parts
        ]
        # One that is not recorded may have been made before the picture was what it is now.
        if all(file in known.results and is_there(layout.out / file) for file in files):
            return Processed(
                _lines(parts),
                None,
                SourceRecord(*status, content, known.height, known.width, known.results),
            )
    try:
        image, notes = read_source(path)
    except DataError as error:
        return Processed([], str(error))
    smallest = max(layout.sub, layout.multiple)
    h, w = (n // layout.multiple * layout.multiple for n in image.shape[:2])
    if min(h, w) < smallest:
        size = f'{image.shape[0]}×{image.shape[1]}'
        return Processed([], f"'{path}': {size} pixels; expected {smallest} or more on each side")
    parts = parts_of(path, h, w, layout)
    try:
        found = _write_results(task, image[:h, :w], parts, content)
    except DataError as error:
        return Processed([], str(error))
    except OutputError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return Processed([], f"'{path}': its name is too long for that of '{error.filename}'")
    record = SourceRecord(*status, content, h, w, found)
    return Processed(_lines(parts), None, record, notes)


def _write_results(
    task: Task, image: np.ndarray, parts: list[Part], content: int
) -> dict[str, int]:
    """Write the files of an image that are missing or outdated.

    Args:
        task: The image, and what is known of it.
        image: (h, w, 3), BGR, uint8, cropped.
        parts: Its files; see :func:`.layout.parts_of`.
        content: CRC-32 of its file.

    Returns:
        CRC-32 of each file.

    Raises:
        DataError: Files of somebody else are in the way.
        OutputError: A file cannot be read or written.
    """
    path, layout, known, unrecorded = task
    recorded = {} if known is None else dict(known.results)
    folders = layout.folders()
    is_changed = known is None or known.content != content
    if is_changed:
        # An earlier call made other scales too, which would be outdated.
        folders = layout.folders_of([*recorded, *unrecorded])
    results = list(_results(image, parts, folders, recorded))
    to_write, to_delete, in_the_way = files_to_write(
        layout.out, results, recorded, unrecorded, is_changed
    )
    if in_the_way:
        raise DataError(describe_obstacle(path, layout.out, in_the_way))
    for name in to_delete:
        with naming(layout.out / name):
            (layout.out / name).unlink()
    if is_changed:
        recorded = {}
    for result in to_write:
        recorded[result.name] = _write(layout.out / result.name, result.pixels)
    for result in results:
        if result.name not in recorded:  # it was there before
            recorded[result.name] = zlib.crc32(read_result(layout.out / result.name))
    return recorded
