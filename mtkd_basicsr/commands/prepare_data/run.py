"""``mtkd data``: folders as BasicSR wants them, out of a folder of high-resolution images."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ...errors import DataError, OptionError
from ...utils.atomic import write_bytes, write_json, write_text
from ...utils.bicubic import resize_pixels
from ...utils.choices import BICUBIC
from ...utils.images import decode, psnr_y
from ...utils.progress import progress
from .._arguments import make_folder
from .._validation import spelled

_ENDINGS = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
_TOLERANCE = 0.06
_MOST_WORKERS = 60  # Windows waits for no more than 63 handles at once


@dataclass(frozen=True)
class Layout:
    """What is written: the scales, where, and how large sub-images are (0 for none)."""

    out: Path
    scales: tuple[int, ...]
    multiple: int
    sub: int
    step: int

    def folders(self) -> dict[int, Path]:
        """Return the folder of each scale; 1 is the ground truth."""
        end = '_sub' if self.sub else ''
        return {
            1: self.out / f'GTmod{self.multiple}{end}',
            **{s: self.out / f'LRbicx{s}{end}' for s in self.scales},
        }


def read_image(path: Path) -> np.ndarray:
    """Read an image for training: (h, w, 3), BGR, uint8.

    A grey image gets three equal channels.

    Raises:
        DataError: not an image, with transparency, or with more than 8 bits.
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
            f"'{path}': {image.shape[2]} channels; expected grey or three, without transparency"
        )
    return image


def _write(path: Path, image: np.ndarray) -> None:
    # Thousands of them, which are made again where one is missing: none waits for the disk.
    write_bytes(path, cv2.imencode('.png', image)[1].tobytes(), durable=False)


def _corners(size: int, sub: int, step: int) -> list[int]:
    """Return where sub-images begin: at every step, and one at the end of what is left over."""
    starts = list(range(0, size - sub + 1, step))
    return starts + ([size - sub] if starts[-1] + sub < size else [])


def _names(path: Path, h: int, w: int, layout: Layout) -> list[tuple[str, int, int, int, int]]:
    """Return the names of the files of an image, and their y, x, height and width in it."""
    if not layout.sub:
        return [(f'{path.stem}.png', 0, 0, h, w)]
    places = [
        (y, x)
        for y in _corners(h, layout.sub, layout.step)
        for x in _corners(w, layout.sub, layout.step)
    ]
    return [
        (f'{path.stem}_s{i + 1:03d}.png', y, x, layout.sub, layout.sub)
        for i, (y, x) in enumerate(places)
    ]


