"""What the whole way costs at DIV2K's size: hours and gigabytes of each stage, on this machine.

    python benchmarks/pipeline.py [--device cpu|cuda] [--threads N] [--student NAME] [--small]
                                     [--process-time] [--budget SECONDS] [--verify]

The option files of the paper, ×4, with random weights: options/fusion_x4.yml and
options/mtkd_STUDENT.yml, and the four test sets. Each part is timed on a little of it, as by mtkd
check: decoding and writing of a few images, teachers and fusion on squares of growing size, steps
of few and more patches. The sum multiplies these by the images, megapixels and iterations of DIV2K,
as whole images and as sub-images of 480×480. Loading of data in a training is left out, because
worker processes do it. With --small the networks are those of the demo. --verify also measures as a
whole what is extrapolated.
"""

import dataclasses
import logging
import math
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch
import yaml
from basicsr.utils.options import ordered_yaml
from timing import machine, parser, write_weights

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.checks import bill, timings
from mtkd_basicsr.checks.cost import build_model_silently, checkpoints
from mtkd_basicsr.checks.estimates import Bill, Part, duration, on_line
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble
from mtkd_basicsr.utils.resources import option_file

SCALE = 4
# 800 images of 1972×1437 pixels on average (Agustsson, Timofte: NTIRE 2017 Challenge, table 1), and
# the sub-images that BasicSR's script cuts out of them.
SETS = {'whole images': (800, 800 * 1972 * 1437), 'sub-images': (32592, 32592 * 480 * 480)}
# Height and width of the images that are decoded and validated.
SIZES = {'whole images': (1356, 2040), 'sub-images': (480, 480)}
# About the megapixels of Set5, Set14, B100 and Urban100.
TEST_MEGAPIXELS = 0.6 + 3.2 + 15.4 + 77.4
VALIDATED_MEGAPIXELS = 0.6  # Set5
ITERATIONS = 500_000
FIT = 'stage 1: fit of the mix'
STEPS = 'stage 1: training'
TEACHERS = 'mtkd cache, stage 2'
FROM_MIX = 'mtkd cache --from, stage 2, of a fit'
FROM = 'mtkd cache --from, stage 2, of a training'
FIRST = 'mtkd cache, stage 1'
STAGES = (FIRST, FIT, STEPS, TEACHERS, FROM_MIX, FROM, 'stage 2: training', 'test')
# Ways through the stages, and the stages that they leave out.
WAYS = {'fit, --from': (STEPS, TEACHERS, FROM), 'training, --from': (FIT, TEACHERS, FROM_MIX)}


def write_images(folder, size, count=2):
    """Photographs of scikit-image, enlarged to the size of those of DIV2K."""
    for kind in ('gt', 'lq'):
        (folder / kind).mkdir(parents=True)
    for i, name in enumerate(('rocket', 'motorcycle_left')[:count]):
        gt = cv2.resize(load(name), size[::-1], interpolation=cv2.INTER_CUBIC)[..., ::-1]
        cv2.imwrite(str(folder / 'gt' / f'{i}.png'), gt)
        cv2.imwrite(str(folder / 'lq' / f'{i}.png'), low_resolution(gt, SCALE))


def read_options(name, folder, args):
    """An option file over these images, with random weights."""
    opt = yaml.load(option_file(name).read_text(encoding='utf-8'), Loader=ordered_yaml()[0])
    if args.small:
        kind = 'fusion' if 'fusion' in name else 'mtkd'
        text = option_file('demo', f'{kind}.yml').read_text(encoding='utf-8')
        demo = yaml.load(text, Loader=ordered_yaml()[0])
        blocks = ('teachers', 'fusion', 'network_g')
        opt.update({key: demo[key] for key in blocks if key in demo})
    opt.update(num_gpu=int(args.device == 'cuda'), dist=False, rank=0, world_size=1, is_train=True)
    for block in opt['datasets'].values():
        block.update(dataroot_gt=str(folder / 'gt'), dataroot_lq=str(folder / 'lq'))
    opt['datasets']['train'].update(target_cache=str(folder / 'none.lmdb'))
    for phase, block in opt['datasets'].items():
        block.update(phase=phase, scale=SCALE)
    write_weights(opt, folder)
    return opt


