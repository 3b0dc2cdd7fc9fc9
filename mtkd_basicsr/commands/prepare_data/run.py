"""``mtkd data``: create BasicSR dataset folders from a folder of high-resolution images."""

import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ...errors import DataError, OptionError
from ...utils.atomic import write_bytes, write_json, write_text
from ...utils.bicubic import resize_pixels
from ...utils.choices import BICUBIC
from ...utils.images import psnr_y
from ...utils.progress import progress
from .._arguments import make_folder
from .._validation import spelled
from .sources import Note, find_images, print_notes, read_image, read_source

_TOLERANCE = 0.06  # dB
_MAX_WORKERS = 60  # Windows waits for at most 63 handles at once


@dataclass(frozen=True)
class Layout:
    """The folders that are written.

    Attributes:
        out: Parent of the folders.
        scales: Scales of the low-resolution images.
        multiple: Number of pixels that sizes are cropped to multiples of.
        sub: Side of sub-images, in ground-truth pixels; 0 for whole images.
        step: Distance from one sub-image to the next, in ground-truth pixels.
    """

    out: Path
    scales: tuple[int, ...]
    multiple: int
    sub: int
    step: int

    def folders(self) -> dict[int, Path]:
        """Return the folder of each scale; the ground truth has scale 1."""
        end = '_sub' if self.sub else ''
        folders = {1: self.out / f'GTmod{self.multiple}{end}'}
        for scale in self.scales:
            folders[scale] = self.out / f'LRbicx{scale}{end}'
        return folders


class _Processed(NamedTuple):
    """What became of an image.

    Attributes:
        lines: Lines of ``meta_info.txt``.
        notes: What its user should know about it.
        error: Why it cannot be used; None for a valid image.
    """

    lines: Sequence[str] = ()
    notes: Sequence[Note] = ()
    error: str | None = None


def _write(path: Path, image: np.ndarray) -> None:
    # Not flushed to disk: there are thousands of files, and a missing one is written again.
    write_bytes(path, cv2.imencode('.png', image)[1].tobytes(), durable=False)


def _corners(size: int, sub: int, step: int) -> list[int]:
    """Return where sub-images begin: at every step, and one more if they miss the border."""
    starts = list(range(0, size - sub + 1, step))
    if starts[-1] + sub < size:
        starts.append(size - sub)
    return starts


def _names(path: Path, h: int, w: int, layout: Layout) -> list[tuple[str, int, int, int, int]]:
    """Return the files of an image: their names, and their y, x, height and width in it."""
    if not layout.sub:
        return [(f'{path.stem}.png', 0, 0, h, w)]
    names: list[tuple[str, int, int, int, int]] = []
    for y in _corners(h, layout.sub, layout.step):
        for x in _corners(w, layout.sub, layout.step):
            name = f'{path.stem}_s{len(names) + 1:03d}.png'
            names.append((name, y, x, layout.sub, layout.sub))
    return names


