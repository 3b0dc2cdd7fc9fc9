"""``mtkd cache`` against the bare forward pass of teachers and fusion network on the same images.

    python benchmarks/cache.py [--device cpu|cuda] [--threads N] [--images N] [--paper]

Photographs of scikit-image, 480×480 pixels, ×4. Networks of a few hundred thousand parameters, or
with --paper those of options/mtkd_edsr.yml; weights are random. The time of the command is that of
all it does: reading options, building and checking networks, hashing weights, decoding, writing.
"""

import contextlib
import io
import itertools
import tempfile
import time
from pathlib import Path

import cv2
import torch
import yaml
from basicsr.utils.options import ordered_yaml
from timing import machine, parser, random_weights

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands import cache
from mtkd_basicsr.config import parse_fusion, parse_teachers
from mtkd_basicsr.data.cache.sources import KINDS, notes_of
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.data.source_files import SourceFiles
from mtkd_basicsr.data.whole_images import build_paired_dataset
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble
from mtkd_basicsr.utils.choices import TILE_OVERLAP
from mtkd_basicsr.utils.resources import option_file

NAMES = ('rocket', 'motorcycle_left', 'hubble_deep_field', 'astronaut', 'retina')
SIZE = 480
SCALE = 4


def write_images(folder, count, size=SIZE):
    lqs = []
    for i in range(count):
        gt = cv2.resize(load(NAMES[i % len(NAMES)]), (size, size), interpolation=cv2.INTER_AREA)[
            ..., ::-1
        ]
        lq = low_resolution(gt, SCALE)
        for kind, image in (('gt', gt), ('lq', lq)):
            (folder / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / kind / f'{i}.png'), image)
        lqs.append(torch.from_numpy(lq[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255)
    return lqs


def write_options(folder, paper):
    source = option_file('mtkd_edsr.yml') if paper else option_file('demo', 'mtkd.yml')
    opt = yaml.load(source.read_text(), Loader=ordered_yaml()[0])
    opt['datasets']['train'].update(
        dataroot_gt=str(folder / 'gt'),
        dataroot_lq=str(folder / 'lq'),
        type='DistillImageDataset',
        target_cache=str(folder / 'target.lmdb'),
    )
    for name, block in {**opt['teachers'], 'fusion': opt['fusion']}.items():
        torch.save({'params': random_weights(block['network'], name)}, folder / f'{name}.pth')
        block['weights'] = str(folder / f'{name}.pth')
    path = folder / 'options.yml'
    path.write_text(yaml.dump(opt, Dumper=ordered_yaml()[1]))
    return opt, str(path)


def timed(function, device):
    start = time.perf_counter()
    function()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main():
    p = parser(__doc__.splitlines()[0], runs=3)
    p.add_argument('--images', type=int, default=16)
    p.add_argument('--paper', action='store_true', help="the paper's networks")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lqs = [lq.to(args.device) for lq in write_images(folder, args.images)]
        opt, path = write_options(folder, args.paper)
        target = FusedTeachers(
            TeacherEnsemble(parse_teachers(opt), SCALE, args.device), parse_fusion(opt), args.device
        )
        overlaps = itertools.count(TILE_OVERLAP + 1)

        def whole():
            overlap = next(overlaps)  # another setting, so that the work is done again
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                cache(path, tile_overlap=overlap, device=args.device, overwrite=True)

        def bare():
            for lq in lqs:
                target(lq)

        block = {**opt['datasets']['train'], 'phase': 'train', 'scale': SCALE}
        files = SourceFiles(build_paired_dataset(block, 'datasets.train'))

        def notes():
            for index in range(args.images):
                for kind in KINDS:
                    notes_of(files, index, kind)

        bare()
        times = [
            [timed(function, args.device) for function in (whole, bare, notes)]
            for _ in range(args.runs)
        ]
    ours, forward, noted = (sorted(t)[len(t) // 2] for t in zip(*times))
    networks = 'the paper' if args.paper else 'the demo'
    print(
        f"{args.images} images of {SIZE}×{SIZE}, ×{SCALE}, {networks}'s networks, median of "
        f'{args.runs}'
    )
    print(f'{machine(args.device)}\n\n| | seconds | images per second |\n|---|---|---|')
    for text, seconds in (('mtkd cache', ours), ('bare forward', forward)):
        print(f'| {text} | {seconds:.1f} | {args.images / seconds:.2f} |')
    print(f'\nmtkd cache / bare forward: {ours / forward:.3f}')
    print(f'reading and checksums of all files / mtkd cache: {noted / ours:.5f}')


if __name__ == '__main__':
    main()
