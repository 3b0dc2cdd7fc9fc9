"""Training samples per second in one process: BasicSR on PNG files, on its LMDB, and crops out of
the target cache; and what a loader with one worker process adds, with batches of floats, as BasicSR
collates them, and with packed bytes.

    python benchmarks/loader.py [--runs N] [--images N] [--only dataset|loader]

Images of 2040×1356 pixels, enlarged photographs of scikit-image; patches of 192×192, ×4.
"""

import copy
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import torch
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from timing import interleaved_medians, machine, parser
from torch.utils.data import DataLoader, RandomSampler

from mtkd_basicsr.data.cache.inputs import CachedImage
from mtkd_basicsr.data.cache.key import CacheKey
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.data.distill_dataset import DistillImageDataset
from mtkd_basicsr.data.packed_batches import to_device
from mtkd_basicsr.data.sample_photographs import load, low_resolution

SIZE = (2040, 1356)
SCALE = 4
PATCH = 192
NAMES = ('rocket', 'motorcycle_left', 'coffee', 'chelsea', 'astronaut')
SAMPLES = {'png': 4, 'lmdb': 4, 'ours': 400}  # of one timed run
BATCH = 16
BATCHES = 20  # of one timed run of a loader
READY = 0.15  # seconds in which a worker makes the next batches
CPU = torch.device('cpu')


def write_images(folder, count):
    """The same photographs as PNG files, as BasicSR's LMDB, and as a target cache."""
    images = []
    for i in range(count):
        gt = cv2.resize(load(NAMES[i % len(NAMES)]), SIZE, interpolation=cv2.INTER_LANCZOS4)[
            ..., ::-1
        ]
        lq = low_resolution(gt, SCALE)
        for kind, image in (('gt', gt), ('lq', lq)):
            (folder / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / kind / f'{i}.png'), image)
        images.append((gt, lq))
    for kind in ('gt', 'lq'):
        names = [str(i) for i in range(count)]
        make_lmdb_from_imgs(
            str(folder / kind), str(folder / f'{kind}.lmdb'), [f'{n}.png' for n in names], names
        )
    listed = tuple(CachedImage(f'{i}.png', SIZE[1], SIZE[0]) for i in range(count))
    writer = CacheWriter(str(folder / 'target.lmdb'), CacheKey('target', SCALE, images=listed))
    for i, (gt, lq) in enumerate(images):
        writer.put(i, {'lq': lq, 'gt': gt, 'target': gt})
    writer.finish()


def loader(dataset, packed):
    """A loader with one worker process, for one run."""
    count = BATCH * (BATCHES + 4)
    sampler = RandomSampler(dataset, replacement=True, num_samples=count)
    dataset = copy.copy(dataset)
    result = DataLoader(dataset, BATCH, sampler=sampler, num_workers=1, drop_last=True)
    if packed:
        dataset.pack_batches(result)
    return result


def samples_per_second(dataset, packed):
    """One run: the main process takes batches as fast as the worker makes them."""
    batches = iter(loader(dataset, packed))
    for _ in range(3):
        next(batches)
    start = time.perf_counter()
    for _ in range(BATCHES):
        next(batches)
    return BATCH * BATCHES / (time.perf_counter() - start)


class Device:
    """Memory that stands for that of a device: what is copied there is read once."""

    def __init__(self):
        self.buffers = {}

    def take(self, name, tensor):
        if name not in self.buffers:
            self.buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype)
        self.buffers[name].copy_(tensor)

    def take_floats(self, batch):
        for name in ('lq', 'gt', 'target'):
            self.take(name, batch[name])

    def take_bytes(self, batch):
        self.take('pixels', batch['pixels'])

    def convert(self, batch):
        """On a CPU the conversion to floats counts, and is the copy."""
        to_device(batch, CPU)


