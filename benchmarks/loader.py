"""Training samples per second in one process: BasicSR on PNG files, on its LMDB, and crops out of
the target cache.

    python benchmarks/loader.py [--runs N] [--images N]

Images of 2040×1356 pixels, enlarged photographs of scikit-image; patches of 192×192, ×4.
"""

import tempfile
from pathlib import Path

import cv2
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from timing import interleaved_medians, machine, parser

from mtkd_basicsr.data.cache.inputs import CachedImage
from mtkd_basicsr.data.cache.key import CacheKey
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.data.distill_dataset import DistillImageDataset
from mtkd_basicsr.data.sample_photographs import load, low_resolution

SIZE = (2040, 1356)
SCALE = 4
PATCH = 192
NAMES = ('rocket', 'motorcycle_left', 'coffee', 'chelsea', 'astronaut')
SAMPLES = {'png': 4, 'lmdb': 4, 'ours': 400}  # of one timed run


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


def main():
    p = parser(__doc__.splitlines()[0], runs=7)
    p.add_argument('--images', type=int, default=5)
    args = p.parse_args()
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

        def reader(kind):
            return lambda: [data[kind][i % args.images] for i in range(SAMPLES[kind])]

        seconds = dict(zip(data, interleaved_medians([reader(kind) for kind in data], args.runs)))
    rate = {kind: SAMPLES[kind] / seconds[kind] for kind in data}
    print(
        f'Samples of {PATCH}×{PATCH}, ×{SCALE}, out of {SIZE[0]}×{SIZE[1]} images, one process, '
        f'median of {args.runs}'
    )
    print(f'{machine("cpu")}\n\n| | samples per second |\n|---|---|')
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


if __name__ == '__main__':
    main()
