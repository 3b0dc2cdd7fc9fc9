"""What it costs at the start of a training to compare the images with those of the cache.

    python benchmarks/cache_start.py [--images 800] [--size 1356 2040]

A photograph of scikit-image in as many PNG files as DIV2K has, ×4. The cache has the manifest and
the records of its images, which are all that is read at the start; arrays are left out, because
they would fill 14 GB.
"""

import json
import os
import shutil
import tempfile
import time
import zlib
from pathlib import Path

import cv2
import lmdb
import numpy as np
from basicsr.data import build_dataset
from basicsr.data.paired_image_dataset import PairedImageDataset
from timing import machine, parser

from mtkd_basicsr.data.cache.format import entry_name, id_of, manifest_of
from mtkd_basicsr.data.cache.inputs import CachedImage
from mtkd_basicsr.data.cache.key import CacheKey
from mtkd_basicsr.data.cache.reader import close_map
from mtkd_basicsr.data.cache.sources import KINDS, notes_of
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.data.source_files import SourceFiles

SCALE = 4


def write_images(folder, count, height, width):
    """Write one photograph as many files, which take their space and time to read."""
    gt = cv2.resize(load('retina'), (width, height), interpolation=cv2.INTER_CUBIC)[..., ::-1]
    noise = np.random.default_rng(0).integers(-4, 5, gt.shape)  # a PNG as large as DIV2K's
    gt = (gt + noise).clip(0, 255).astype(np.uint8)
    for kind, image in (('gt', gt), ('lq', low_resolution(gt, SCALE))):
        (folder / kind).mkdir()
        first = folder / kind / '0000.png'
        cv2.imwrite(str(first), image)
        for i in range(1, count):
            shutil.copyfile(first, folder / kind / f'{i:04d}.png')


def write_records(path, block, height, width):
    """Write the cache of the images, without its arrays."""
    dataset = PairedImageDataset(dict(block))
    names = sorted(os.path.basename(pair['gt_path']) for pair in dataset.paths)
    dataset.paths.sort(key=lambda pair: pair['gt_path'])
    images = tuple(CachedImage(name, height, width) for name in names)
    manifest = manifest_of(CacheKey('target', SCALE, images=images, version='benchmark'))
    files = SourceFiles(dataset)
    pixels: dict[bytes, int] = {}
    env = lmdb.open(str(path), map_size=1 << 30)
    with env.begin(write=True) as txn:
        txn.put(b'manifest', manifest)
        txn.put(b'id', id_of(manifest))
        for index in range(len(names)):
            sources = {}
            for kind in KINDS:
                content, values = notes_of(files, index, kind)
                if content not in pixels:  # the files are copies of one
                    pixels[content] = zlib.crc32(files.decode(index, kind, content).data)
                sources[kind] = [*values, pixels[content]]
            checksums = {kind: note[-1] for kind, note in sources.items()} | {'target': 0}
            txn.put(entry_name(index, 'crc'), json.dumps(checksums).encode())
            txn.put(entry_name(index, 'source'), json.dumps(sources).encode())
    env.close()


def main():
    p = parser(__doc__.splitlines()[0], runs=1)
    p.add_argument('--images', type=int, default=800)
    p.add_argument('--size', type=int, nargs=2, default=(1356, 2040), help='height and width')
    args = p.parse_args()
    height, width = args.size
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder, args.images, height, width)
        block = {
            'name': 'train',
            'type': 'DistillImageDataset',
            'dataroot_gt': str(folder / 'gt'),
            'dataroot_lq': str(folder / 'lq'),
            'io_backend': {'type': 'disk'},
            'phase': 'train',
            'scale': SCALE,
        }
        path = folder / 'cache.lmdb'
        write_records(path, block, height, width)

        def start(text, **more):
            begin = time.perf_counter()
            build_dataset({**block, **more})
            rows.append((text, time.perf_counter() - begin))

        start('without a cache')
        cached = {'target_cache': str(path)}
        start('files as they were', **cached)
        for file in (folder / 'gt').iterdir():
            os.utime(file)
        start('all ground truths with another time', **cached)
        start('the same, again', **cached)
        for file in (folder / 'gt').iterdir():
            file.write_bytes(file.read_bytes() + b'\0')  # as if encoded anew
        start('all ground truths in other files, decoded', **cached)
        start('the same, again', **cached)
        close_map(path)
    print(f'{args.images} images of {height}×{width}, ×{SCALE}\n{machine(args.device)}\n')
    print('| start of a data set | seconds |\n|---|---|')
    for text, seconds in rows:
        print(f'| {text} | {seconds:.2f} |')
    decoded = rows[4][1]
    print(f'\nall decoded / all with another time: {decoded / rows[2][1]:.1f}')


if __name__ == '__main__':
    main()
