"""Stage 1 in closed form: the fit of the mix over a cache, and its sums against those of a step.

    python benchmarks/mix_fit.py [--threads N] [--runs N] [--images N] [--reference]

Crops of scikit-image's photographs with the sizes of BSDS500, cut to multiples of 4, in a cache of
three teachers: small random ones, whose outputs take as many bytes as others, or with --reference
those that come with the package, which take minutes. The time of the fit is that of the pass over
the cache, without that of starting a training.
"""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from basicsr.utils.options import ordered_yaml
from timing import interleaved_medians, machine, parser, write_weights

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands import cache
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.functional.least_squares_mix import normal_equations, pixel_products
from mtkd_basicsr.models.mix_fit import fit_mix
from mtkd_basicsr.utils.image_tensors import to_tensor
from mtkd_basicsr.utils.resources import option_file

PHOTOGRAPHS = ('rocket', 'motorcycle_left', 'hubble_deep_field', 'astronaut', 'retina', 'coffee')
SIZES = ((320, 480), (480, 320))  # multiples of the scale, as GTmod12 has them
SCALE = 4
SMALL = {'num_feat': 4, 'num_block': 1}


def write_images(folder, count):
    """Write crops of photographs, each at another place, with their low-resolution images."""
    random = np.random.default_rng(0)
    photographs = [load(name) for name in PHOTOGRAPHS]
    for kind in ('gt', 'lq'):
        (folder / kind).mkdir()
    for i in range(count):
        image = photographs[i % len(photographs)]
        h, w = SIZES[i % 2]
        # Some photographs are smaller than a crop on one side.
        factor = max(h / image.shape[0], w / image.shape[1], 1)
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        y = random.integers(image.shape[0] - h + 1)
        x = random.integers(image.shape[1] - w + 1)
        gt = image[y : y + h, x : x + w, ::-1]
        cv2.imwrite(str(folder / 'gt' / f'{i:04d}.png'), gt)
        cv2.imwrite(str(folder / 'lq' / f'{i:04d}.png'), low_resolution(gt, SCALE))


def make_options(folder, reference):
    """Options of stage 1 with the reference teachers, or with small random ones in their place."""
    source = option_file('reference', 'fusion.yml').read_text(encoding='utf-8')
    opt = yaml.load(source, Loader=ordered_yaml()[0])
    block = {'dataroot_gt': str(folder / 'gt'), 'dataroot_lq': str(folder / 'lq')}
    block.update(type='DistillImageDataset', target_cache=str(folder / 'teachers.lmdb'))
    opt['datasets'] = {'train': {**opt['datasets']['train'], **block}}
    opt['train']['total_iter'] = 0
    opt.update(num_gpu=0)
    if not reference:
        edsr = opt['teachers']['edsr']['network']
        for teacher in opt['teachers'].values():
            teacher['network'] = {**edsr, **SMALL}
        write_weights(opt, folder)
    path = folder / 'fit.yml'
    path.write_text(yaml.dump(opt, Dumper=ordered_yaml()[1]), encoding='utf-8')
    return opt, str(path)


def parsed(opt):
    """What BasicSR's loop adds to the options."""
    opt.update(dist=False, rank=0, world_size=1, is_train=True)
    opt['datasets']['train'].update(phase='train', scale=SCALE)
    return training_config(opt)


def main():
    p = parser(__doc__.splitlines()[0], runs=5)
    p.add_argument('--images', type=int, default=379)
    p.add_argument('--reference', action='store_true', help='the teachers of the package')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder, args.images)
        opt, path = make_options(folder, args.reference)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            start = time.perf_counter()
            cache(path)
            cached = time.perf_counter() - start
            names = list(opt['teachers'])
            mean = torch.eye(3).repeat(1, len(names)) / len(names)
            config = parsed(opt)
            fits = []
            for _ in range(args.runs):
                fits.append(fit_mix(config, names, mean, None, torch.device('cpu')))
        reader = CacheReader(folder / 'teachers.lmdb')
        arrays = [reader.array(0, f'teacher/{name}').copy() for name in names]
        truth = reader.array(0, 'gt').copy()
        floats = torch.cat([to_tensor(array) for array in arrays], 1)
        target = to_tensor(truth)
        planes = torch.from_numpy(np.stack([*arrays, truth])).permute(0, 3, 1, 2).flatten(0, 1)
        old, new = interleaved_medians(
            [lambda: normal_equations(floats, target), lambda: pixel_products(planes)],
            4 * args.runs,
        )
    seconds = sorted(fit.seconds for fit in fits)[len(fits) // 2]
    print(f'{args.images} images, {fits[0].pixels / 1e6:.1f} megapixels, median of {args.runs}')
    print(f'{machine("cpu")}\n\n| | seconds |\n|---|---|')
    print(f'| mtkd cache, these teachers | {cached:.1f} |')
    print(f'| fit of the mix over the cache | {seconds:.2f} |')
    print(f'| sums of an image, as a training step computes them | {old:.4f} |')
    print(f'| sums of an image, of whole numbers | {new:.4f} |')
    print(f'\nsums of a step / sums of whole numbers: {old / new:.2f}')
    if args.reference:
        print('\n'.join(fits[0].describe('out of the cache')))


if __name__ == '__main__':
    main()
