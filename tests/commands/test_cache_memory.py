"""Images that do not fit into memory while a cache is computed."""

import re
import shutil

import cv2
import pytest
import torch
from conftest import with_cache, write_options

from mtkd_basicsr.commands.cache import computing
from mtkd_basicsr.data.cache.reader import CacheReader

ERRORS = [
    torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB'),
    RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED'),
    RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`'),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(computing, '_SMALLEST_TILE', 8)


def limit(monkeypatch, image, pixels, error):
    """Let one image fail in parts of more than some pixels."""
    run = computing.Targets._run
    compute = computing.Targets.__call__
    current = []

    def call(self, names, lq, batch):
        current[:] = names
        return compute(self, names, lq, batch)

    def limited(self, lq, precomputed, tile):
        if current == [image] and (tile or max(lq.shape[-2:])) > pixels:
            raise error
        return run(self, lq, precomputed, tile)

    monkeypatch.setattr(computing.Targets, '__call__', call)
    monkeypatch.setattr(computing.Targets, '_run', limited)


@pytest.mark.parametrize('error', ERRORS, ids=lambda error: str(error)[:30])
def test_one_large_image_is_tiled_and_the_others_are_whole(
    error, make_options, here, tmp_path, monkeypatch, small_tiles
):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'whole.lmdb')
    here('cache', '-opt', write_options(tmp_path / 'whole.yml', opt), '--tile-overlap', '4')
    whole = CacheReader(tmp_path / 'whole.lmdb')
    names = [image.name for image in whole.key.images]
    # Read now: a command closes the maps of this process.
    identity = whole.id
    checksums = [whole.checksums(index) for index in range(len(names))]
    limit(monkeypatch, names[1], 20, error)
    opt = with_cache(opt, tmp_path / 'tiled.lmdb')
    printed = here('cache', '-opt', write_options(tmp_path / 'o.yml', opt), '--tile-overlap', '4')
    assert re.search(rf"out of memory for '{names[1]}' as a whole; .* tiles of \d+ pixels", printed)
    tiled = CacheReader(tmp_path / 'tiled.lmdb')
    assert tiled.id == identity
    for index, name in enumerate(names):
        # The first and the third image are those of the whole cache, bit by bit.
        same = tiled.checksums(index) == checksums[index]
        assert same or name == names[1]
        assert ('tile' in tiled.sources(index)) == (name == names[1])
    assert tiled.sources(1)['tile'][0] <= 20


def test_what_was_tiled_stays_noted_when_another_image_is_computed_anew(
    make_options, here, tmp_path, monkeypatch, small_tiles
):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'c.lmdb')
    block = opt['datasets']['train']
    for key in ('dataroot_gt', 'dataroot_lq'):
        block[key] = str(shutil.copytree(block[key], tmp_path / key))
    options = write_options(tmp_path / 'o.yml', opt)
    names = sorted(path.name for path in (tmp_path / 'dataroot_gt').iterdir())
    limit(monkeypatch, names[1], 20, ERRORS[0])
    here('cache', '-opt', options, '--tile-overlap', '4')
    before = CacheReader(tmp_path / 'c.lmdb')
    assert [image.name for image in before.key.images] == names
    sources = before.sources(1)
    changed = tmp_path / 'dataroot_lq' / names[0]
    cv2.imwrite(str(changed), cv2.imread(str(changed)) // 2)
    here('cache', '-opt', options, '--tile-overlap', '4', '--overwrite')
    after = CacheReader(tmp_path / 'c.lmdb')
    assert after.sources(1) == sources
    assert 'tile' in sources
    assert 'tile' not in after.sources(0)


def test_without_any_tile_that_fits_the_image_is_named(
    make_options, here, tmp_path, monkeypatch, small_tiles
):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'c.lmdb')
    options = write_options(tmp_path / 'o.yml', opt)
    monkeypatch.setattr(computing.Targets, '_run', lambda *_: (_ for _ in ()).throw(ERRORS[0]))
    printed = here('cache', '-opt', options, '--tile-overlap', '4', expect=1)
    assert re.search(r"out of memory for '\S+' in tiles of \d+ pixels", printed)


def test_other_errors_are_not_taken_for_that(make_options, here, tmp_path, monkeypatch):
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'c.lmdb')
    options = write_options(tmp_path / 'o.yml', opt)

    def fail(*_):
        raise RuntimeError('sizes do not match')

    monkeypatch.setattr(computing.Targets, '_run', fail)
    with pytest.raises(RuntimeError, match='sizes do not match'):
        here('cache', '-opt', options)
