"""Real photographs, tiny networks, and an unmodified BasicSR tree for all tests."""

import copy
import functools
import json
import os
import shutil
import signal
import sys
import zipfile
from pathlib import Path

import cv2
import pytest
import torch
import yaml
from helpers import preloaded

import mtkd_basicsr  # noqa: F401  (makes `import basicsr` work)
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.distillers import METHODS
from mtkd_basicsr.host.api import LOSS_REGISTRY
from mtkd_basicsr.utils.machine import usable_cores
from mtkd_basicsr.utils.memory import available_memory

ROOT = Path(__file__).resolve().parent.parent

# Bytes; it and the trainings that a test starts.
MEMORY_OF_A_WORKER = 3 << 30

# They take minutes each, the longest first: begun last, one would run alone at the end.
LONG_FILES = (
    'commands/test_compare.py',
    'commands/test_platforms.py',
    'repository/test_gpu_script.py',
    'distillers/test_distillers.py',
    'repository/test_benchmarks.py',
    'models/test_resume.py',
    'commands/test_compare_plan.py',
    'commands/test_cache.py',
)

torch.set_num_threads(1)  # several processes run at a time


def pytest_xdist_auto_num_workers(config):
    """Number of processes that run the tests, one file in each: as many as cores and memory allow,
    at most four, which is what the tests have been run with. A single file runs in this process.
    """
    files = {argument.partition('::')[0] for argument in config.args}
    count = min(4, usable_cores())
    memory = available_memory(torch.device('cpu'))
    if memory is not None:
        count = min(count, memory // MEMORY_OF_A_WORKER)
    if all(file.endswith('.py') for file in files):
        count = min(count, len(files))
    return 0 if count < 2 else count


def pytest_collection_modifyitems(items):
    """Begin with the long files; mark tests of the repository by their folder; skip tests of a GPU
    where there is none.
    """
    tests = Path(__file__).parent
    ranks = {tests / name: rank for rank, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
    repository = tests / 'repository'
    no_gpu = pytest.mark.skip(reason='no CUDA device')
    for item in items:
        if repository in item.path.parents:
            item.add_marker('repository')
        if item.get_closest_marker('gpu') is not None and not torch.cuda.is_available():
            item.add_marker(no_gpu)


@pytest.fixture
def one_thread():
    """One thread of torch, also where an earlier test has left more, or the test itself does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(arch, scale, **changes):
    """Options of a network with a few thousand parameters."""
    networks = {
        'EDSR': {
            'type': 'EDSR',
            'num_in_ch': 3,
            'num_out_ch': 3,
            'num_feat': 8,
            'num_block': 1,
            'upscale': scale,
        },
        'RCAN': {
            'type': 'RCAN',
            'num_in_ch': 3,
            'num_out_ch': 3,
            'num_feat': 8,
            'num_group': 1,
            'num_block': 1,
            'squeeze_factor': 4,
            'upscale': scale,
        },
        'SwinIR': {
            'type': 'SwinIR',
            'upscale': scale,
            'in_chans': 3,
            'img_size': 16,
            'window_size': 8,
            'img_range': 1.0,
            'depths': [2],
            'embed_dim': 8,
            'num_heads': [2],
            'mlp_ratio': 2,
            'drop_path_rate': 0.2,
            'upsampler': 'pixelshuffle',
            'resi_connection': '1conv',
        },
        'SRVGGNetCompact': {
            'type': 'SRVGGNetCompact',
            'num_in_ch': 3,
            'num_out_ch': 3,
            'num_feat': 8,
            'num_conv': 3,
            'upscale': scale,
            'act_type': 'prelu',
        },
        'Spandrel': {
            'type': 'Spandrel',
            'arch': 'SPAN',
            'num_in_ch': 3,
            'num_out_ch': 3,
            'feature_channels': 8,
            'upscale': scale,
        },
        'DCTSwin': {
            'type': 'DCTSwin',
            'upscale': scale,
            'in_chans': 9,
            'depths': [2],
            'embed_dim': 8,
            'num_heads': [2],
            'drop_path_rate': 0.0,
            'skip': 'learned',
        },
        'ConvFusion': {
            'type': 'ConvFusion',
            'upscale': scale,
            'in_chans': 9,
            'depths': [1],
            'embed_dim': 8,
            'skip': 'learned',
        },
    }
    return {**networks[arch], **changes}


def shrunk(network, scale):
    """The same arch with the same scale and number of inputs, in tiny; every other key of the file
    has to be a real one.
    """
    arch = network['type']
    changes = {
        k: v
        for k, v in network.items()
        if k in ('in_chans', 'skip', 'dct_norm', 'shift_mask', 'upsampler')
    }
    assert network['upscale'] == scale
    return {**network, **tiny(arch, scale), **changes}


def build(network, seed=0):
    """A network with random weights that belong to the seed; zero weights are made random, so that
    all of it is used.
    """
    from basicsr.archs import build_network

    torch.manual_seed(seed)
    net = build_network(network)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1 and not p.any():
                torch.nn.init.normal_(p, std=0.05)
    return net


def write_weights(path, network, seed=0, key='params', **extras):
    """Saves such a network in BasicSR's format."""
    state = build(network, seed).state_dict()
    torch.save({key: state, **extras} if key else state, path)
    return str(path)


def teachers_block(folder, scale, archs=('SwinIR', 'EDSR', 'RCAN')):
    """A ``teachers:`` block with its files."""
    return {
        arch.lower(): {
            'network': tiny(arch, scale),
            'weights': write_weights(
                Path(folder) / f'{arch}_x{scale}.pth', tiny(arch, scale), seed
            ),
        }
        for seed, arch in enumerate(archs)
    }


def write_photographs(root):
    """Writes train/ and val/, each with GT/, LRx2/, LRx3/ and LRx4/ of crops of real photographs;
    gives the folder.
    """
    for split, names, size in (
        ('train', ('rocket', 'brick', 'moon'), (96, 120)),
        ('val', ('chelsea', 'coffee'), (60, 84)),
    ):
        for name in names:
            gt = load(name)[100 : 100 + size[0], 120 : 120 + size[1], ::-1]
            for kind, pixels in (
                ('GT', gt),
                *((f'LRx{s}', low_resolution(gt, s)) for s in (2, 3, 4)),
            ):
                (root / split / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / split / kind / f'{name}.png'), pixels)
    return root


@pytest.fixture(scope='session')
def photographs(tmp_path_factory):
    """A folder as :func:`write_photographs` makes it."""
    return write_photographs(tmp_path_factory.mktemp('photographs'))


def dataset(photographs, split, scale, **changes):
    """A dataset block over these photographs."""
    block = {
        'name': split,
        'type': 'PairedImageDataset',
        'dataroot_gt': str(photographs / split / 'GT'),
        'dataroot_lq': str(photographs / split / f'LRx{scale}'),
        'io_backend': {'type': 'disk'},
    }
    if split == 'train':
        block.update(
            filename_tmpl='{}',
            gt_size=8 * scale * 2,
            use_hflip=True,
            use_rot=True,
            num_worker_per_gpu=0,
            batch_size_per_gpu=2,
            dataset_enlarge_ratio=10,
            prefetch_mode=None,
        )
    return {**block, **changes}


def override(opt, changes):
    """Sets values at paths like ``train__kd``."""
    for path, value in changes.items():
        block = opt
        *keys, last = path.split('__')
        for key in keys:
            block = block[key]
        block[last] = value
    return opt


def options_for(photographs, folder, model, scale=2, **changes):
    """Options of a tiny training: BasicSR's blocks and ours; its files go into a folder."""
    metrics = {'psnr': {'type': 'calculate_psnr', 'crop_border': scale, 'test_y_channel': True}}
    opt = {
        'name': f'test_{model}',
        'model_type': model,
        'scale': scale,
        'num_gpu': 0,
        'manual_seed': 0,
        'datasets': {
            'train': dataset(photographs, 'train', scale),
            'val': dataset(photographs, 'val', scale),
        },
        'network_g': tiny('DCTSwin' if model == 'MTKDFusionModel' else 'EDSR', scale),
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': {
            'ema_decay': 0.9,
            'optim_g': {'type': 'Adam', 'lr': 1e-3, 'weight_decay': 0, 'betas': [0.9, 0.99]},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [100], 'gamma': 0.5},
            'total_iter': 2,
            'warmup_iter': -1,
            'pixel_opt': {'type': 'L1Loss', 'loss_weight': 0.1, 'reduction': 'mean'},
        },
        'val': {'val_freq': 2, 'save_img': False, 'suffix': None, 'metrics': metrics},
        'logger': {
            'print_freq': 1,
            'save_checkpoint_freq': 2,
            'use_tb_logger': False,
            'wandb': {'project': None, 'resume_id': None},
        },
        'dist_params': {'backend': 'nccl', 'port': 29500},
    }
    if model in ('MTKDFusionModel', 'MTKDModel'):
        opt['teachers'] = teachers_block(folder, scale)
    if model == 'MTKDModel':
        network = tiny('DCTSwin', scale)
        weights = write_weights(
            folder / f'fusion_x{scale}.pth',
            network,
            seed=7,
            mtkd={'teachers': ['swinir', 'edsr', 'rcan']},
        )
        opt['fusion'] = {'network': network, 'weights': weights}
        opt['train']['distill_opt'] = {'type': 'WaveletLoss', 'level': 1, 'loss_weight': 1.0}
    return override(opt, changes)


