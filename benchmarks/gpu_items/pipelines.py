"""Times of what a user runs: steps, teachers, loaders, caches, validation."""

import contextlib
import copy
import functools
import itertools
import shutil
import statistics
import time

import cv2
import numpy as np
import torch
import yaml
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.utils.options import ordered_yaml
from cache import batches_of, one_at_a_time, write_images, write_options
from launches import with_basicsr_masks
from timing import write_weights

from mtkd_basicsr.commands import cache as run_cache
from mtkd_basicsr.commands import check as run_check
from mtkd_basicsr.commands import upscale as run_upscale
from mtkd_basicsr.config import parse_fusion, parse_teachers
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble

from .frame import report_times, timing
from .setups import (
    SCALE,
    STUDENTS,
    all_methods,
    batch,
    cast_pair,
    paper_networks,
    patch_size,
    quiet,
    random_network,
    stepper,
    student_options,
    swinir_pair,
    training,
)


def _peak(context):
    return torch.cuda.max_memory_allocated() / 2**30 if context.device == 'cuda' else None


@timing(seconds=140, rank=2)
def training_step(context):
    """A step of the student: BasicSR's, without a teacher, MTKD with a cache, and its options."""
    for student in context.pick(STUDENTS, STUDENTS[:1]):
        options = all_methods(context, student)
        data = batch(context, patch_size(context), device=context.device)
        plain = copy.deepcopy(options['scratch'])
        plain['model_type'] = 'SRModel'
        steps = {
            'BasicSR': stepper(training(plain, context.device), data),
            'scratch': stepper(training(options['scratch'], context.device), data),
            'MTKD, cached': stepper(training(options['MTKD'], context.device), data),
        }
        variants = {
            'amp': {'amp': 'bf16'},
            'channels_last': {'channels_last': True},
            'amp and channels_last': {'amp': 'bf16', 'channels_last': True},
        }
        if student == 'EDSR' and not context.tiny:
            for name, mode in (('compile', True), ('CUDA graphs', 'reduce-overhead')):
                variants[name] = {'compile': mode}
                variants[f'{name}, amp and channels_last'] = {
                    **variants['amp and channels_last'],
                    'compile': mode,
                }
        for name, changes in variants.items():
            steps[f'MTKD, {name}'] = stepper(
                training(options['MTKD'], context.device, **changes), data
            )
        named = {f'{student}, {name}': step for name, step in steps.items()}
        medians = report_times(context, named, runs=20)
        ratio = medians[f'{student}, MTKD, cached'] / medians[f'{student}, scratch']
        context.expect(f'{student}: MTKD with a cache / alone', ratio, context.pick(1.05, 99))


@timing(seconds=90, rank=2)
def recorded_steps(context):
    """Steps whose kernels are recorded as they are against plain ones, with and without a cache."""
    data = batch(context, patch_size(context), device=context.device)
    for student in context.pick(STUDENTS, STUDENTS[:1]):
        with context.part(student):
            opt = student_options(context, student)
            for cached in (True, False) if student == 'EDSR' else (True,):
                part = f'{student}, {"cached" if cached else "teachers at each step"}'
                steps = {}
                for name, mode in (('plain', False), ('CUDA graphs', 'cudagraphs')):
                    model = training(opt, context.device, cached, compile=mode)
                    steps[f'{part}, {name}'] = stepper(model, data)
                plain, graphs = report_times(context, steps, runs=15, warmup=5).values()
                context.record(f'{part}: plain / CUDA graphs', plain / graphs)


def _swinir_step(context):
    data = batch(context, patch_size(context), device=context.device)
    student = context.pick('SwinIR', 'EDSR')  # the small plan has no SwinIR
    step = stepper(training(student_options(context, student), context.device), data)
    functions = {"a step, BasicSR's": with_basicsr_masks(step), "a step, the package's": step}
    medians = list(report_times(context, functions, runs=20).values())
    context.record('a step: ratio', medians[0] / medians[1])


@timing(seconds=40, rank=4)
def swinir(context):
    """SwinIR with the package's attention masks against BasicSR's, forward and a training step."""
    _swinir_step(context)
    ours, theirs = swinir_pair(context)
    sizes = context.pick(((16, 32, 32), (1, 120, 120), (1, 344, 512)), ((1, 16, 16),))
    for number, h, w in sizes:
        x = torch.rand(number, 3, h, w, device=context.device)

        def forward(net, x=x):
            with torch.no_grad(), torch.autocast(context.device, torch.bfloat16):
                net(x)

        functions = {
            f'{number} × {h}×{w}, {name}': lambda net=net, f=forward: f(net)
            for name, net in (("BasicSR's", theirs), ("the package's", ours))
        }
        report_times(context, functions, runs=5, warmup=2)