def configs(folder, args):
    """Options of stage 1 and stage 2 over some images."""
    files = ('fusion_x4.yml', f'mtkd_{args.student}.yml')
    return [training_config(read_options(name, folder, args)) for name in files]


class Training(NamedTuple):
    """A model, bills of its training and of a test, and the peak memory of a step in bytes."""

    model: Any
    bill: Bill
    test: Bill
    peak: int | None


def training(config, device):
    """Measure the steps of a model, and its validations."""
    with tempfile.TemporaryDirectory() as temporary:
        model = build_model_silently(config, device, temporary)
        estimate, peak = bill.measure_steps(model, config, device)
    steps = Part('steps', ITERATIONS, 'iterations', estimate.value, estimate.extrapolated)
    _, size = checkpoints(config)
    validation = measuring(model, config, device)
    count = bill.validations(config) * VALIDATED_MEGAPIXELS
    parts = (steps, dataclasses.replace(validation, count=count))
    test = dataclasses.replace(validation, name='test', count=TEST_MEGAPIXELS)
    return Training(model, Bill(parts, (('checkpoints', size),)), Bill((test,)), peak)


def forward(name, network, megapixels, device):
    """The part of a network that takes low-resolution images of a megapixel of ground truth."""
    estimate = timings.seconds_of_networks(network, 1e6 / SCALE**2, device)
    return Part(name, megapixels, 'megapixels', estimate.value, estimate.extrapolated)


def fusion_of(config, device):
    """The fusion network of stage 2, over random outputs of the teachers."""
    fused = FusedTeachers(TeacherEnsemble(config.teachers, SCALE, device), config.fusion, device)
    count = 3 * len(config.teachers)

    def fuse(lq):
        h, w = lq.shape[-2:]
        return fused.fusion(torch.rand(1, count, SCALE * h, SCALE * w, device=device))

    return fuse


def measuring(model, config, device):
    """Network and metrics on a megapixel of validation or test images, as one part."""
    net = model.get_bare_model(model.net_g).eval()
    network = forward('validation', lambda x: model.run_network(net, x), 1, device)
    metrics = timings.seconds_of_metrics(config, 1e6)
    return dataclasses.replace(network, seconds=network.seconds + metrics)


def bills(folder, args, device):
    """Bills by stage, then by the name of the set; and the peak memory of the steps."""
    data = {name: folder / name for name in SETS}
    for name, path in data.items():
        write_images(path, SIZES[name])
    fusion, student = configs(data['sub-images'], args)
    stage_1 = training(fusion, device)
    stage_2 = training(student, device)
    fuse = forward('fusion', fusion_of(student, device), 1, device)
    found = {stage: {} for stage in STAGES}
    for name, (images, pixels) in SETS.items():
        first, second = [
            bill.teacher_bill(config, pixels, images, device)
            for config in configs(data[name], args)
        ]
        decoding, _, writing = second.parts
        alone = dataclasses.replace(fuse, count=pixels / 1e6)
        columns = (
            first,
            bill.fit_bill(fusion, pixels),
            stage_1.bill,
            second,
            Bill((decoding, writing), second.disk),
            Bill((decoding, alone, writing), second.disk),
            stage_2.bill,
            stage_2.test,
        )
        for stage, column in zip(STAGES, columns):
            found[stage][name] = column
    return found, {'stage 1': stage_1.peak, 'stage 2': stage_2.peak}


