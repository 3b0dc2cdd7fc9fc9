"""``mtkd data``: create BasicSR dataset folders from a folder of high-resolution images."""

import contextlib
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
from .files import OutputError, locked_results, naming
from .held_out import check_count, held_out_stems, recorded_count
from .layout import Layout
from .process import Processed, Task, process_image
from .record import Records
from .sources import Note, find_images, print_notes, read_image

_TOLERANCE = 0.06  # dB
_MAX_LISTED = 3
_MAX_WORKERS = 60  # Windows waits for at most 63 handles at once


def _tasks(paths: list[Path], layout: Layout, records: Records) -> list[Task]:
    """Return what is known of each image, and the files of it that are not recorded.

    Raises:
        OutputError: A folder of the results cannot be read.
    """
    with naming(layout.out):
        existing = layout.files_by_image()
    tasks: list[Task] = []
    for path in paths:
        known = records.known.get(path.stem)
        recorded = {} if known is None else known.results
        unrecorded = [name for name in existing.get(path.stem, ()) if name not in recorded]
        tasks.append(Task(path, layout, known, unrecorded))
    return tasks


def _iter_processed(tasks: list[Task], workers: int) -> Iterator[Processed]:
    """Yield the result of :func:`.process.process_image` for each image, in order."""
    workers = min(workers, len(tasks), _MAX_WORKERS)
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


def _psnr(paths: list[Path], layout: Layout, scale: int) -> float:
    """Compute the mean PSNR of bicubic enlargement over the images of this call.

    The folders may have more: those of pictures that were removed are kept.
    """
    folders = layout.folders()
    values = []
    for path in paths:
        name = f'{path.stem}.png'
        large = resize_pixels(read_image(folders[scale] / name), scale)
        values.append(psnr_y(large, read_image(folders[1] / name), scale))
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


def _verify(name: str, paths: list[Path], layout: Layout) -> None:
    """Compare the PSNR of bicubic enlargement with the published one of a test set.

    Args:
        name: Name of the test set.
        paths: Its images.
        layout: The folders, of whole images.

    Raises:
        DataError: A PSNR differs.
    """
    known = BICUBIC[name][1]
    differences = []
    for scale in layout.scales:
        if scale not in known:
            print(f'{name} ×{scale}: no published figure')
            continue
        value = _psnr(paths, layout, scale)
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


def _read_records(layout: Layout, source: Path) -> Records:
    """Read what an earlier call has recorded.

    Args:
        layout: The folders.
        source: Folder of the high-resolution images.

    Raises:
        OptionError: The folders were created with other settings, or the record is invalid.
        OutputError: The record cannot be read.
    """
    settings = {
        'folder': str(source.resolve()),
        'multiple': layout.multiple,
        'sub_image': layout.sub,
        'step': layout.step,
    }
    return Records(layout.out, settings)


def _process(paths: list[Path], source: Path, layout: Layout, workers: int) -> list[str]:
    """Write the folders of a layout, and return an error for each image that cannot be used."""
    records = _read_records(layout, source)
    make_folder(layout.out)
    tasks = _tasks(paths, layout, records)
    records.doubt_changed(paths)
    folders = list(layout.folders().values())
    for folder in folders:
        make_folder(folder)
    lines: list[str] = []
    errors: list[str] = []
    notes: list[Note] = []
    processed = _iter_processed(tasks, workers)
    try:
        bar = progress(processed, total=len(paths), unit='image')
        for task, result in zip(tasks, bar, strict=True):
            lines += result.lines
            notes += result.notes
            if result.error is not None:
                errors.append(result.error)
            record = result.record or task.known
            if record is not None:
                records.known[task.path.stem] = record
                records.save_now_and_then()
    except BaseException:
        # On a full disk this fails as well; the first error is the one that says what happened.
        with contextlib.suppress(OutputError):
            records.save()
        raise
    records.save()
    meta_info = layout.out / 'meta_info.txt'
    with naming(meta_info):
        write_text(meta_info, '\n'.join(lines) + '\n')
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


def _prepare_all(
    paths: list[Path], source: Path, layout: Layout, workers: int, validation: int
) -> tuple[Layout, list[str]]:
    """Write the folders of a layout, or those of training and validation; others write nothing.

    Returns:
        The folders of all images or of training; an error for each image that cannot be used.
    """
    if not validation:
        return layout, _process(paths, source, layout, workers)
    held_out = held_out_stems(paths, layout.out, validation)
    layout, whole = _layouts(layout, validation)
    errors = _process([p for p in paths if p.stem not in held_out], source, layout, workers)
    errors += _process([p for p in paths if p.stem in held_out], source, whole, workers)
    return layout, errors


def _layouts(layout: Layout, validation: int) -> list[Layout]:
    """Return the folders of all images, or those of training and validation."""
    if not validation:
        return [layout]
    whole = replace(layout, out=layout.out / 'val', sub=0, step=0)
    return [replace(layout, out=layout.out / 'train'), whole]


def _check_earlier_call(source: Path, layout: Layout, validation: int) -> None:
    """Check that an earlier call had the same settings, before anything is written.

    Raises:
        OptionError: It had others, or its record is invalid.
        OutputError: Its record cannot be read.
    """
    earlier = recorded_count(layout.out)
    if earlier and not validation:
        raise OptionError(
            f'{spelled("validation")}: missing; an earlier call kept {earlier} images of '
            f"'{layout.out}' apart for validation, which would be trained on; use "
            f'{spelled("validation")} {earlier}, or another folder'
        )
    for each in _layouts(layout, validation):
        _read_records(each, source)


def prepare(
    source: Path, layout: Layout, workers: int, verify: str | None, validation: int
) -> dict[int, Path]:
    """Write the folders of a layout; see :func:`mtkd_basicsr.commands.prepare_data`."""
    out = layout.out
    paths = find_images(source, out)
    if verify:
        _check_count(verify, len(paths))
    if validation:
        check_count(paths, out, validation)
    try:
        _check_earlier_call(source, layout, validation)
        make_folder(out)
        with locked_results(out):
            layout, errors = _prepare_all(paths, source, layout, workers, validation)
            if verify and not errors:
                _verify(verify, paths, layout)
    except OutputError as error:
        raise OptionError(
            f"{spelled('out')}: cannot read or write '{error.filename}': {error.strerror}"
        ) from error
    if errors:
        summary = [f'{len(errors)} of {len(paths)} images cannot be used:', *errors[:10]]
        if len(errors) > 10:
            summary.append(f'and {len(errors) - 10} more')
        raise DataError('\n'.join(summary))
    return layout.folders()