@timing(seconds=50, rank=5)
def teachers(context):
    """Teachers and the fusion network: autocast, weights cast once, a CUDA graph."""
    networks = paper_networks(context)
    sizes = context.pick(((16, 32, 32), (1, 120, 120), (8, 120, 120)), ((1, 16, 16),))
    for name, options in networks.items():
        if name == 'student':
            continue
        cast, net = cast_pair(options, context)
        for number, h, w in sizes:
            factor = SCALE if name == 'fusion' else 1
            channels = options.get('in_chans', 9) if name == 'fusion' else 3
            x = torch.rand(number, channels, factor * h, factor * w, device=context.device)

            def forward(net, x=x):
                with torch.no_grad(), torch.autocast(context.device, torch.bfloat16):
                    return net(x)

            functions = {
                'autocast': functools.partial(forward, net),
                'cast once': functools.partial(forward, cast),
            }
            part = f'{name}, {number} × {h}×{w}'
            if context.device == 'cuda':
                with context.part(f'{part}, graph'):
                    functions['graph'] = _graph(functools.partial(forward, cast))
            with context.part(part):
                named = {f'{part}, {kind}': function for kind, function in functions.items()}
                report_times(context, named, runs=10, warmup=3)


def _graph(function):
    """Record a CUDA graph of a function, and return what replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


@timing(seconds=40, rank=11)
def methods_step(context):
    """A step of every method against the student alone."""
    data = batch(context, patch_size(context), device=context.device)
    steps = {}
    for name, opt in all_methods(context).items():
        with context.part(name):
            step = stepper(training(opt, context.device), data)
            step()
            steps[name] = step
    medians = report_times(context, steps, runs=15, warmup=3)
    for name, seconds in medians.items():
        context.record(f'{name} / scratch', seconds / medians['scratch'])


def _random_images(folder, number, side):
    """Write pairs of random photographs-like images, and return the roots."""
    roots = []
    for kind, size in (('gt', side), ('lq', side // SCALE)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            generator = np.random.default_rng(i)
            small = generator.integers(0, 256, (12, 12, 3), np.uint8)
            image = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / kind / f'{i:04d}.png'), image)
        roots.append(str(folder / kind))
    return roots


@timing(seconds=80, rank=6)
def loop(context):
    """Iterations per second of the real loop, with batches of floats and of packed bytes."""
    number = context.pick(200, 4)
    folder = context.files / 'loop'
    gt, lq = _random_images(folder, number, context.pick(480, 64))
    opt = student_options(context)
    small = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1}
    source = {
        **opt,
        'teachers': {'edsr': {'network': {**small, 'upscale': SCALE}, 'weights': ''}},
        'train': {**opt['train'], 'kd': {'type': 'LogitKD'}},
    }
    source.pop('fusion', None)
    write_weights(source, folder)
    block = source['datasets']['train']
    block.update(dataroot_gt=gt, dataroot_lq=lq, target_cache=str(folder / 'target.lmdb'))
    block.update(gt_size=SCALE * patch_size(context), batch_size_per_gpu=context.pick(16, 2))
    (folder / 'options.yml').write_text(yaml.dump(source, Dumper=ordered_yaml()[1]))
    with quiet():
        run_cache(folder / 'options.yml', device=context.device)
    block.update(phase='train', scale=SCALE)
    model = training(student_options(context), context.device)
    steps = context.pick(60, 2)
    workers = context.pick((2, 6, 12), (1,))
    pinned = (False, True) if context.device == 'cuda' else (False,)
    for worker, pin, packs in itertools.product(workers, pinned, (False, True)):
        block.update(num_worker_per_gpu=worker, pin_memory=pin, dataset_enlarge_ratio=100)
        kind = 'packed bytes' if packs else 'floats'
        part = f'{worker} workers, pin_memory {pin}, {kind}'
        with context.part(part), quiet():
            dataset = build_dataset(dict(block))
            sampler = EnlargedSampler(dataset, 1, 0, 100)
            loader = build_dataloader(dataset, dict(block), sampler=sampler, seed=0)
            if packs:
                dataset.pack_batches(loader)
            batches = iter(loader)
            waiting = 0.0
            for iteration in range(-5, steps):
                if iteration == 0:
                    context.synchronize()
                    start = time.perf_counter()
                    waiting = 0.0
                asked = time.perf_counter()
                data = next(batches)
                waiting += time.perf_counter() - asked
                model.feed_data(data)
                model.optimize_parameters(iteration + 6)
            context.synchronize()
            seconds = time.perf_counter() - start
            text = f'{steps / seconds:.1f} ({100 * waiting / seconds:.0f} % of it waiting for data)'
            context.record(part, text, 'it/s')
            del batches


@timing(seconds=90, rank=7)
def cache_command(context):
    """``mtkd cache`` against one image at a time, and the bare forward pass of its networks."""
    for size, count in context.pick(((480, 64), (96, 256)), ((64, 4),)):
        with context.part(f'{size}×{size}'):
            _cache_command(context, size, count)


def _cache_command(context, size, count):
    """Time the command for images of one size: as it is, in turn, and what its networks need."""
    folder = context.files / f'cache_{size}'
    folder.mkdir()
    lqs = [lq.to(context.device) for lq in write_images(folder, count, size)]
    opt, path = write_options(folder, not context.tiny)
    # The start of both is the same: building networks, hashing weights.
    rates = {}
    for name, way in (('in batches', contextlib.nullcontext), ('in turn', one_at_a_time)):
        with quiet(), way():
            start = time.perf_counter()
            workers = 1 if name == 'in turn' else None
            run_cache(path, device=context.device, overwrite=True, tile_overlap=16, workers=workers)
            seconds = time.perf_counter() - start
        shutil.rmtree(folder / 'target.lmdb')
        rates[name] = count / seconds
        context.record(f'{size}×{size}, mtkd cache, {name}', rates[name], 'images/s')
    context.record(f'{size}×{size}, in batches / in turn', rates['in batches'] / rates['in turn'])
    ensemble = TeacherEnsemble(parse_teachers(opt), SCALE, context.device)
    target = FusedTeachers(ensemble, parse_fusion(opt), context.device)
    for x in (lqs[0], batches_of(lqs, context.device)[0]):
        number = len(x)
        name = f'{size}×{size}, bare forward, {number}'
        medians = report_times(context, {name: lambda x=x: target(x)}, 5, 2)
        context.record(f'{name} at a time', number / medians[name], 'images/s')


@timing(seconds=20, rank=12)
def validation_sizes(context):
    """Images of several sizes through a student: the first and the second time."""
    net = random_network(paper_networks(context)['student'], context.device)
    sizes = context.pick(((64, 64), (70, 72), (57, 86), (128, 128), (128, 126)), ((16, 16),))
    for benchmark in (False, True):
        torch.backends.cudnn.benchmark = benchmark
        for turn in ('first', 'second'):
            seconds = []
            for h, w in sizes:
                x = torch.rand(1, 3, h, w, device=context.device)
                context.synchronize()
                start = time.perf_counter()
                with torch.no_grad():
                    net(x)
                context.synchronize()
                seconds.append(time.perf_counter() - start)
            mean = 1e3 * statistics.mean(seconds)
            context.record(f'benchmark {benchmark}, {turn} time', mean, 'ms')
    torch.backends.cudnn.benchmark = False


@timing(seconds=25, rank=13)
def upscale_command(context):
    """``mtkd upscale`` of a picture with the reference teacher, whole and in tiles."""
    folder = context.files / 'upscale'
    (folder / 'in').mkdir(parents=True)
    h, w = context.pick((339, 510), (48, 64))
    picture = np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)
    path = folder / 'in' / 'picture.png'
    cv2.imwrite(str(path), picture)
    for tile in (None, context.pick(128, 40)):
        with context.part(f'tile {tile}'), quiet():
            if context.device == 'cuda':
                torch.cuda.reset_peak_memory_stats()
            start = time.perf_counter()
            run_upscale(
                [path],
                weights='reference:edsr_x4',
                out=folder / f'out_{tile}',
                tile=tile,
                device=context.device,
            )
            context.record(f'tile {tile}', time.perf_counter() - start, 's')
            context.record(f'tile {tile}, memory', _peak(context), 'GiB')


@timing(seconds=45, rank=14)
def check_command(context):
    """What ``mtkd check`` says of time and memory against a step."""
    folder = context.files / 'check'
    folder.mkdir()
    write_images(folder, 4, context.pick(480, 288))
    opt, path = write_options(folder, not context.tiny)
    opt['num_gpu'] = int(context.device == 'cuda')
    for phase in [name for name in opt['datasets'] if name != 'train']:
        del opt['datasets'][phase]
    opt['datasets']['train'].pop('target_cache', None)
    opt['datasets']['train']['type'] = 'PairedImageDataset'
    opt.pop('val', None)
    cached = {'type': 'DistillImageDataset', 'target_cache': str(folder / 'not_yet.lmdb')}
    for says, changes in (('says', {}), ('with mtkd cache', cached)):
        opt['datasets']['train'].update(changes)
        with open(path, 'w') as file:
            yaml.dump(opt, file, Dumper=ordered_yaml()[1])
        for finding in run_check(path):
            context.record(says, str(finding))


@timing(seconds=25, rank=15)
def memory(context):
    """Memory after many steps, and with teachers at every step."""
    model = training(student_options(context), context.device)
    step = stepper(model, batch(context, patch_size(context), device=context.device))
    if context.device != 'cuda':
        step()
        context.record('without a GPU', 'not measured')
        return
    allocated = []
    for _ in range(2):
        for _ in range(100):
            step()
        torch.cuda.synchronize()
        allocated.append(torch.cuda.memory_allocated())
    context.expect('growth from step 100 to 200, bytes', allocated[1] - allocated[0], 0)
    context.record('peak, MTKD with a cache', _peak(context), 'GiB')
    torch.cuda.reset_peak_memory_stats()
    data = batch(context, patch_size(context), device=context.device)
    del data['target']
    opt = student_options(context)
    opt['datasets']['train']['target_cache'] = None
    uncached = stepper(training(opt, context.device, cached=False), data)
    uncached()
    uncached()
    context.record('peak, teachers at every step', _peak(context), 'GiB')
