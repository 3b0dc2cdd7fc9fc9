"""Images that are computed together, and written while the next ones are computed."""

import itertools
import json
import shutil
import threading

import cv2
import lmdb
import numpy as np
import pytest
import torch
from conftest import with_cache, write_options
from helpers.caches import record_computed

from mtkd_basicsr.commands.cache import batches, computing, targets
from mtkd_basicsr.commands.cache.batches import Batch, choose_batch_pixels, plan_batches
from mtkd_basicsr.config import parse_fusion, parse_teachers
from mtkd_basicsr.data.cache import writer
from mtkd_basicsr.data.cache.format import array_names
from mtkd_basicsr.data.cache.inputs import CachedImage
from mtkd_basicsr.data.cache.reader import CacheReader, close_map
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.errors import DataError
from mtkd_basicsr.functional.self_ensemble import eightfold
from mtkd_basicsr.functional.tiling import run_tiled
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble
from mtkd_basicsr.utils.image_tensors import to_array, to_tensor

# Sides of the low-resolution images: 4096 pixels are seven of 24×24, and five of 24×32.
SIZES = [(24, 24)] * 5 + [(24, 32)] * 2 + [(24, 24)] * 5
COUNT = len(SIZES)


@pytest.fixture
def small(make_options, photographs, tmp_path):
    """Options with parts of photographs as images, and the low-resolution ones as they are read."""
    opt = with_cache(make_options('MTKDModel'), tmp_path / 'c.lmdb')
    names = sorted(path.name for path in (photographs / 'train' / 'GT').iterdir())
    lqs = []
    for kind, factor in (('GT', 2), ('LRx2', 1)):
        (tmp_path / kind).mkdir()
        for i, (h, w) in enumerate(SIZES):
            image = cv2.imread(str(photographs / 'train' / kind / names[i % len(names)]))
            top, left = 2 * i * factor, (i % 4) * 3 * factor
            part = image[top : top + h * factor, left : left + w * factor]
            assert part.shape[:2] == (h * factor, w * factor)
            cv2.imwrite(str(tmp_path / kind / f'{i:02d}.png'), part)
            if kind == 'LRx2':
                lqs.append(part)
    opt['datasets']['train'].update(
        dataroot_gt=str(tmp_path / 'GT'), dataroot_lq=str(tmp_path / 'LRx2')
    )
    return opt, lqs


@pytest.fixture
def command(here, small, tmp_path):
    """Runs the command; the option file stays the same."""
    options = write_options(tmp_path / 'o.yml', small[0])
    return lambda *arguments, **more: here(
        'cache', '-opt', options, '--workers', '0', *arguments, **more
    )


def arrays(path):
    reader = CacheReader(path)
    return [
        reader.array(i, name).copy()
        for i in range(len(reader.key.images))
        for name in array_names(reader.key)
    ]


def assert_same(one, other):
    assert len(one) == len(other)
    assert all(np.array_equal(a, b) for a, b in zip(one, other))


def remade(path, command, *arguments):
    """The arrays of a cache that nothing disturbs; there is none afterwards."""
    command(*arguments)
    found = arrays(path)
    shutil.rmtree(path)
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'c.lmdb'


def alone(monkeypatch):
    monkeypatch.setattr(targets, 'choose_batch_pixels', lambda *_: 1)


def test_batches_hold_images_of_one_size():
    images = [CachedImage(str(i), 2 * h, 2 * w) for i, (h, w) in enumerate(SIZES)]
    assert plan_batches(images, 2, 4096) == [(0, 1, 2, 3, 4, 7, 8), (5, 6), (9, 10, 11)]
    assert plan_batches(images, 2, 1) == [(i,) for i in range(COUNT)]
    cpu = torch.device('cpu')
    assert choose_batch_pixels(images, 2, cpu, 1) == 4096
    # Each process gets some; of large images each is alone, which the manifest does not mention.
    assert choose_batch_pixels(images, 2, cpu, 4) == sum(h * w for h, w in SIZES) // 4
    assert choose_batch_pixels([CachedImage('a', 480, 480)] * 9, 4, cpu, 1) == 1


def test_other_places_of_a_batch_are_filled():
    batch = Batch(4, (1, 3), (11, 13))
    images = torch.tensor([[1.0], [2.0]])
    assert batch.fill(images).tolist() == [[1], [1], [1], [2]]
    assert torch.equal(batch.wanted(batch.fill(images)), images)


