import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import mtkd, run, with_cache, write_options

from mtkd_basicsr.data.cache.format import state_of
from mtkd_basicsr.data.cache.inputs import CachedImage
from mtkd_basicsr.data.cache.key import CacheKey
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.errors import CacheError, DataError


def cache_key(images=40, size=64, scale=2, **more):
    listed = tuple(CachedImage(f'{i}.png', size, size) for i in range(images))
    return CacheKey('target', scale, images=listed, version='0', **more)


def arrays_of(index, size=64):
    generator = np.random.default_rng(index)
    return {
        kind: generator.integers(0, 256, (s, s, 3), np.uint8)
        for kind, s in (('lq', size // 2), ('gt', size), ('target', size))
    }


WRITE = """
import sys
import mtkd_basicsr
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, sys.argv[1] + '/../..')
import test_cache_writing as t
writer = t.CacheWriter(sys.argv[2], t.cache_key())
print('ready', flush=True)
for i in sorted(set(range(40)) - writer.done()):
    writer.put(i, t.arrays_of(i))
    writer.flush()
writer.finish()
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(tmp_path):
    path = tmp_path / 'killed.lmdb'
    rounds = 0
    command = [sys.executable, '-c', WRITE, str(Path(__file__).parent), str(path)]
    generator = np.random.default_rng(0)
    while state_of(path) != 'complete':
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path)
        assert process.stdout.readline() == b'ready\n'
        assert rounds < 10
        if rounds < 4:
            time.sleep(generator.uniform(0, 0.06))
            process.send_signal(signal.SIGKILL)
        process.wait()
        rounds += 1
    reader = CacheReader(path)
    for i in range(40):
        for kind, array in arrays_of(i).items():
            assert np.array_equal(reader.array(i, kind), array)


@pytest.mark.slow
def test_stopped_command_goes_on(make_options, tmp_path):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'stopped.lmdb')
    options = write_options(tmp_path / 'stopped.yml', opt)
    mtkd('cache', '-opt', options, cwd=tmp_path, RANK='0', WORLD_SIZE='3')
    assert state_of(opt['datasets']['train']['target_cache']) == 'partial'
    printed = mtkd('cache', '-opt', options, cwd=tmp_path)
    assert 'is complete' in printed
    assert 'PSNR on Y of 2 images' in printed, 'the image that was done is done again'


@pytest.mark.slow
def test_processes_share_the_work(make_options, tmp_path):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'shared.lmdb')
    options = write_options(tmp_path / 'shared.yml', opt)
    run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--nproc_per_node=2',
            '-m',
            'mtkd_basicsr',
            'cache',
            '-opt',
            options,
            '--workers',
            '0',
        ],
        cwd=tmp_path,
    )
    assert len(CacheReader(tmp_path / 'shared.lmdb').key.images) == 3


def test_unfinished_cache_of_others_is_refused(tmp_path):
    path = tmp_path / 'cache.lmdb'
    CacheWriter(path, cache_key())._env.close()
    with pytest.raises(CacheError, match='unfinished cache of other options, images or settings'):
        CacheWriter(path, cache_key(scale=4))
    first = CacheWriter(str(path), cache_key(images=1, scale=4), overwrite=True)
    first._env.close()


def test_a_replaced_writer_notices(tmp_path):
    path = str(tmp_path / 'cache.lmdb')
    old = CacheWriter(path, cache_key())
    old.put(0, arrays_of(0))
    with old._env.begin(write=True) as txn:  # what another process with --overwrite does
        txn.put(b'id', b'another')
    with pytest.raises(CacheError, match='was replaced by another process'):
        old.flush()


def test_map_grows_by_itself(tmp_path, monkeypatch):
    import mtkd_basicsr.data.cache.writer as module

    monkeypatch.setattr(module, 'bytes_needed', lambda key: 0)
    monkeypatch.setattr(module, '_SPARE', 1 << 17)
    writer = CacheWriter(str(tmp_path / 'small.lmdb'), cache_key())
    for i in range(40):
        writer.put(i, arrays_of(i))
        writer.flush()
    assert writer.finish()
    assert np.array_equal(CacheReader(tmp_path / 'small.lmdb').array(39, 'gt'), arrays_of(39)['gt'])


def test_disk_space_is_checked_before_it_begins(tmp_path):
    with pytest.raises(DataError, match=r'needs [\d.]+ GB; .* has [\d.]+ GB free'):
        CacheWriter(str(tmp_path / 'huge.lmdb'), cache_key(images=10_000, size=100_000))
    assert list(tmp_path.iterdir()) == []


def test_wrong_arrays(tmp_path):
    writer = CacheWriter(str(tmp_path / 'cache.lmdb'), cache_key())
    with pytest.raises(
        DataError, match=r'0.png: gt is uint8 \(64, 63, 3\); expected uint8 \(64, 64, 3\)'
    ):
        writer.put(0, {**arrays_of(0), 'gt': np.zeros((64, 63, 3), np.uint8)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'datasets__train__target_cache': None}, 'datasets.train.target_cache: missing'),
        ({'fusion': None, 'arguments': ['--what', 'target']}, 'fusion: missing'),
        ({'arguments': ['--device', 'cuda']}, "--device: 'cuda', but torch finds no CUDA device"),
    ],
)
def test_wrong_calls(make_options, tmp_path, change, text):
    if 'cuda' in text and torch.cuda.is_available():
        pytest.skip('there is a CUDA device')
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'cache.lmdb')
    arguments = change.pop('arguments', [])
    for key, value in change.items():
        block = opt
        *keys, last = key.split('__')
        for k in keys:
            block = block[k]
        block[last] = value
    printed = mtkd(
        'cache',
        '-opt',
        write_options(tmp_path / 'wrong.yml', opt),
        *arguments,
        cwd=tmp_path,
        expect=1,
    )
    assert f'mtkd cache: {text}' in printed
    assert not list(tmp_path.glob('cache.lmdb*'))


@pytest.mark.slow
def test_images_that_do_not_fit_the_scale(make_options, photographs, tmp_path):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'cache.lmdb')
    opt['datasets']['train']['dataroot_lq'] = str(photographs / 'train' / 'LRx4')
    printed = mtkd(
        'cache',
        '-opt',
        write_options(tmp_path / 'wrong.yml', opt),
        '--workers',
        '0',
        cwd=tmp_path,
        expect=1,
    )
    assert '96×120 pixels, and 24×30 in the low-resolution image; scale is 2' in printed


def test_an_image_that_another_process_has_computed_again_is_not_forgotten(tmp_path):
    with CacheWriter(tmp_path / 'cache.lmdb', cache_key(images=2)) as writer:
        for index in range(2):
            writer.put(index, arrays_of(index), {'lq': [1, 2, 3, 4], 'gt': [5, 6, 7, 8]})
        writer.flush()
        old = {index: writer.checksums(index) for index in range(2)}
        assert writer.sources(1)['gt'] == [5, 6, 7, 8, old[1]['gt']]
        writer.put(1, arrays_of(7))
        writer.flush()
        writer.forget(old)
        assert writer.done() == {1}
        writer.forget({1: writer.checksums(1)})
        assert writer.done() == set()
        assert writer.sources(1) == {}