def main_process(dataset):
    """What a batch that is ready costs the main process, in milliseconds by way of giving it."""
    device = Device()
    ways = {
        'floats': (False, device.take_floats),
        'bytes': (True, device.take_bytes),
        'bytes, and conversion': (True, device.convert),
    }
    batches = {name: iter(loader(dataset, packed)) for name, (packed, _) in ways.items()}
    seconds = {name: [] for name in ways}
    for turn in range(-3, BATCHES):
        for name, (_, take) in ways.items():
            time.sleep(READY)
            start = time.perf_counter()
            batch = next(batches[name])
            take(batch)
            del batch  # which frees its memory
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}


def report_loader(dataset, runs):
    """Print what a loader with one worker process gives, and costs the main process."""
    rates = {False: [], True: []}
    for _ in range(runs):
        for packed, values in rates.items():
            values.append(samples_per_second(dataset, packed))
    floats, packed = (statistics.median(values) for values in rates.values())
    print(f'\nThrough a loader with one worker process, batches of {BATCH}')
    print('\n| | samples per second |\n|---|---|')
    print(f'| floats | {floats:.0f} |\n| packed bytes | {packed:.0f} |')
    print(f'\npacked bytes / floats: {packed / floats:.1f}')
    print('\n| main process, a batch that is ready | ms |\n|---|---|')
    milliseconds = main_process(dataset)
    for name, value in milliseconds.items():
        print(f'| {name} | {value:.2f} |')
    for name in list(milliseconds)[1:]:
        print(f'\n{name} / floats: {milliseconds[name] / milliseconds["floats"]:.2f}')


def report_datasets(data, args):
    """Print the samples per second of data sets without a loader."""

    def reader(kind):
        return lambda: [data[kind][i % args.images] for i in range(SAMPLES[kind])]

    seconds = dict(zip(data, interleaved_medians([reader(kind) for kind in data], args.runs)))
    rate = {kind: SAMPLES[kind] / seconds[kind] for kind in data}
    print(
        f'Samples of {PATCH}×{PATCH}, ×{SCALE}, out of {SIZE[0]}×{SIZE[1]} images, one process, '
        f'median of {args.runs}'
    )
    print('\n| | samples per second |\n|---|---|')
    for kind, text in (
        ('png', 'PairedImageDataset, PNG files'),
        ('lmdb', 'PairedImageDataset, its LMDB'),
        ('ours', 'DistillImageDataset, with the target'),
    ):
        print(f'| {text} | {rate[kind]:.1f} |')
    print(
        f'\nours / PNG: {rate["ours"] / rate["png"]:.0f}\nours / LMDB: '
        f'{rate["ours"] / rate["lmdb"]:.0f}'
    )


def main():
    p = parser(__doc__.splitlines()[0], runs=7)
    p.add_argument('--images', type=int, default=5)
    p.add_argument('--only', choices=('dataset', 'loader'), help='one of the two tables')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder, args.images)
        block = {
            'phase': 'train',
            'scale': SCALE,
            'gt_size': PATCH,
            'use_hflip': True,
            'use_rot': True,
            'dataroot_gt': str(folder / 'gt'),
            'dataroot_lq': str(folder / 'lq'),
            'filename_tmpl': '{}',
        }
        data = {
            'png': PairedImageDataset({**block, 'io_backend': {'type': 'disk'}}),
            'lmdb': PairedImageDataset(
                {
                    **block,
                    'io_backend': {'type': 'lmdb'},
                    'dataroot_gt': str(folder / 'gt.lmdb'),
                    'dataroot_lq': str(folder / 'lq.lmdb'),
                }
            ),
            'ours': DistillImageDataset(
                {
                    **block,
                    'io_backend': {'type': 'disk'},
                    'target_cache': str(folder / 'target.lmdb'),
                }
            ),
        }

        print(f'{machine("cpu")}')
        if args.only != 'loader':
            report_datasets(data, args)
        if args.only != 'dataset':
            report_loader(data['ours'], args.runs)


if __name__ == '__main__':
    main()
