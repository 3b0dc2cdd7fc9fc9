"""Writes the files of this folder, with version 0.1.0 of the package; see README.md."""

import copy
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import cv2
import torch
import yaml

import mtkd_basicsr
from mtkd_basicsr.demo.photographs import load, low_resolution

ARCHIVE = Path(__file__).with_name('files.zip')
HEADER = 'mtkd_basicsr: !!python/name:mtkd_basicsr.__version__\n'
IMAGES = {
    'train': (('rocket', 'brick', 'moon'), 64, 80),
    'val': (('chelsea', 'coffee'), 40, 48),
}
EDSR = {
    'type': 'EDSR',
    'num_in_ch': 3,
    'num_out_ch': 3,
    'num_feat': 8,
    'num_block': 1,
    'upscale': 2,
}
RCAN = {
    'type': 'RCAN',
    'num_in_ch': 3,
    'num_out_ch': 3,
    'num_feat': 8,
    'num_group': 1,
    'num_block': 1,
    'squeeze_factor': 4,
    'upscale': 2,
}
FUSION = {
    'type': 'DCTSwin',
    'upscale': 1,  # at the size of the ground truths: with 2 it has 150,000 parameters more
    'in_chans': 6,
    'depths': [2],
    'embed_dim': 8,
    'num_heads': [2],
    'drop_path_rate': 0.0,
    'skip': 'learned',
}
# Runs ``mtkd cache`` and is killed, as by a power failure, when two of three images are written.
KILLED = """
import os, signal, sys
from mtkd_basicsr import cli
from mtkd_basicsr.data.cache_writer import CacheWriter
put = CacheWriter.put
def put_and_die(self, index, arrays):
    put(self, index, arrays)
    self.flush()
    if len(self.done()) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
CacheWriter.put = put_and_die
cli.main(['cache', '-opt', 'unfinished.yml', '--workers', '0'])
"""


def write_images():
    for split, (names, h, w) in IMAGES.items():
        for name in names:
            gt = load(name)[100 : 100 + h, 120 : 120 + w, ::-1]
            for kind, pixels in (('GT', gt), ('LRx2', low_resolution(gt, 2))):
                folder = Path('images', split, kind)
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f'{name}.png'), pixels)


def write_weights(name, network, seed, **extras):
    from basicsr.archs import build_network

    torch.manual_seed(seed)
    net = build_network(copy.deepcopy(network))
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1 and not p.any():
                torch.nn.init.normal_(p, std=0.05)
    Path('weights').mkdir(exist_ok=True)
    torch.save({'params': net.state_dict(), **extras}, f'weights/{name}.pth')
    return {'network': network, 'weights': f'weights/{name}.pth'}


def dataset(split):
    return {
        'name': split,
        'type': 'PairedImageDataset',
        'dataroot_gt': f'images/{split}/GT',
        'dataroot_lq': f'images/{split}/LRx2',
        'io_backend': {'type': 'disk'},
    }


def common():
    train = {
        **dataset('train'),
        'type': 'DistillImageDataset',
        'filename_tmpl': '{}',
        'gt_size': 32,
        'use_hflip': True,
        'use_rot': True,
        'num_worker_per_gpu': 0,
        'batch_size_per_gpu': 2,
        'dataset_enlarge_ratio': 10,
        'prefetch_mode': None,
    }
    psnr = {'type': 'calculate_psnr', 'crop_border': 2, 'test_y_channel': True}
    return {
        'num_gpu': 0,
        'datasets': {'train': train, 'val': dataset('val')},
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': {
            'ema_decay': 0.9,
            'optim_g': {'type': 'Adam', 'lr': 1e-3, 'weight_decay': 0, 'betas': [0.9, 0.99]},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [100], 'gamma': 0.5},
            'total_iter': 4,
            'warmup_iter': -1,
            'pixel_opt': {'type': 'L1Loss', 'loss_weight': 0.1, 'reduction': 'mean'},
        },
        'val': {'val_freq': 2, 'save_img': False, 'suffix': None, 'metrics': {'psnr': psnr}},
        'logger': {
            'print_freq': 1,
            'save_checkpoint_freq': 2,
            'use_tb_logger': False,
            'wandb': {'project': None, 'resume_id': None},
        },
        'dist_params': {'backend': 'nccl', 'port': 29500},
    }