@pytest.fixture
def make_options(photographs, tmp_path):
    """:func:`options_for` with files in the folder of the test."""
    return functools.partial(options_for, photographs, tmp_path)


def with_cache(opt, path):
    """The training reads its targets from a cache."""
    opt['datasets']['train'].update(type='DistillImageDataset', target_cache=str(path))
    return opt


@pytest.fixture(scope='session')
def caches(photographs, tmp_path_factory):
    """A folder with option files of both stages, the weights that they name, and the caches that
    belong to them.
    """
    folder = tmp_path_factory.mktemp('caches')
    for model in ('MTKDModel', 'MTKDFusionModel'):
        opt = with_cache(
            options_for(photographs, folder, model, name=f'cached_{model}'),
            folder / f'{model}.lmdb',
        )
        mtkd('cache', '-opt', write_options(folder / f'{model}.yml', opt), cwd=folder)
        (folder / f'{model}.json').write_text(json.dumps(opt))
    return folder


@pytest.fixture
def cached(caches, tmp_path):
    """Options of both stages with their finished caches, in a copy of that folder."""
    shutil.copytree(caches, tmp_path, dirs_exist_ok=True)
    for name in ('MTKDModel', 'MTKDFusionModel'):
        for ending in ('json', 'yml'):
            path = tmp_path / f'{name}.{ending}'
            path.write_text(path.read_text().replace(str(caches), str(tmp_path)))
    return {
        name: json.loads((tmp_path / f'{name}.json').read_text())
        for name in ('MTKDModel', 'MTKDFusionModel')
    }