@pytest.mark.parametrize('arguments', [(), ('--self-ensemble',), ('--tile', '16')], ids=str)
def test_a_cache_has_the_values_of_its_batches(small, command, path, arguments):
    opt, lqs = small
    command(*arguments, '--tile-overlap', '4')
    reader = CacheReader(path)
    assert reader.key.settings.batch_pixels == 4096
    network = FusedTeachers(TeacherEnsemble(parse_teachers(opt), 2), parse_fusion(opt))

    def run(x):
        if '--tile' in arguments:
            return run_tiled(network, x, 2, 16, 4)
        return eightfold(network, x) if arguments else network(x)

    different = []
    for batch in plan_batches(reader.key.images, 2, 4096):
        assert len(batch) > 1
        output = run(torch.cat([to_tensor(lqs[i]) for i in batch]))
        for row, index in enumerate(batch):
            target = reader.array(index, 'target')
            assert np.array_equal(target, to_array(output[row : row + 1]))
            if not arguments:
                single = to_array(run(to_tensor(lqs[index]))).astype(int)
                assert np.abs(single - target).max() <= 1
                different.append((single != target).mean())
    assert sum(different) < 1e-3 * COUNT


def test_alone_the_values_are_those_of_each_image(small, command, path, monkeypatch):
    alone(monkeypatch)
    opt, lqs = small
    command()
    reader = CacheReader(path)
    assert 'batch_pixels' not in reader.manifest['made_with']
    network = FusedTeachers(TeacherEnsemble(parse_teachers(opt), 2), parse_fusion(opt))
    for index, lq in enumerate(lqs):
        assert np.array_equal(reader.array(index, 'target'), to_array(network(to_tensor(lq))))


def test_outputs_in_folders_and_of_networks_keep_their_images(small, here, path, tmp_path):
    opt, lqs = small
    teachers = {'given': {'images': str(tmp_path / 'GT')}, **opt['teachers']}
    opt = {**opt, 'teachers': teachers}
    options = write_options(tmp_path / 'given.yml', opt)
    here('cache', '-opt', options, '--what', 'teachers', '--workers', '2')
    reader = CacheReader(path)
    ensemble = TeacherEnsemble(parse_teachers({**opt, 'teachers': small[0]['teachers']}), 2)
    for batch in plan_batches(reader.key.images, 2, 4096):
        outputs = ensemble(torch.cat([to_tensor(lqs[i]) for i in batch]))
        for row, index in enumerate(batch):
            assert np.array_equal(reader.array(index, 'teacher/given'), reader.array(index, 'gt'))
            for name, part in zip(ensemble.names, outputs[row : row + 1].split(3, 1)):
                assert np.array_equal(reader.array(index, f'teacher/{name}'), to_array(part))