def training(name, model, network, cache):
    opt = {'name': name, 'model_type': model, 'scale': 2, 'manual_seed': 0, **common()}
    opt['network_g'] = network
    opt['datasets']['train']['target_cache'] = cache
    opt['teachers'] = {
        'rcan': write_weights('rcan', RCAN, 1),
        'edsr': write_weights('edsr', EDSR, 0),
    }
    return opt


def plan():
    opt = {'model_type': 'KDModel', **common()}
    opt['datasets']['train'].update(target_cache='{out}/caches/teachers.lmdb', gt_size='{gt_size}')
    opt['train'].update(total_iter=2, distill_opt={'type': 'L1Loss'})
    latest = 'models/net_g_latest.pth'
    opt['teachers'] = {
        'rcan': write_weights('rcan', RCAN, 1),
        'edsr': {'network': EDSR, 'weights': f'{{out}}/experiments/edsr_x2/{latest}'},
    }
    opt['fusion'] = {'network': FUSION, 'weights': f'{{out}}/experiments/fusion_x2/{latest}'}
    scratch = {'train': {'kd': {'type': 'Scratch'}}}
    alone = {'datasets': {'train': {'target_cache': None}}, **scratch}
    val = {key: dataset('val')[key] for key in ('dataroot_gt', 'dataroot_lq')}
    return {
        'name': 'golden',
        'scales': [2],
        'seeds': [0],
        'lq_size': 16,
        'options': opt,
        'prepare': {
            'edsr': {**alone, 'network_g': EDSR},
            'fusion': {'model_type': 'MTKDFusionModel', 'network_g': FUSION},
        },
        'students': {'small': {'network_g': EDSR}},
        'methods': {
            'scratch': scratch,
            'MTKD': {
                'self_ensemble': True,
                'datasets': {'train': {'target_cache': '{out}/caches/target.lmdb'}},
                'train': {'kd': {'type': 'MTKD'}},
            },
        },
        'test': {'two': val},
    }


def write_yaml(name, content, header=HEADER):
    Path(name).write_text(header + yaml.safe_dump(content, sort_keys=False), encoding='utf-8')


def mtkd(*arguments):
    subprocess.run([sys.executable, '-m', 'mtkd_basicsr', *arguments], check=True)


def main():
    assert mtkd_basicsr.__version__ == '0.1.0', mtkd_basicsr.__file__
    os.environ['OMP_NUM_THREADS'] = '1'
    write_images()
    first = training('stage_1', 'MTKDFusionModel', FUSION, 'teachers.lmdb')
    second = training('stage_2', 'MTKDModel', EDSR, 'target.lmdb')
    second['fusion'] = write_weights('fusion', FUSION, 7, mtkd={'teachers': ['edsr', 'rcan']})
    second['train']['distill_opt'] = {'type': 'WaveletLoss', 'level': 1, 'loss_weight': 1.0}
    write_yaml('stage_1.yml', first)
    write_yaml('stage_2.yml', second)
    second['datasets']['train']['target_cache'] = 'unfinished.lmdb'
    write_yaml('unfinished.yml', second)
    for name in ('stage_1', 'stage_2'):
        mtkd('cache', '-opt', f'{name}.yml')
        mtkd('train', '-opt', f'{name}.yml', '--force_yml', 'train:total_iter=2')
        mtkd('train', '-opt', f'{name}.yml', '--auto_resume')
    killed = subprocess.run([sys.executable, '-c', KILLED])
    assert killed.returncode == -9
    write_yaml('plan.yml', plan(), header='')
    mtkd('compare', '-opt', 'plan.yml', '--out', 'compared')
    leave_out = ['compared/report', 'compared/caches', 'compared/experiments']
    for pattern in ('lock.mdb', '4.state', 'net_g_best.pth'):
        leave_out += [str(path) for path in Path().rglob(pattern)]
    for name in leave_out:
        shutil.rmtree(name) if Path(name).is_dir() else os.remove(name)
    for name in ('tb_logger', 'results'):
        shutil.rmtree(name, ignore_errors=True)
    with zipfile.ZipFile(ARCHIVE, 'w', zipfile.ZIP_LZMA) as archive:
        for path in sorted(Path().rglob('*')):
            archive.write(path)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        main()
        os.chdir('/')
