"""``mtkd cache`` against the bare forward pass of teachers and fusion network on the same images.

    python benchmarks/cache.py [--device cpu|cuda] [--threads N] [--images N] [--size N] [--paper]
                               [--folder DIR]

Photographs of scikit-image, 480×480 pixels, ×4; with --size 64 they are small enough that launching
operations costs more than what they compute. Networks of a few hundred thousand parameters, or with
--paper those of options/mtkd_edsr.yml; weights are random. The time of the command is that of all
it does: reading options, building and checking networks, hashing weights, decoding, writing. Its
baseline computes one image at a time, and decodes, computes, measures and writes in turn, as the
command did before. All take turns; processor seconds are those of all threads and processes.
"""

import contextlib
import io
import itertools
import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import cv2
import torch
import yaml
from basicsr.utils.options import ordered_yaml
from timing import machine, parser, random_weights

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands import cache
from mtkd_basicsr.commands.cache import targets as command
from mtkd_basicsr.commands.cache.batches import choose_batch_pixels, plan_batches
from mtkd_basicsr.config import parse_fusion, parse_teachers
from mtkd_basicsr.data.cache.inputs import CachedImage
from mtkd_basicsr.data.cache.sources import KINDS, notes_of
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.data.source_files import SourceFiles
from mtkd_basicsr.data.whole_images import build_paired_dataset
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble
from mtkd_basicsr.utils.choices import TILE_OVERLAP
from mtkd_basicsr.utils.images import psnr_y
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


def _compute_in_turn(writer, targets, batches, missing, share, rank):
    """What ``compute_images`` of the package replaces: everything in one thread."""
    measured = {}
    for loaded in batches:
        ((index,), (lq,), (gt,)) = loaded.batch.indices, loaded.lq.numpy(), loaded.gt.numpy()
        names = [writer.key.images[index].name]
        outputs = targets(names, loaded.lq, loaded.batch).wait()[0]
        arrays = dict(zip(targets.array_names, outputs))
        writer.put(index, {'lq': lq, 'gt': gt, **arrays}, loaded.sources[0])
        for name, output in arrays.items():
            measured.setdefault(name, []).append(psnr_y(output, gt, targets.scale))


@contextlib.contextmanager
def one_at_a_time():
    """Let ``mtkd cache`` work as it did before: no batches and no thread."""
    with (
        mock.patch.object(command, 'choose_batch_pixels', return_value=1),
        mock.patch.object(command, 'compute_images', _compute_in_turn),
    ):
        yield


def batches_of(lqs, device):
    """The images in the batches that ``mtkd cache`` makes of them."""
    images = [CachedImage(str(i), *(SCALE * n for n in x.shape[2:])) for i, x in enumerate(lqs)]
    pixels = choose_batch_pixels(images, SCALE, torch.device(device), 1)
    return [torch.cat([lqs[i] for i in batch]) for batch in plan_batches(images, SCALE, pixels)]


def timed(function, device):
    """Seconds on the clock, and of processors."""
    start = time.perf_counter()
    before = sum(os.times()[:4])
    function()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start, sum(os.times()[:4]) - before


def main():
    p = parser(__doc__.splitlines()[0], runs=3)
    p.add_argument('--images', type=int, default=16)
    p.add_argument('--size', type=int, default=SIZE, help='side of a ground truth in pixels')
    p.add_argument('--paper', action='store_true', help="the paper's networks")
    p.add_argument(
        '--folder', help='where images and caches are written; default: /tmp or the like'
    )
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        lqs = [lq.to(args.device) for lq in write_images(folder, args.images, args.size)]
        opt, path = write_options(folder, args.paper)
        target = FusedTeachers(
            TeacherEnsemble(parse_teachers(opt), SCALE, args.device), parse_fusion(opt), args.device
        )
        overlaps = itertools.count(TILE_OVERLAP + 1)
        batches = batches_of(lqs, args.device)

        def whole(workers=None):
            overlap = next(overlaps)  # another setting, so that the work is done again
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                cache(
                    path,
                    tile_overlap=overlap,
                    device=args.device,
                    overwrite=True,
                    workers=workers,
                )

        def before():
            with one_at_a_time():
                whole(workers=1)

        def bare(inputs=lqs):
            for lq in inputs:
                target(lq)

        block = {**opt['datasets']['train'], 'phase': 'train', 'scale': SCALE}
        files = SourceFiles(build_paired_dataset(block, 'datasets.train'))

        def notes():
            for index in range(args.images):
                for kind in KINDS:
                    notes_of(files, index, kind)

        functions = {
            'mtkd cache': whole,
            'one at a time, in turn': before,
            'bare forward, one at a time': bare,
            f'bare forward, batches of {max(map(len, batches))}': lambda: bare(batches),
            'reading and checksums of all files': notes,
        }
        bare(batches[:1])
        times = {name: [] for name in functions}
        for _ in range(args.runs):
            for name, function in functions.items():
                times[name].append(timed(function, args.device))
    networks = 'the paper' if args.paper else 'the demo'
    print(
        f"{args.images} images of {args.size}×{args.size}, ×{SCALE}, {networks}'s networks, the "
        f'fastest of {args.runs}'
    )
    print(f'{machine(args.device)}\n')
    print('| | seconds | images per second | processor seconds |\n|---|---|---|---|')
    best = []
    for name, pairs in times.items():
        seconds, processor = (min(values) for values in zip(*pairs))
        best.append((seconds, processor))
        print(f'| {name} | {seconds:.2f} | {args.images / seconds:.2f} | {processor:.2f} |')
    ours, in_turn, single, together, noted = best
    print(f'\nmtkd cache / bare forward in batches: {_ratio(ours, together)}')
    print(f'mtkd cache / bare forward one at a time: {_ratio(ours, single)}')
    print(f'one at a time, in turn / mtkd cache: {_ratio(in_turn, ours)}')
    print(f'reading and checksums of all files / mtkd cache: {noted[0] / ours[0]:.5f}')


def _ratio(a, b):
    return f'{a[0] / b[0]:.3f} (processor: {a[1] / b[1]:.3f})'


if __name__ == '__main__':
    main()