def extrapolation_errors(folder, args, device):
    """Extrapolated seconds / measured ones: of a step of stage 2, and of the teachers."""
    config = configs(folder, args)[1]
    model = training(config, device).model
    train = config.train_dataset.options
    whole = train['batch_size_per_gpu'], train['gt_size']
    sizes = timings.step_sizes(*whole, SCALE, torch.device('cpu'))[:-1]

    def measure(size):
        count, side = size
        images = {'lq': torch.rand(count, 3, side // SCALE, side // SCALE)}
        images.update({key: torch.rand(count, 3, side, side) for key in ('gt', 'target')})
        return min(timings.seconds_of_a_step(model, images, device) for _ in range(args.runs))

    points = [(amount, measure(size)) for amount, size in sizes]
    step = on_line(points, whole[0] * whole[1] ** 2) / measure(whole)
    teachers = TeacherEnsemble(config.teachers, SCALE, device)
    points = []
    for side in (24, 48, 120):
        runs = [
            timings.seconds_of_networks(teachers, side**2, device, (), math.inf).value
            for _ in range(args.runs)
        ]
        points.append((side**2, min(runs)))
    return step, on_line(points[:-1], points[-1][0]) / points[-1][1]


def print_table(found, peaks, args):
    networks = "the demo's" if args.small else "the paper's"
    print(
        f'DIV2K, x{SCALE}, {networks} networks, student {args.student}, {ITERATIONS:,d} iterations'
    )
    clock = 'CPU seconds of the process' if args.process_time else 'seconds of the clock'
    print(f'in {clock}\n{machine(args.device)}')
    print('\n| stage | ' + ' | '.join(f'{name}: time | GB' for name in SETS) + ' |')
    print('|---' * (1 + 2 * len(SETS)) + '|')
    for stage, columns in found.items():
        cells = []
        for name in SETS:
            cells += [duration(columns[name].seconds), f'{columns[name].bytes / 1e9:.1f}']
        print(f'| {stage} | ' + ' | '.join(cells) + ' |')
    for text, left_out in WAYS.items():
        cells = []
        for name in SETS:
            kept = [columns[name] for stage, columns in found.items() if stage not in left_out]
            whole = sum(kept, Bill())
            cells += [duration(whole.seconds), f'{whole.bytes / 1e9:.1f}']
        print(f'| all: {text} | ' + ' | '.join(cells) + ' |')
    print()
    for stage, columns in found.items():
        for part in columns['whole images'].parts:
            print(f'{stage}, whole images: {part}')
    for stage, peak in peaks.items():
        if peak is not None:
            print(f'{stage}: {peak / 2**30:.2f} GiB of memory')
    first, second = (found[FIRST][name] for name in SETS)
    print(f'\ndisk of the caches, whole images / sub-images: {first.bytes / second.bytes:.3f}')
    pixels, more = (pixels for _, pixels in SETS.values())
    print(f"the teachers' work, whole images / sub-images: {pixels / more:.3f}")


def main():
    p = parser(__doc__.splitlines()[0], runs=3)
    p.add_argument('--student', default='edsr', choices=('edsr', 'rcan', 'swinir'))
    p.add_argument('--small', action='store_true', help="the demo's networks")
    p.add_argument(
        '--process-time',
        action='store_true',
        help='count CPU seconds of this process, for one thread on a machine with other work',
    )
    p.add_argument(
        '--budget', type=float, default=timings.budget, help='seconds that a measurement may take'
    )
    p.add_argument(
        '--verify', action='store_true', help='also measure as a whole what is extrapolated'
    )
    args = p.parse_args()
    timings.budget = args.budget
    if args.process_time:
        timings.clock = time.process_time
    torch.set_num_threads(args.threads)
    logging.getLogger('basicsr').disabled = True
    device = torch.device(args.device)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found, peaks = bills(folder, args, device)
        errors = extrapolation_errors(folder / 'sub-images', args, device) if args.verify else None
    print_table(found, peaks, args)
    if errors is not None:
        print(f'extrapolated / measured: step {errors[0]:.2f}, teachers {errors[1]:.2f}')


if __name__ == '__main__':
    main()