def _write_parts(
    image: np.ndarray, names: list[tuple[str, int, int, int, int]], folders: dict[int, Path]
) -> None:
    """Write the files of an image in all scales.

    Args:
        image: (h, w, 3), BGR, uint8, cropped.
        names: The files; see :func:`_names`.
        folders: Folder of each scale.
    """
    for scale, folder in folders.items():
        pixels = image if scale == 1 else resize_pixels(image, 1 / scale)
        for name, y, x, height, width in names:
            rows = slice(y // scale, (y + height) // scale)
            columns = slice(x // scale, (x + width) // scale)
            _write(folder / name, pixels[rows, columns])


def _process_image(task: tuple[Path, Layout]) -> _Processed:
    """Write all files of an image, if one is missing."""
    path, layout = task
    try:
        image, notes = read_source(path)
    except DataError as error:
        return _Processed(error=str(error))
    smallest = max(layout.sub, layout.multiple)
    h, w = (n // layout.multiple * layout.multiple for n in image.shape[:2])
    if min(h, w) < smallest:
        size = f'{image.shape[0]}×{image.shape[1]}'
        return _Processed(
            error=f"'{path}': {size} pixels; expected {smallest} or more on each side"
        )
    names = _names(path, h, w, layout)
    folders = layout.folders()
    paths = [folder / name for folder in folders.values() for name, *_ in names]
    if not all(path.is_file() for path in paths):
        try:
            _write_parts(image[:h, :w], names, folders)
        except DataError as error:
            return _Processed(error=str(error))
    lines = [f'{name} ({height},{width},3)' for name, _, _, height, width in names]
    return _Processed(lines, notes)


def _iter_processed(paths: list[Path], layout: Layout, workers: int) -> Iterator[_Processed]:
    """Yield the result of :func:`_process_image` for each image, in order."""
    tasks = [(path, layout) for path in paths]
    workers = min(workers, len(paths), _MAX_WORKERS)
    if workers <= 1:
        yield from map(_process_image, tasks)
        return
    # Spawned on every system: OpenCV's threads do not survive a fork. NumPy needs no threads in
    # the workers.
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
    with multiprocessing.get_context('spawn').Pool(workers, cv2.setNumThreads, (1,)) as pool:
        yield from pool.imap(_process_image, tasks)


def _psnr(layout: Layout, scale: int) -> float:
    """Compute the mean PSNR of bicubic enlargement over all images."""
    folders = layout.folders()
    values = []
    for path in sorted(folders[1].glob('*.png')):
        large = resize_pixels(read_image(folders[scale] / path.name), scale)
        values.append(psnr_y(large, read_image(path), scale))
    return float(np.mean(values))


def _verify(name: str, layout: Layout, count: int) -> None:
    """Compare the PSNR of bicubic enlargement with the published one of a test set.

    Args:
        name: Name of the test set.
        layout: The folders.
        count: Number of images.

    Raises:
        DataError: The number of images or a PSNR differs.
    """
    expected_count, known = BICUBIC[name]
    if count != expected_count:
        raise DataError(f'{spelled("verify")} {name}: {count} images; expected {expected_count}')
    differences = []
    for scale in layout.scales:
        if scale not in known:
            print(f'{name} ×{scale}: no published figure')
            continue
        value = _psnr(layout, scale)
        text = f'{value:.2f} dB, published {known[scale]:.2f} dB'
        if abs(value - known[scale]) <= _TOLERANCE:
            print(f'{name} ×{scale}: bicubic {text}')
        else:
            print(f'{name} ×{scale}: bicubic {text}  DIFFERS')
            differences.append(f'×{scale}: {text}')
    if differences:
        raise DataError(
            f'{spelled("verify")} {name}: {"; ".join(differences)}: the images are not those of '
            'the test set, or were cropped or compressed'
        )


def _check_layout_record(layout: Layout, source: Path) -> None:
    """Record the settings of the folders, or compare them with the record of an earlier call.

    Args:
        layout: The folders.
        source: Folder of the high-resolution images.

    Raises:
        OptionError: The folders were created with other settings, or the record is invalid.
    """
    path = layout.out / 'mtkd_data.json'
    settings = {
        'folder': str(source.resolve()),
        'multiple': layout.multiple,
        'sub_image': layout.sub,
        'step': layout.step,
    }
    try:
        recorded = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else settings
    except ValueError:
        recorded = None
    if not isinstance(recorded, dict):
        raise OptionError(
            f"{spelled('out')}: '{path}' was not written by this command; choose another folder"
        )
    differences = []
    for key, value in settings.items():
        if recorded.get(key) != value:
            differences.append(f'{key}: {recorded.get(key)!r} before, {value!r} now')
    if differences:
        raise OptionError(
            f"{spelled('out')}: '{layout.out}' was created with other settings "
            f'({"; ".join(differences)}); choose another folder'
        )
    make_folder(layout.out)
    write_json(path, settings)


def prepare(source: Path, layout: Layout, workers: int, verify: str | None) -> None:
    """Write the folders of a layout; see :func:`mtkd_basicsr.commands.prepare_data`."""
    paths = find_images(source)
    _check_layout_record(layout, source)
    folders = list(layout.folders().values())
    for folder in folders:
        make_folder(folder)
    lines: list[str] = []
    errors: list[str] = []
    processed = _iter_processed(paths, layout, workers)
    notes: list[Note] = []
    for image in progress(processed, total=len(paths), unit='image'):
        lines += image.lines
        notes += image.notes
        if image.error is not None:
            errors.append(image.error)
    write_text(layout.out / 'meta_info.txt', '\n'.join(lines) + '\n')
    print(f'{len(lines)} images in each of {", ".join(map(str, folders))}')
    print_notes(notes)
    if errors:
        summary = [f'{len(errors)} of {len(paths)} images cannot be used:', *errors[:10]]
        if len(errors) > 10:
            summary.append(f'and {len(errors) - 10} more')
        raise DataError('\n'.join(summary))
    if verify:
        _verify(verify, layout, len(paths))
