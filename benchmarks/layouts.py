"""What a patch costs by the layout of the images in a target cache, from a cold and a warm file.

    python benchmarks/layouts.py [--images N] [--samples N] [--runs N] [--csv FILE] [--folder DIR]

Each layout stores the same images as a target cache does, in an LMDB: low-resolution image, ground
truth and target of 2040×1356 pixels, ×4. A sample is what ``DistillImageDataset`` does for one
item: a random image, a random crop, flips, and the conversion to tensors.

- ``bytes``: read from the disk for a sample of a file of which nothing is in memory, as the system
  counts them (``read_bytes`` in /proc/self/io).
- ``cold``: samples per second then. Between two samples the file is dropped from the page cache
  (posix_fadvise); the time of that is not counted.
- ``quarter``: samples per second while a quarter of the file, at most, may be in the page cache.
  Parts of the file chosen at random are dropped as others are read.
- ``warm``: samples per second of a processor, of images that are in memory and mapped.

The images are mosaics of photographs of scikit-image at their own resolution, because enlarged ones
are smooth and compress better than photographs. The table begins with the size of their PNG files:
those of DIV2K take about 0.53 of the pixels' bytes (3.53 GB for 2.2 gigapixels). A target is the
ground truth smoothed a little, as outputs of networks are. The compressed layouts need the packages
``zstandard`` and ``lz4``. Linux only.
"""

import collections
import csv
import ctypes
import functools
import mmap
import os
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np
import torch
from basicsr.data.transforms import augment, paired_random_crop
from timing import machine, parser

from mtkd_basicsr.data.cache.positions import large_values
from mtkd_basicsr.data.sample_photographs import load, low_resolution

SIZE = (1356, 2040)
SCALE = 4
PATCHES = (128, 192)
PAGE = mmap.PAGESIZE
NAMES = ('rocket', 'motorcycle_left', 'coffee', 'chelsea', 'astronaut', 'motorcycle_right')
CHUNK = 1 << 20
# Images in memory, of the samples of a warm file.
WARM = 4
TIMES = ('cold', 'quarter', 'warm')
# Of <linux/mman.h>; Python has the names from 3.13 on.
MADV_DONTNEED, MADV_POPULATE_READ = 4, 22
libc = ctypes.CDLL(None, use_errno=True)


@functools.cache
def photograph(name):
    return load(name)


def mosaic(seed, size=SIZE):
    """An image of photographs side by side, at their own resolution, turned and mirrored."""
    height, width = size
    draw = np.random.default_rng(seed)
    photographs = [photograph(name) for name in NAMES]
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, 256):
        for left in range(0, width, 256):
            source = photographs[draw.integers(len(photographs))]
            y, x = (draw.integers(0, n - 256) for n in source.shape[:2])
            tile = np.rot90(source[y : y + 256, x : x + 256], draw.integers(4))
            part = image[top : top + 256, left : left + 256]
            part[...] = tile[: part.shape[0], : part.shape[1], ::-1]
    return image


class Rows:
    """Row by row, as an image lies in memory."""

    name = 'rows'
    by_key = False

    def encode(self, image):
        return np.ascontiguousarray(image).tobytes()

    def crop(self, mapped, offset, shape, top, left, h, w):
        """Cuts a part out of what :meth:`encode` returned.

        Args:
            mapped (buffer): What it lies in.
            offset (int): Where it begins.
            shape (tuple[int]): Of the image.
            top, left, h, w (int): The part.

        Returns:
            np.ndarray: (h, w, 3); a view where that is possible.
        """
        image = np.ndarray(shape, np.uint8, mapped, offset)
        return image[top : top + h, left : left + w]


class RowsByKey(Rows):
    """As :class:`Rows`, with the values that py-lmdb returns, which reads all of their pages."""

    name = 'rows, by txn.get()'
    by_key = True


