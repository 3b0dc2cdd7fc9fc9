"""Commands and tests as a user runs them, in processes of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from basicsr.utils.options import ordered_yaml
from cache import write_images

from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.weights.networks import build

from .frame import check
from .setups import read_yaml

ROOT = Path(__file__).resolve().parents[2]
# For a rehearsal.
SMALL_TEACHER = {
    'type': 'EDSR',
    'num_in_ch': 3,
    'num_out_ch': 3,
    'num_feat': 8,
    'num_block': 1,
    'upscale': 4,
}
SMALL_FUSION = {'depths': [1], 'embed_dim': 8, 'num_heads': [2]}


def _run(context, *arguments, folder, env=None, seconds=240):
    """Run ``mtkd`` or another module, and return the finished process."""
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        [sys.executable, '-m', *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def _mtkd(context, *arguments, folder, **kwargs):
    return _run(context, 'mtkd_basicsr', *arguments, folder=folder, **kwargs)


def _told(process):
    return '' if process.returncode == 0 else (process.stderr or process.stdout)[-160:]


def _options(context, folder, name='mtkd', **train):
    """Write a small training of MTKD from its own teachers and fusion network, and return its
    path.
    """
    opt = read_yaml('demo', 'mtkd.yml')
    opt['name'] = name
    opt['num_gpu'] = int(context.device == 'cuda')
    opt['fusion']['network'].update(context.pick({}, SMALL_FUSION))
    if context.tiny:
        for block in opt['teachers'].values():
            block['network'] = dict(SMALL_TEACHER)
    if not (folder / 'gt').exists():
        write_images(folder, 3, 192)
    blocks = {'fusion': opt['fusion'], **(opt['teachers'] if context.tiny else {})}
    for key, block in blocks.items():
        torch.manual_seed(len(key))
        block['weights'] = str(folder / f'{key}.pth')
        torch.save({'params': build(block['network'], key).state_dict()}, block['weights'])
    block = opt['datasets']['train']
    roots = {'dataroot_gt': str(folder / 'gt'), 'dataroot_lq': str(folder / 'lq')}
    block.update(roots, num_worker_per_gpu=0, batch_size_per_gpu=2, dataset_enlarge_ratio=20)
    block['target_cache'] = str(folder / 'target.lmdb')
    for phase in opt['datasets']:
        opt['datasets'][phase].update(roots)
    opt['train'].update({'total_iter': 6, **train})
    opt['val']['val_freq'] = 6
    opt['logger'].update(print_freq=1, save_checkpoint_freq=3, use_tb_logger=False)
    path = folder / f'{name}.yml'
    path.write_text(yaml.dump(opt, Dumper=ordered_yaml()[1]), encoding='utf-8')
    return path


def _cached_pixels(path):
    """Return all images of a cache, one behind the other."""
    reader = CacheReader(path)
    images = range(len(reader.key.images))
    return np.concatenate([reader.array(i, 'target').ravel().astype(int) for i in images])


@check(seconds=150, rank=20)
def command_line(context):
    """Train, resume, test, cache, upscale, export, check: the commands, one after the other."""
    folder = Path(context.files) / 'commands'
    folder.mkdir()
    options = _options(context, folder)
    device = ('--device', context.device)

    def step(name, *arguments, **kwargs):
        with context.part(name):
            process = _mtkd(context, *arguments, folder=folder, **kwargs)
            context.expect_true(name, process.returncode == 0, _told(process))

    with context.part('check'):
        process = _mtkd(context, 'check', '-opt', options, folder=folder)
        # The teachers of a rehearsal are random: errors are right.
        allowed = context.pick((0,), (0, 1))
        context.expect_true('check', process.returncode in allowed, process.stdout[-160:])
    step('cache', 'cache', '-opt', options, *device)
    step('train', 'train', '-opt', options)
    longer = _options(context, folder, total_iter=8)
    step('resume', 'train', '-opt', longer, '--auto_resume')
    weights = folder / 'experiments' / 'mtkd' / 'models' / 'net_g_latest.pth'
    cv2.imwrite(str(folder / 'picture.png'), np.full((24, 32, 3), 128, np.uint8))
    step('upscale', 'upscale', folder / 'picture.png', '--weights', weights, *device)
    step('export', 'export', '--weights', weights, '--format', 'torchscript', '--out', 'net.pt')
    with context.part('exported network'):
        net = torch.jit.load(str(folder / 'net.pt'), map_location=context.device)
        y = net(torch.rand(1, 3, 24, 32, device=context.device))
        context.expect_true('exported network', tuple(y.shape) == (1, 3, 96, 128), str(y.shape))


@check(seconds=90, rank=21)
def cache_precisions(context):
    """Pixels of caches in fp32 and bf16 on the device against fp32 on the CPU."""
    folder = Path(context.files) / 'cache_precisions'
    folder.mkdir()
    pixels = {}
    for name, device, precision in (
        ('CPU, fp32', 'cpu', 'fp32'),
        ('fp32', context.device, 'fp32'),
        ('bf16', context.device, 'bf16'),
    ):
        with context.part(name):
            path = _options(context, folder)
            shutil.rmtree(folder / 'target.lmdb', ignore_errors=True)
            arguments = ('cache', '-opt', path, '--device', device, '--precision', precision)
            process = _mtkd(context, *arguments, folder=folder)
            context.expect_true(f'{name}: made', process.returncode == 0, _told(process))
            pixels[name] = _cached_pixels(str(folder / 'target.lmdb'))
    for name, part, largest in (('fp32', 0.01, 1), ('bf16', 0.25, 4)):
        with context.part(name):
            difference = np.abs(pixels[name] - pixels['CPU, fp32'])
            context.expect(f'{name}: part of the pixels', float((difference > 0).mean()), part)
            context.expect(f'{name}: largest difference', int(difference.max()), largest)


def _visible_name():
    """Return the UUID of the first GPU as ``CUDA_VISIBLE_DEVICES`` takes it; None if unknown."""
    query = ['nvidia-smi', '-L']
    try:
        text = subprocess.run(query, capture_output=True, text=True).stdout
    except OSError:
        return None
    return text.split('UUID: ')[1].split(')')[0] if 'UUID: ' in text else None


@check(seconds=90, rank=35)
def comparison(context):
    """``mtkd compare`` keeps to the GPU that it was given by its UUID."""
    name = _visible_name() if context.device == 'cuda' else None
    env = {'CUDA_VISIBLE_DEVICES': name} if name else {}
    folder = Path(context.files) / 'comparison'
    folder.mkdir()
    plan = folder / 'plan.yml'
    text = (ROOT / 'options' / 'compare' / 'small.yml').read_text(encoding='utf-8')
    plan.write_text(text, encoding='utf-8')
    process = _mtkd(
        context, 'compare', '-opt', plan, '--list', '--out', 'out', folder=folder, env=env
    )
    context.expect_true('list', process.returncode == 0, _told(process))
    context.record('CUDA_VISIBLE_DEVICES', name)


@check(seconds=90, rank=36)
def one_process_of_torchrun(context):
    """A training under torchrun with one process against one without."""
    losses = {}
    for launcher in (False, True):
        folder = Path(context.files) / f'torchrun_{int(launcher)}'
        folder.mkdir()
        options = _options(context, folder, channels_last=True)
        module = ['mtkd_basicsr', 'train', '-opt', options]
        if launcher:
            run = ['torch.distributed.run', '--nproc_per_node=1', '--master_port=29511', '-m']
            module = [*run, *module, '--launcher', 'pytorch']
        part = 'torchrun' if launcher else 'without'
        with context.part(part):
            process = _run(context, *module, folder=folder)
            context.expect_true(f'{part}: trained', process.returncode == 0, _told(process))
            text = process.stdout + process.stderr
            losses[part] = [
                word.split('l_pix: ')[1].split()[0]
                for word in text.splitlines()
                if 'l_pix: ' in word
            ]
            warned = 'Grad strides do not match' in text
            context.expect_true(f'{part}: strides of gradients fit', not warned)
    with context.part('losses'):
        pairs = zip(losses['torchrun'], losses['without'])
        errors = [abs(float(a) / float(b) - 1) for a, b in pairs]
        context.expect('losses', max(errors), 1e-3)


@check(seconds=120, rank=37)
def marked_tests(context):
    """The tests that are marked ``gpu``."""
    # Not all files: to collect their thousands of tests takes half a minute.
    files = [p for p in ROOT.glob('tests/**/test_*.py') if 'pytest.mark.gpu' in p.read_text()]
    arguments = ['pytest', *files, '-m', 'gpu', '-v', '--tb=short', '-p', 'no:cacheprovider']
    env = {**os.environ, 'TEST_PYTHONPATH': os.environ['PYTHONPATH']}
    report = Path(context.files) / 'tests.txt'
    try:
        with open(report, 'w', encoding='utf-8') as file:
            command = [sys.executable, '-u', '-m', *map(str, arguments)]
            process = subprocess.run(command, cwd=ROOT, env=env, stdout=file, stderr=file)
        # 5: none was found; without a GPU all are skipped.
        context.expect_true('tests', process.returncode == 0)
    finally:
        text = report.read_text(encoding='utf-8')
        print(text)
        for line in text.splitlines():
            test, _, outcome = line.partition(' ')
            if '::' in test and outcome:
                context.record(test.removeprefix('tests/'), outcome.split()[0])
