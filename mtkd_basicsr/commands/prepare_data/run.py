"""``mtkd data``: create BasicSR dataset folders from a folder of high-resolution images."""

import functools
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ...errors import DataError
from ...utils.atomic import write_text
from ...utils.bicubic import resize_pixels
from ...utils.choices import BICUBIC
from ...utils.images import decode, psnr_y
from ...utils.progress import progress
from .._arguments import make_folder
from .._validation import spelled
from .layout import Layout
from .process import Processed, process_image
from .record import Records

_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
_TOLERANCE = 0.06  # dB
_MAX_WORKERS = 60  # Windows waits for at most 63 handles at once


def read_image(path: Path) -> np.ndarray:
    """Read an image for training: (h, w, 3), BGR, uint8.

    A greyscale image gets three equal channels.

    Raises:
        DataError: The file is not an image, or has transparency or more than 8 bits.
    """
    image = decode(path.read_bytes(), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if image is None:
        raise DataError(f"'{path}': cannot be read as an image")
    if image.dtype != np.uint8:
        raise DataError(f"'{path}': {image.dtype} values; expected 8 bits for each channel")
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, 2)
    if image.shape[2] != 3:
        raise DataError(
            f"'{path}': {image.shape[2]} channels; expected greyscale or three channels, without "
            'transparency'
        )
    return image


def _iter_processed(
    paths: list[Path], layout: Layout, records: Records, workers: int
) -> Iterator[Processed]:
    """Yield the result of :func:`.process.process_image` for each image, in order."""
    work = functools.partial(process_image, read_image)
    tasks = [(path, layout, records.known.get(path.stem)) for path in paths]
    workers = min(workers, len(paths), _MAX_WORKERS)
    if workers <= 1:
        yield from map(work, tasks)
        return
    # Spawned on every system: OpenCV's threads do not survive a fork. NumPy needs no threads in
    # the workers.
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
    with multiprocessing.get_context('spawn').Pool(workers, cv2.setNumThreads, (1,)) as pool:
        yield from pool.imap(work, tasks)


def find_images(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted by name.

    Raises:
        DataError: The folder does not exist or has no images, two of its images would have results
            of the same name, or a name has a dot.
    """
    if not folder.is_dir():
        raise DataError(f"'{folder}': no such folder")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise DataError(
            f"'{folder}': no images; expected files that end with {', '.join(_SUFFIXES)}"
        )
    stems = [path.stem for path in paths]
    duplicates = sorted({stem for stem in stems if stems.count(stem) > 1})
    if duplicates:
        raise DataError(
            f"'{folder}': several files are named {', '.join(duplicates[:3])}, with different "
            'suffixes; their low-resolution images would have the same name'
        )
    dotted = next((stem for stem in stems if '.' in stem), None)
    if dotted is not None:
        raise DataError(
            f"'{folder}': '{dotted}' has a dot in its name; expected none, because BasicSR cuts "
            'the keys of an LMDB at the first dot'
        )
    return paths


def _psnr(layout: Layout, scale: int) -> float:
    """Compute the mean PSNR of bicubic enlargement over all images."""
    folders = layout.folders()
    values = []
    for path in sorted(folders[1].glob('*.png')):
        large = resize_pixels(read_image(folders[scale] / path.name), scale)
        values.append(psnr_y(large, read_image(path), scale))
    return float(np.mean(values))


def _check_count(name: str, count: int) -> None:
    """Raise if a test set has another number of images.

    Args:
        name: Name of the test set.
        count: Number of images.

    Raises:
        DataError: The number differs.
    """
    expected = BICUBIC[name][0]
    if count != expected:
        raise DataError(f'{spelled("verify")} {name}: {count} images; expected {expected}')


def _verify(name: str, layout: Layout) -> None:
    """Compare the PSNR of bicubic enlargement with the published one of a test set.

    Args:
        name: Name of the test set.
        layout: The folders.

    Raises:
        DataError: A PSNR differs.
    """
    known = BICUBIC[name][1]
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


def _open_records(layout: Layout, source: Path) -> Records:
    """Read what an earlier call has recorded, and create the folder of all results.

    Args:
        layout: The folders.
        source: Folder of the high-resolution images.

    Raises:
        OptionError: The folders were created with other settings, or the record is invalid.
    """
    settings = {
        'folder': str(source.resolve()),
        'multiple': layout.multiple,
        'sub_image': layout.sub,
        'step': layout.step,
    }
    records = Records(layout.out, settings)
    make_folder(layout.out)
    records.save()
    return records


def prepare(source: Path, layout: Layout, workers: int, verify: str | None) -> None:
    """Write the folders of a layout; see :func:`mtkd_basicsr.commands.prepare_data`."""
    paths = find_images(source)
    if verify:
        _check_count(verify, len(paths))
    records = _open_records(layout, source)
    folders = list(layout.folders().values())
    for folder in folders:
        make_folder(folder)
    lines: list[str] = []
    errors: list[str] = []
    processed = _iter_processed(paths, layout, records, workers)
    try:
        bar = progress(processed, total=len(paths), unit='image')
        for path, result in zip(paths, bar, strict=True):
            lines += result.lines
            if result.error is not None:
                errors.append(result.error)
            if result.record is not None:
                records.known[path.stem] = result.record
    finally:
        records.save()
    write_text(layout.out / 'meta_info.txt', '\n'.join(lines) + '\n')
    print(f'{len(lines)} images in each of {", ".join(map(str, folders))}')
    removed = records.describe_removed([path.stem for path in paths])
    if removed is not None:
        print(removed, file=sys.stderr)
    if errors:
        summary = [f'{len(errors)} of {len(paths)} images cannot be used:', *errors[:10]]
        if len(errors) > 10:
            summary.append(f'and {len(errors) - 10} more')
        raise DataError('\n'.join(summary))
    if verify:
        _verify(verify, layout)
