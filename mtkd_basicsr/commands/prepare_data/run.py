"""``mtkd data``: create BasicSR dataset folders from a folder of high-resolution images."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ...errors import DataError, OptionError
from ...host.startup import WORKER_WITHOUT_TORCH
from ...utils.atomic import write_text
from ...utils.bicubic import resize_pixels
from ...utils.choices import BICUBIC
from ...utils.images import psnr_y
from ...utils.progress import progress
from ...utils.texts import listed
from .._arguments import make_folder
from .._validation import spelled
from .held_out import held_out_names, recorded_count
from .layout import Layout
from .process import Processed, process_image
from .record import Records
from .sources import Note, find_images, print_notes, read_image

_TOLERANCE = 0.06  # dB
_MAX_LISTED = 3
_MAX_WORKERS = 60  # Windows waits for at most 63 handles at once


def _iter_processed(
    paths: list[Path], layout: Layout, records: Records, workers: int
) -> Iterator[Processed]:
    """Yield the result of :func:`.process.process_image` for each image, in order."""
    tasks = [(path, layout, records.known.get(path.stem)) for path in paths]
    workers = min(workers, len(paths), _MAX_WORKERS)
    if workers <= 1:
        yield from map(process_image, tasks)
        return
    # Spawned on every system: OpenCV's threads do not survive a fork. NumPy needs no threads in
    # the workers.
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
    os.environ[WORKER_WITHOUT_TORCH] = '1'
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, context, cv2.setNumThreads, (1,)) as pool:
        try:
            results = pool.map(process_image, tasks)  # which starts the workers
        finally:
            del os.environ[WORKER_WITHOUT_TORCH]
        try:
            yield from results
        except BrokenProcessPool as error:
            raise DataError(
                'a worker process was ended, perhaps for lack of memory, or by a script that calls '
                f'this without if __name__ == "__main__"; expected success with '
                f'{spelled("workers")} 1; images that are finished are kept'
            ) from error


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


def _process(paths: list[Path], source: Path, layout: Layout, workers: int) -> list[str]:
    """Write the folders of a layout, and return an error for each image that cannot be used."""
    records = _open_records(layout, source)
    folders = list(layout.folders().values())
    for folder in folders:
        make_folder(folder)
    lines: list[str] = []
    errors: list[str] = []
    notes: list[Note] = []
    processed = _iter_processed(paths, layout, records, workers)
    try:
        bar = progress(processed, total=len(paths), unit='image')
        for path, result in zip(paths, bar, strict=True):
            lines += result.lines
            notes += result.notes
            if result.error is not None:
                errors.append(result.error)
            if result.record is not None:
                records.known[path.stem] = result.record
    finally:
        records.save()
    write_text(layout.out / 'meta_info.txt', '\n'.join(lines) + '\n')
    blank = [path.name for path in paths if path.name.split() != [path.name]]
    if blank:
        print(
            f'Warning: {len(blank)} names with blanks, at which BasicSR would cut them in '
            f'meta_info_file: {listed(blank, _MAX_LISTED)}; leave that key out, or rename them',
            file=sys.stderr,
        )
    print(f'{len(lines)} images in each of {", ".join(map(str, folders))}')
    print_notes(notes)
    removed = records.describe_removed([path.stem for path in paths])
    if removed is not None:
        print(removed, file=sys.stderr)
    return errors


def prepare(
    source: Path, layout: Layout, workers: int, verify: str | None, validation: int
) -> dict[int, Path]:
    """Write the folders of a layout; see :func:`mtkd_basicsr.commands.prepare_data`."""
    paths = find_images(source, layout.out)
    if verify:
        _check_count(verify, len(paths))
    earlier = recorded_count(layout.out)
    if earlier and not validation:
        raise OptionError(
            f'{spelled("validation")}: missing; an earlier call kept {earlier} images of '
            f"'{layout.out}' apart for validation, which would be trained on; use "
            f'{spelled("validation")} {earlier}, or another folder'
        )
    held_out: set[str] = set()
    whole = replace(layout, out=layout.out / 'val', sub=0, step=0)
    if validation:
        held_out = held_out_names(paths, layout.out, validation)
        layout = replace(layout, out=layout.out / 'train')
    errors = _process([p for p in paths if p.name not in held_out], source, layout, workers)
    if validation:
        errors += _process([p for p in paths if p.name in held_out], source, whole, workers)
    if errors:
        summary = [f'{len(errors)} of {len(paths)} images cannot be used:', *errors[:10]]
        if len(errors) > 10:
            summary.append(f'and {len(errors) - 10} more')
        raise DataError('\n'.join(summary))
    if verify:
        _verify(verify, layout)
    return layout.folders()
