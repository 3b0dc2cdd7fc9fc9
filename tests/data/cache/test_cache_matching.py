"""A target cache that was made for something else, or is no cache, stops a training before it
begins.
"""

import os
import re

import lmdb
import pytest
from basicsr.data import build_dataset
from conftest import mtkd, tiny, write_options, write_weights

from mtkd_basicsr.data.cache.format import id_of, partial_path
from mtkd_basicsr.errors import CacheError


def changed_weights(opt, tmp_path):
    write_weights(opt['teachers']['edsr']['weights'], tiny('EDSR', 2), seed=99)


def changed_fusion(opt, tmp_path):
    write_weights(
        opt['fusion']['weights'],
        tiny('DCTSwin', 2),
        seed=99,
        mtkd={'teachers': ['swinir', 'edsr', 'rcan']},
    )


def one_teacher_less(opt, tmp_path):
    del opt['teachers']['rcan']


def other_network(opt, tmp_path):
    opt['teachers']['edsr']['network']['res_scale'] = 0.5


def other_images(opt, tmp_path):
    for key in ('dataroot_gt', 'dataroot_lq'):
        opt['datasets']['train'][key] = opt['datasets']['train'][key].replace('train', 'val')


def other_dataset(opt, tmp_path):
    opt['datasets']['train']['type'] = 'PairedImageDataset'


def half_written(opt, tmp_path):
    path = opt['datasets']['train']['target_cache']
    os.rename(path, partial_path(path))


def cache_of_the_other_stage(opt, tmp_path):
    opt['datasets']['train']['target_cache'] = opt['datasets']['train']['target_cache'].replace(
        'MTKDModel', 'MTKDFusionModel'
    )


def damaged(opt, tmp_path):
    env = lmdb.open(opt['datasets']['train']['target_cache'], map_size=1 << 30)
    with env.begin(write=True) as txn:
        for i in range(3):
            txn.put(f'{i}/target'.encode(), b'short')
    env.close()


def other_format(opt, tmp_path):
    env = lmdb.open(opt['datasets']['train']['target_cache'], map_size=1 << 30)
    with env.begin(write=True) as txn:
        txn.put(b'manifest', b'{"format": 3}')
        txn.put(b'id', id_of(b'{"format": 3}'))
    env.close()


def not_a_cache(opt, tmp_path):
    env = lmdb.open(str(tmp_path / 'other.lmdb'))
    with env.begin(write=True) as txn:
        txn.put(b'key', b'value')
    env.close()
    opt['datasets']['train']['target_cache'] = str(tmp_path / 'other.lmdb')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (changed_weights, 'teachers.edsr.weights: another file'),
        (changed_fusion, 'fusion.weights: another file'),
        (one_teacher_less, 'teachers.rcan: only in the cache'),
        (
            other_network,
            'teachers.edsr.network.res_scale: None in the cache, 0.5 in the option file',
        ),
        (
            other_images,
            r'images: 2 not in the cache \(chelsea.png, coffee.png\); images: 3 only in the cache',
        ),
        (other_dataset, 'datasets.train.type is PairedImageDataset; expected DistillImageDataset'),
        (half_written, 'is not finished .*finish it with mtkd cache -opt FILE'),
        (cache_of_the_other_stage, 'what: teachers in the cache, target in the option file'),
        (damaged, "is damaged: target of '.*--overwrite"),
        (
            other_format,
            'format: 3 in the cache, but this version reads 1 and 2; rebuild it with mtkd cache',
        ),
        (not_a_cache, 'is an LMDB, but not a target cache'),
    ],
)
def test_a_cache_that_does_not_match_stops_the_training(cached, tmp_path, change, text):
    opt = cached['MTKDModel']
    change(opt, tmp_path)
    printed = mtkd(
        'train', '-opt', write_options(tmp_path / 'changed.yml', opt), cwd=tmp_path, expect=1
    )
    assert re.search(text, printed), printed[-2000:]
    assert 'Start training' not in printed or change is damaged


def test_other_scale(cached):
    block = dict(cached['MTKDModel']['datasets']['train'], phase='train', scale=4)
    with pytest.raises(CacheError, match='scale: 2 in the cache, 4 in the option file'):
        build_dataset(block)


@pytest.mark.slow
def test_weights_on_another_machine_are_no_difference(cached, tmp_path):
    opt = cached['MTKDModel']
    for block in (*opt['teachers'].values(), opt['fusion']):
        os.remove(block['weights'])
    printed = mtkd('train', '-opt', write_options(tmp_path / 'moved.yml', opt), cwd=tmp_path)
    assert 'the weights or images of swinir, edsr, rcan, fusion are not on this machine' in printed
    assert 'Save the latest model.' in printed