@pytest.fixture
def version_0_1_0(tmp_path, monkeypatch):
    """A folder with what version 0.1.0 wrote (``golden/0.1.0/README.md``), as the working
    directory, which all paths in it are relative to.
    """
    with zipfile.ZipFile(ROOT / 'tests' / 'golden' / '0.1.0' / 'files.zip') as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snapshot(module):
    """A copy of all parameters and buffers."""
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


def changed(before, module):
    """Names of those that are not what they were."""
    return {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}


def parsed(opt, is_train=True, root='.'):
    """What BasicSR's ``parse_options`` adds to an option file."""
    opt = copy.deepcopy(opt)
    opt.update(dist=False, rank=0, world_size=1, auto_resume=False, is_train=is_train)
    folder = Path(root) / 'experiments' / opt['name']
    opt['path'].update(
        experiments_root=str(folder),
        models=str(folder / 'models'),
        training_states=str(folder / 'training_states'),
        log=str(folder),
        visualization=str(folder / 'visualization'),
    )
    if not is_train:
        opt['path']['results_root'] = str(Path(root) / 'results' / opt['name'])
    for phase, block in opt['datasets'].items():
        block.update(phase=phase.split('_')[0], scale=opt['scale'])
    return opt


def one_step(opt, photographs, folder):
    """One step of a training at tiny size: the student changes, and all losses are finite. Gives
    the log.

    Only the sizes of the networks, where images and weights are, and how many images go into a step
    are changed.
    """
    from basicsr.data import build_dataloader, build_dataset
    from basicsr.models import build_model

    opt['num_gpu'], scale, train = 0, opt['scale'], opt['datasets']['train']
    train.update(
        {
            k: v
            for k, v in dataset(photographs, 'train', scale).items()
            if k.startswith('data') or k in ('gt_size', 'num_worker_per_gpu', 'batch_size_per_gpu')
        },
        target_cache=None,
    )
    blocks = [('network_g', opt)] + [('network', t) for t in opt.get('teachers', {}).values()]
    blocks += [('network', opt['fusion'])] if 'fusion' in opt else []
    for i, (key, block) in enumerate(blocks):
        block[key] = shrunk(block[key], scale)
        if i:
            block['weights'] = write_weights(folder / f'{i}.pth', block['network'], i)
    if opt['path'].get('pretrain_network_g'):
        opt['path']['pretrain_network_g'] = write_weights(
            folder / 'start.pth', opt['network_g'], key=opt['path'].get('param_key_g', 'params')
        )
    if opt['train'].get('kd', {}).get('type') == 'DCKD':
        from helpers.encoders import write_vqgan

        opt['train']['kd']['encoder_weights'] = write_vqgan(folder / 'vqgan.ckpt')
    opt = parsed(opt, True, folder)
    model = build_model(opt)
    train = opt['datasets']['train']
    batch = next(iter(build_dataloader(build_dataset(train), train, num_gpu=0, seed=0)))
    before = snapshot(model.net_g)
    model.update_learning_rate(1, warmup_iter=opt['train'].get('warmup_iter', -1))
    model.feed_data(batch)
    model.optimize_parameters(1)
    assert changed(before, model.net_g)
    log = dict(model.get_current_log())
    assert all(torch.isfinite(torch.tensor(v)) for v in log.values())
    return log