class RowsAhead(Rows):
    """As :class:`Rows`; the system is asked to read all rows of the patch at once."""

    name = 'rows, asked ahead'

    def crop(self, mapped, offset, shape, top, left, h, w):
        row = shape[1] * 3
        mapped.madvise(mmap.MADV_WILLNEED, *pages(offset + top * row, h * row))
        return super().crop(mapped, offset, shape, top, left, h, w)


class Blocks:
    """Blocks of side × side pixels, padded at the right and lower border."""

    by_key = False

    def __init__(self, side):
        self.side = side
        self.name = f'blocks of {side}×{side}'

    def blocks(self, image):
        h, w = image.shape[:2]
        n = self.side
        padded = np.pad(image, ((0, -h % n), (0, -w % n), (0, 0)), 'edge')
        split = padded.reshape(padded.shape[0] // n, n, padded.shape[1] // n, n, 3)
        return np.ascontiguousarray(split.transpose(0, 2, 1, 3, 4))

    def encode(self, image):
        return self.blocks(image).tobytes()

    def crop(self, mapped, offset, shape, top, left, h, w):
        n = self.side
        grid = -(-shape[0] // n), -(-shape[1] // n)
        blocks = np.ndarray((*grid, n, n, 3), np.uint8, mapped, offset)
        result = np.empty((h, w, 3), np.uint8)
        for y in range(top // n, -(-(top + h) // n)):
            rows, to_rows = overlap(y * n, n, top, h)
            for x in range(left // n, -(-(left + w) // n)):
                columns, to_columns = overlap(x * n, n, left, w)
                result[to_rows, to_columns] = blocks[y, x, rows, columns]
        return result


def overlap(start, length, first, size):
    """The part of a range in another one, relative to each of them, as two slices."""
    begin = max(start, first)
    end = min(start + length, first + size)
    return slice(begin - start, end - start), slice(begin - first, end - first)


class Strips:
    """Strips of some columns and all rows, one after the other; the last one may be narrower."""

    by_key = False

    def __init__(self, width, ahead=False):
        self.width = width
        self.ahead = ahead
        self.name = f'strips of {width} columns' + (', asked ahead' if ahead else '')

    def encode(self, image):
        starts = range(0, image.shape[1], self.width)
        return b''.join(
            np.ascontiguousarray(image[:, x : x + self.width]).tobytes() for x in starts
        )

    def crop(self, mapped, offset, shape, top, left, h, w):
        height, width = shape[:2]
        parts = []
        for start in range(left // self.width * self.width, left + w, self.width):
            columns = min(self.width, width - start)
            parts.append((start, columns, (start * height + top * columns) * 3))
        if self.ahead:
            for _, columns, begin in parts:
                mapped.madvise(mmap.MADV_WILLNEED, *pages(offset + begin, h * columns * 3))
        result = np.empty((h, w, 3), np.uint8)
        for start, columns, begin in parts:
            strip = np.ndarray((h, columns, 3), np.uint8, mapped, offset + begin)
            source, target = overlap(start, columns, left, w)
            result[:, target] = strip[:, source]
        return result


class Packed(Blocks):
    """Blocks that are compressed each by itself, behind a table of where they begin.

    Args:
        side (int): Of the blocks.
        name (str): Of the codec.
        compress, decompress (function): bytes -> bytes.
        differences (bool): Whether differences to the pixel at the left are stored, which compress
            better.
    """

    def __init__(self, side, name, compress, decompress, differences=False):
        super().__init__(side)
        self.name += f', {name}' + (' of differences' if differences else '')
        self.compress = compress
        self.decompress = decompress
        self.differences = differences

    def encode(self, image):
        blocks = self.blocks(image)
        if self.differences:
            blocks = np.diff(blocks, axis=3, prepend=np.uint8(0))
        packed = [self.compress(block.tobytes()) for row in blocks for block in row]
        ends = np.cumsum([0, *map(len, packed)], dtype=np.uint32)
        return ends.tobytes() + b''.join(packed)

    def crop(self, mapped, offset, shape, top, left, h, w):
        n = self.side
        across = -(-shape[1] // n)
        count = across * -(-shape[0] // n) + 1
        ends = np.frombuffer(mapped, np.uint32, count, offset)
        content = memoryview(mapped)[offset + 4 * count :]
        result = np.empty((h, w, 3), np.uint8)
        for y in range(top // n, -(-(top + h) // n)):
            rows, to_rows = overlap(y * n, n, top, h)
            for x in range(left // n, -(-(left + w) // n)):
                columns, to_columns = overlap(x * n, n, left, w)
                begin, end = ends[y * across + x], ends[y * across + x + 1]
                block = np.frombuffer(self.decompress(content[begin:end]), np.uint8)
                block = block.reshape(n, n, 3)
                if self.differences:
                    block = np.cumsum(block[rows], axis=1, dtype=np.uint8)
                    result[to_rows, to_columns] = block[:, columns]
                else:
                    result[to_rows, to_columns] = block[rows, columns]
        return result


def pages(begin, length):
    """The first byte and the length of the pages that a part of a map lies in."""
    start = begin // PAGE * PAGE
    return start, begin + length - start


def advise_range(address, length, advice):
    """Calls madvise for a part of any map of this process."""
    if libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), advice):
        raise OSError(ctypes.get_errno(), 'madvise')


def layouts():
    """All layouts; compressed ones where their packages are installed."""
    found = [Rows(), RowsByKey(), RowsAhead()]
    found += [Blocks(side) for side in (32, 64, 128)]
    found += [Strips(width) for width in (32, 64, 128)]
    found.append(Strips(64, ahead=True))
    try:
        import lz4.block
        import zstandard
    except ImportError:
        print('without zstandard and lz4: no compressed layouts')
        return found
    found.append(Packed(64, 'LZ4', lz4.block.compress, lz4.block.decompress))
    for differences in (False, True):
        packer = zstandard.ZstdCompressor(level=3)
        found.append(
            Packed(
                64, 'zstd', packer.compress, zstandard.ZstdDecompressor().decompress, differences
            )
        )
    return found


class Lazy:
    """An image in a layout, cut by :func:`paired_random_crop` as if it were an array."""

    def __init__(self, layout, mapped, offset, shape):
        self.layout = layout
        self.mapped = mapped
        self.offset = offset
        self.shape = shape

    def __getitem__(self, key):
        rows, columns = key[:2]
        return self.layout.crop(
            self.mapped,
            self.offset,
            self.shape,
            rows.start,
            columns.start,
            rows.stop - rows.start,
            columns.stop - columns.start,
        )


class File:
    """The images in one layout, in an LMDB that is opened as a training opens a cache."""

    def __init__(self, folder, layout, count, size):
        self.layout = layout
        self.count = count
        self.height, self.width = size
        self.folder = folder
        self.path = folder / 'data.mdb'

    def write(self, images):
        env = lmdb.open(str(self.folder), map_size=1 << 33, meminit=False)
        for i, arrays in enumerate(images):
            with env.begin(write=True) as txn:
                for name, image in arrays.items():
                    txn.put(f'{i}/{name}'.encode(), self.layout.encode(image))
        env.close()

    def open(self):
        self.env = lmdb.open(
            str(self.path), subdir=False, readonly=True, lock=False, readahead=False
        )
        self.txn = self.env.begin(buffers=True)
        self.descriptor = os.open(self.path, os.O_RDONLY)
        self.size = os.path.getsize(self.path)
        with open(self.path, 'rb') as file:
            self.positions = large_values(file)
        self.map = mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)
        self.map.madvise(mmap.MADV_RANDOM)
        # The map of LMDB, and this one.
        self.addresses = []
        for line in Path('/proc/self/maps').read_text().splitlines():
            if line.endswith(str(self.path)):
                self.addresses.append(int(line.split('-')[0], 16))
        self.length = -(-self.size // PAGE) * PAGE

    def drop(self, start=0, size=None):
        """Takes the file, or a part of it, out of the page cache."""
        size = size or self.length - start
        for address in self.addresses:
            advise_range(address + start, size, MADV_DONTNEED)
        os.posix_fadvise(self.descriptor, start, size, os.POSIX_FADV_DONTNEED)

    def resident(self):
        """The number of bytes of the file in the page cache."""
        found = (ctypes.c_ubyte * (self.length // PAGE))()
        libc.mincore(ctypes.c_void_p(self.addresses[0]), ctypes.c_size_t(self.length), found)
        return int((np.frombuffer(found, np.uint8) & 1).sum()) * PAGE

    def populate(self, count):
        """Reads the first images, and maps them."""
        size = min(self.length, self.length * count // self.count + CHUNK) // PAGE * PAGE
        for start in range(0, size, CHUNK):
            os.pread(self.descriptor, CHUNK, start)
        for address in self.addresses:
            advise_range(address, size, MADV_POPULATE_READ)

    def image(self, index, name):
        divisor = SCALE if name == 'lq' else 1
        shape = self.height // divisor, self.width // divisor, 3
        key = f'{index}/{name}'.encode()
        if self.layout.by_key:
            return Lazy(self.layout, self.txn.get(key), 0, shape)
        return Lazy(self.layout, self.map, self.positions[key].offset, shape)

    def sample(self, patch, index=None):
        """What ``DistillImageDataset`` does, with the bytes of the pixels as they are."""
        index = random.randrange(self.count) if index is None else index
        small, *large = [self.image(index, name) for name in ('lq', 'gt', 'target')]
        large, small = paired_random_crop(large, small, patch, SCALE, '')
        _, flips = augment([], True, True, return_status=True)
        return [to_tensor(image, flips) for image in (small, *large)]


def to_tensor(image, flips):
    horizontal, vertical, transposed = flips
    image = image[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    image = image.transpose(2, 1, 0) if transposed else image.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(image[::-1]))


def read_bytes():
    """The number of bytes that this process has read from disks."""
    for line in Path('/proc/self/io').read_text().splitlines():
        if line.startswith('read_bytes:'):
            return int(line.split()[1])
    raise RuntimeError('no read_bytes in /proc/self/io')


def cold(file, patch, samples):
    """Seconds and bytes read of a sample of a file that is not in memory.

    Returns:
        tuple[float]: Seconds, bytes read by this process, bytes of the file in memory afterwards.
    """
    seconds, read, resident = 0.0, 0, 0
    for _ in range(samples):
        file.drop()
        before = read_bytes()
        start = time.perf_counter()
        file.sample(patch)
        seconds += time.perf_counter() - start
        read += read_bytes() - before
        resident += file.resident()
    return seconds / samples, read / samples, resident / samples


def quarter(file, patch, samples):
    """Seconds of a sample while at most a quarter of the file is in the page cache."""
    size = max(PAGE, min(CHUNK, file.length // 16 // PAGE * PAGE))
    chunks = range(0, file.length - size + 1, size)
    file.drop()
    for start in random.sample(chunks, len(chunks) // 4):
        os.pread(file.descriptor, size, start)
    limit = file.length / 4
    before = time.perf_counter()
    pause = 0.0
    for _ in range(samples):
        file.sample(patch)
        paused = time.perf_counter()
        while file.resident() > limit:
            file.drop(random.choice(chunks), size)
        pause += time.perf_counter() - paused
    return (time.perf_counter() - before - pause) / samples


def warm(file, patch, samples):
    """Seconds of the processor for a sample of a file in memory, whatever else runs beside."""
    start = time.process_time()
    for _ in range(samples):
        file.sample(patch, random.randrange(min(WARM, file.count)))
    return (time.process_time() - start) / samples


def check(files):
    """Fails if a layout gives other pixels than the first one."""
    for patch in PATCHES:
        for _ in range(8):
            seed = random.random()
            expected = None
            for file in files:
                random.seed(seed)
                found = file.sample(patch)
                expected = expected or found
                assert all(map(torch.equal, found, expected)), file.layout.name


def measure(files, args):
    """One row for each layout and size of patches."""
    rows = []
    for patch in PATCHES:
        found = {id(file): collections.defaultdict(list) for file in files}
        for run in range(args.runs):
            for file in files:
                results = found[id(file)]
                random.seed(run)
                seconds, read, resident = cold(file, patch, args.samples)
                results['cold'].append(seconds)
                results['read'].append(read)
                results['resident'].append(resident)
                results['quarter'].append(quarter(file, patch, args.samples))
                file.drop()
        for run in range(-1, args.runs * 8):
            for file in files:
                file.populate(min(WARM, file.count))
                random.seed(run)
                seconds = warm(file, patch, args.samples * 8)
                if run >= 0:
                    found[id(file)]['warm'].append(seconds)
        for file in files:
            file.drop()
            rows.append(row(file, patch, found[id(file)]))
    return rows


def row(file, patch, found):
    pixels = file.count * file.height * file.width * (2 + 1 / SCALE**2)
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        'layout': file.layout.name,
        'patch': patch,
        'file / pixels': round(file.size / (3 * pixels), 3),
        'bytes': round(statistics.mean(found['read'])),
        'pages': round(statistics.mean(found['resident']) / PAGE, 1),
        **{name: round(1 / middle[name], 1) for name in TIMES},
    }


def report(rows, png, args):
    print(f'PNG files of the images / their pixels: {png:.2f}')
    print(
        f'{args.images} images of {args.size[1]}×{args.size[0]}, ×{SCALE}, one process; samples '
        f'per second, medians of {args.runs} runs of {args.samples} samples '
        f'(warm: {8 * args.runs} of {8 * args.samples}) in turns'
    )
    print(machine('cpu'))
    for patch in PATCHES:
        chosen = [r for r in rows if r['patch'] == patch]
        first = chosen[0]
        print(f'\npatches of {patch}×{patch}\n')
        print('| layout | file / pixels | kB | pages | cold | quarter | warm |')
        print('|---|---|---|---|---|---|---|')
        for r in chosen:
            cells = [r['layout'], f'{r["file / pixels"]:.3f}']
            cells.append(f'{r["bytes"] / 1000:.0f} ({r["bytes"] / max(1, first["bytes"]):.2f})')
            cells.append(f'{r["pages"]:.0f}')
            for key in TIMES:
                cells.append(f'{r[key]:.0f} ({r[key] / first[key]:.2f})')
            print(f'| {" | ".join(cells)} |')


def main():
    p = parser(__doc__.splitlines()[0], runs=5)
    p.add_argument('--images', type=int, default=40)
    p.add_argument('--samples', type=int, default=20, help='of a run')
    p.add_argument('--size', type=int, nargs=2, default=SIZE, help='height and width of an image')
    p.add_argument('--csv', help='file for the table')
    p.add_argument('--folder', help='on the disk to measure; default: for temporary files')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        files = []
        for i, layout in enumerate(layouts()):
            (folder / str(i)).mkdir()
            files.append(File(folder / str(i), layout, args.images, args.size))
        png = []
        images = []
        for seed in range(args.images):
            gt = mosaic(seed, args.size)
            png.append(len(cv2.imencode('.png', gt)[1]) / gt.nbytes)
            target = cv2.GaussianBlur(gt, None, 0.7)
            images.append({'lq': low_resolution(gt, SCALE), 'gt': gt, 'target': target})
        for file in files:
            file.write(images)
            file.open()
        del images
        check(files)
        rows = measure(files, args)
    finally:
        shutil.rmtree(folder)
    report(rows, statistics.mean(png), args)
    if args.csv:
        with open(args.csv, 'w', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator='\n')
            writer.writeheader()
            writer.writerows(rows)


if __name__ == '__main__':
    main()