@pytest.mark.parametrize('at', [0, 3, 8])
def test_an_error_of_the_thread_ends_the_command_and_what_was_written_stays(
    command, path, monkeypatch, at
):
    expected = remade(path, command)
    put = CacheWriter.put
    calls = itertools.count()

    def failing(self, *arguments):
        assert threading.current_thread() is not threading.main_thread()
        if next(calls) >= at:
            raise DataError('the disk is on fire')
        put(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(writer, '_FLUSH_SECONDS', 0)
        patch.setattr(CacheWriter, 'put', failing)
        assert 'mtkd cache: the disk is on fire' in command(expect=1)
    computed = record_computed(monkeypatch)
    printed = command()
    assert f'PSNR on Y of {COUNT - at} images' in printed
    assert len(computed) == COUNT - at, 'only what is missing is decoded and computed'
    # Batches with images that were there have the values of whole ones.
    assert_same(arrays(path), expected)


@pytest.mark.parametrize('error', [KeyboardInterrupt, SystemExit])
def test_after_ctrl_c_nothing_that_was_computed_is_lost(command, path, monkeypatch, error):
    expected = remade(path, command)
    compute = computing.Targets.__call__
    seen = []

    def interrupted(self, names, lq, batch):
        if len(seen) == 2:
            raise error
        seen.append(names)
        return compute(self, names, lq, batch)

    with monkeypatch.context() as patch:
        patch.setattr(computing.Targets, '__call__', interrupted)
        if error is KeyboardInterrupt:
            assert 'mtkd cache: interrupted' in command(expect=130)
        else:
            with pytest.raises(error):
                command()
    computed = record_computed(monkeypatch)
    command()
    assert len(computed) == COUNT - sum(map(len, seen))
    assert_same(arrays(path), expected)


def test_the_number_of_processes_does_not_change_what_is_begun(command, path, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '3')
    for rank in '012':
        monkeypatch.setenv('RANK', rank)
        printed = command()
    assert 'is complete' in printed
    expected = arrays(path)
    pixels = CacheReader(path).key.settings.batch_pixels
    assert pixels == sum(h * w for h, w in SIZES) // 3
    shutil.rmtree(path)
    monkeypatch.setenv('RANK', '1')
    assert 'the share of process 1 is done' in command()
    monkeypatch.delenv('RANK')
    monkeypatch.delenv('WORLD_SIZE')
    assert 'is complete' in command()
    assert CacheReader(path).key.settings.batch_pixels == pixels
    assert_same(arrays(path), expected)


def test_a_damaged_image_gets_the_values_that_it_had(command, path, monkeypatch):
    command()
    identity = CacheReader(path).id
    expected = arrays(path)
    checksums = CacheReader(path).checksums(3)
    close_map(path)
    with lmdb.open(str(path), map_size=1 << 26) as env, env.begin(write=True) as txn:
        other = {**checksums, 'target': checksums['target'] ^ 1}
        txn.put(b'3/crc', json.dumps(other).encode())
    (path / 'lock.mdb').unlink()
    computed = record_computed(monkeypatch)
    assert "is damaged: 1 of 12 images: target of '03.png'" in command('--overwrite')
    assert computed == ['03.png']
    assert CacheReader(path).id == identity
    assert_same(arrays(path), expected)


def test_what_was_begun_one_at_a_time_is_finished_so(command, path, monkeypatch):
    """Such are the unfinished caches of older versions."""
    with monkeypatch.context() as patch:
        alone(patch)
        expected = remade(path, command)
        patch.setenv('WORLD_SIZE', '2')
        assert 'the share of process 0 is done' in command()
    assert 'PSNR on Y of 6 images' in command()
    assert CacheReader(path).key.settings.batch_pixels == 1
    assert_same(arrays(path), expected)


def test_images_that_do_not_fit_together_are_computed_one_by_one(command, path, monkeypatch):
    with monkeypatch.context() as patch:
        alone(patch)
        expected = remade(path, command, '--tile-overlap', '4')
    run = computing.Targets._run

    def limited(self, x, precomputed, tile):
        h, w = (min(n, tile or n) for n in x.shape[-2:])
        if len(x) * h * w > 24 * 24:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')
        return run(self, x, precomputed, tile)

    monkeypatch.setattr(computing.Targets, '_run', limited)
    monkeypatch.setattr(computing, '_SMALLEST_TILE', 8)
    printed = command('--tile-overlap', '4')
    # The wide images have fewer pixels than the batch before them, and the last batch has more.
    assert printed.count('images at once; these, and other batches with as many pixels') == 2
    assert printed.count('it is computed in tiles of 16 pixels') == 2
    assert 'WARNING: 2 images did not fit into memory' in printed
    reader = CacheReader(path)
    for index, (_, w) in enumerate(SIZES):
        same = np.array_equal(reader.array(index, 'target'), expected[3 * index + 2])
        assert same == (w == 24)
        assert reader.sources(index).get('tile') == (None if w == 24 else [16])


def test_workers_are_as_many_as_cores_and_shared_memory_allow(monkeypatch, tmp_path):
    images = [CachedImage(str(i), 1356, 2040) for i in range(40)]
    single = [Batch(1, (0,), (i,)) for i in range(40)]
    monkeypatch.setattr(batches, 'usable_cores', lambda: 16)
    monkeypatch.setattr(batches.sys, 'platform', 'linux')
    monkeypatch.setattr(batches, '_SHARED_MEMORY', str(tmp_path))
    monkeypatch.setattr(batches, 'free_bytes', lambda _: 1 << 33)
    assert batches._count_workers(single, images, 1) == 4
    assert batches._count_workers(single, images, 8) == 2
    assert batches._count_workers(single[:3], images, 1) == 3
    assert batches._count_workers([], images, 1) == 0
    # What containers of Docker have.
    monkeypatch.setattr(batches, 'free_bytes', lambda _: 1 << 26)
    assert batches._count_workers(single, images, 1) == 1
    assert batches._count_workers(single, images, 2) == 0


def test_a_writer_is_not_closed_in_the_middle_of_a_transaction(small, command, path):
    command()
    key = CacheReader(path).key
    contents = arrays(path)
    other = path.with_name('other.lmdb')
    with CacheWriter(other, key) as opened:
        opened.put(0, dict(zip(array_names(key), contents)))
        run = opened._run_transaction
        begun = threading.Event()

        def slow(work):
            def waiting(txn):
                begun.set()
                threading.Event().wait(0.2)
                work(txn)

            run(waiting)

        opened._run_transaction = slow
        thread = threading.Thread(target=opened.flush)
        thread.start()
        begun.wait()
        opened.close()
        thread.join()
    with CacheWriter(other, key) as opened:
        assert opened.done() == {0}