def write_options(path, opt, header='mtkd_basicsr: !!python/name:mtkd_basicsr.__version__\n'):
    """Writes an option file whose first line registers the plug-in."""
    Path(path).write_text(header + yaml.safe_dump(opt, sort_keys=False))
    return str(path)


@pytest.fixture(scope='session')
def basicsr_tree(tmp_path_factory):
    """A checkout of BasicSR's master: the released package with upstream's one-line repair, and
    nothing of ours.
    """
    import basicsr

    root = tmp_path_factory.mktemp('BasicSR')
    shutil.copytree(
        Path(basicsr.__file__).parent,
        root / 'basicsr',
        ignore=shutil.ignore_patterns('__pycache__'),
    )
    broken = root / 'basicsr' / 'data' / 'degradations.py'
    text = broken.read_text()
    broken.write_text(
        text.replace(
            'torchvision.transforms.functional_tensor', 'torchvision.transforms.functional'
        )
    )
    return root


def run(command, cwd, expect=0, fresh=False, **environment):
    """Runs a command; its exit status has to be ``expect``; gives what it printed. A ``fresh``
    process has to import torch itself.
    """
    status, printed = preloaded.run([str(c) for c in command], cwd, environment, fresh)
    assert status == expect, f'{command} gave {status}:\n{printed[-6000:]}'
    return printed


def mtkd(*arguments, cwd, expect=0, **environment):
    """Runs the command of this package."""
    return run([sys.executable, '-m', 'mtkd_basicsr', *arguments], cwd, expect, **environment)


@pytest.fixture(autouse=True)
def basicsr_logger():
    """Sets BasicSR's logger up, with a stream that is open for the whole test.

    A loop that ran in this process leaves none. Whoever asks first for it would set it up, with
    what pytest has as output then, which a test that began in a fixture finds closed.
    """
    from basicsr.utils import get_root_logger

    logger = get_root_logger()
    for handler in list(logger.handlers):
        # A file handler that was closed has no stream.
        if getattr(getattr(handler, 'stream', None), 'closed', False):
            handler.stream = sys.__stderr__  # setStream would flush the closed one
    return logger


@pytest.fixture(autouse=True)
def same_environment():
    """The command sets variables and a handler for the rest of its process; in tests they go with
    the test.
    """
    before = dict(os.environ)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    for name in set(os.environ) - set(before) - {'PYTEST_CURRENT_TEST'}:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def no_methods_of_benchmarks():
    """Take out what benchmarks/gains_methods.py registers when a plan imports it."""
    yield
    module = sys.modules.pop('gains_methods', None)
    if module is None:
        return
    for registry in (METHODS, LOSS_REGISTRY._obj_map):
        for name in [name for name, kind in registry.items() if kind.__module__ == module.__name__]:
            del registry[name]


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Runs the command of this package in this process, which starts sooner; for what needs no
    process of its own.
    """
    from mtkd_basicsr.commands.cli import main

    def run_here(*arguments, expect=0, cwd=tmp_path):
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == expect
        printed = capsys.readouterr()
        return printed.out + printed.err

    run_here.printed = lambda: ''.join(capsys.readouterr())  # after a SystemExit
    return run_here


def stock(tree, script, *arguments, expect=0):
    """Runs ``python basicsr/<script>`` as a user of BasicSR does, in their folder."""
    return run(
        [sys.executable, f'basicsr/{script}', *arguments], tree, expect, PYTHONPATH=str(tree)
    )