def _do(task: tuple[Path, Layout]) -> tuple[list[str], str | None]:
    """Write all files of an image; return its lines of the meta information, and its error."""
    path, layout = task
    try:
        image = read_image(path)
        h, w = (n // layout.multiple * layout.multiple for n in image.shape[:2])
        if min(h, w) < max(layout.sub, layout.multiple):
            raise DataError(
                f"'{path}': {image.shape[0]}×{image.shape[1]} pixels; expected "
                f'{max(layout.sub, layout.multiple)} or more'
            )
        names = _names(path, h, w, layout)
        folders = layout.folders()
        if not all((folder / name).is_file() for folder in folders.values() for name, *_ in names):
            for scale, folder in folders.items():
                pixels = image[:h, :w] if scale == 1 else resize_pixels(image[:h, :w], 1 / scale)
                for name, y, x, height, width in names:
                    part = pixels[
                        y // scale : (y + height) // scale, x // scale : (x + width) // scale
                    ]
                    _write(folder / name, part)
        return [f'{name} ({height},{width},3)' for name, _, _, height, width in names], None
    except DataError as error:
        return [], str(error)


def _done(
    paths: list[Path], layout: Layout, workers: int
) -> Iterator[tuple[list[str], str | None]]:
    """Yield what :func:`_do` returns for every image, in their order."""
    tasks = [(path, layout) for path in paths]
    workers = min(workers, len(paths), _MOST_WORKERS)
    if workers <= 1:
        yield from map(_do, tasks)
        return
    # New processes, on every system: OpenCV's threads do not survive a fork. NumPy's threads have
    # nothing to do in them.
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
    with multiprocessing.get_context('spawn').Pool(workers, cv2.setNumThreads, (1,)) as pool:
        yield from pool.imap(_do, tasks)


def find_images(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted by name.

    Raises:
        DataError: no such folder, no images, or two whose results would have the same name.
    """
    if not folder.is_dir():
        raise DataError(f"'{folder}': no such folder")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    if not paths:
        raise DataError(
            f"'{folder}': no images; expected files that end with {', '.join(_ENDINGS)}"
        )
    stems = [path.stem for path in paths]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise DataError(
            f"'{folder}': {', '.join(twice[:3])} {'is' if len(twice) == 1 else 'are'} there with "
            'two endings; '
            'their low-resolution images would have the same name'
        )
    dotted = next((stem for stem in stems if '.' in stem), None)
    if dotted is not None:
        raise DataError(
            f"'{folder}': '{dotted}' has a dot in its name; BasicSR cuts the keys of an LMDB at "
            'the first dot'
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


def _verify(name: str, layout: Layout, count: int) -> None:
    """Compare bicubic enlargement with what papers give for a test set."""
    expected_count, known = BICUBIC[name]
    if count != expected_count:
        raise DataError(f'{spelled("verify")} {name}: {count} images; expected {expected_count}')
    wrong = []
    for scale in layout.scales:
        if scale not in known:
            print(f'{name} ×{scale}: no published figure')
            continue
        value = _psnr(layout, scale)
        fits = abs(value - known[scale]) <= _TOLERANCE
        print(
            f'{name} ×{scale}: bicubic {value:.2f} dB, published {known[scale]:.2f} '
            f'dB{"" if fits else "  DIFFERS"}'
        )
        wrong += [] if fits else [f'×{scale}: {value:.2f} dB, published {known[scale]:.2f} dB']
    if wrong:
        raise DataError(
            f'{spelled("verify")} {name}: {"; ".join(wrong)}: these are other images, or they were '
            'cropped or compressed'
        )


def _remember(layout: Layout, source: Path) -> None:
    """Record how the folders are made; refuse to go on with folders that were made otherwise."""
    path = layout.out / 'mtkd_data.json'
    content = {
        'folder': str(source.resolve()),
        'multiple': layout.multiple,
        'sub_image': layout.sub,
        'step': layout.step,
    }
    try:
        before = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else content
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise OptionError(
            f"{spelled('out')}: '{path}' is not what this command has written; choose another "
            'folder'
        )
    differing = [
        f'{key}: {before.get(key)!r} before, {value!r} now'
        for key, value in content.items()
        if before.get(key) != value
    ]
    if differing:
        raise OptionError(
            f"{spelled('out')}: '{layout.out}' was made otherwise ({'; '.join(differing)}); choose "
            'another folder'
        )
    make_folder(layout.out)
    write_json(path, content)


def prepare(source: Path, layout: Layout, workers: int, verify: str | None) -> None:
    """Write the folders of a layout; see :func:`mtkd_basicsr.commands.prepare_data`."""
    paths = find_images(source)
    _remember(layout, source)
    for folder in layout.folders().values():
        make_folder(folder)
    lines: list[str] = []
    wrong: list[str] = []
    for some, error in progress(_done(paths, layout, workers), total=len(paths), unit='image'):
        lines += some
        wrong += [error] if error else []
    write_text(layout.out / 'meta_info.txt', '\n'.join(lines) + '\n')
    print(
        f'{len(lines)} images in each of '
        f'{", ".join(str(folder) for folder in layout.folders().values())}'
    )
    if wrong:
        more = f'\nand {len(wrong) - 10} more' if len(wrong) > 10 else ''
        raise DataError(
            f'{len(wrong)} of {len(paths)} images cannot be used:\n' + '\n'.join(wrong[:10]) + more
        )
    if verify:
        _verify(verify, layout, len(paths))
