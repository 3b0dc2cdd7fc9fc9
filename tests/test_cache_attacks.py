"""What kills, other writers, full disks, damaged files and read-only folders do to a cache of targets."""

import contextlib
import errno
import logging
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import signal
import socket
import stat
import tempfile
import time
import traceback
from pathlib import Path

import lmdb
import numpy as np
import pytest
from conftest import write_options
from test_cache import arrays_of, manifest_of, with_cache

import mtkd_basicsr.cache
from mtkd_basicsr.data import cache_check, cache_lock, cache_writer
from mtkd_basicsr.data.cache_check import damaged_images, describe
from mtkd_basicsr.data.cache_writer import CacheWriter, remove_left_overs
from mtkd_basicsr.data.target_cache import CacheReader, bytes_needed, kinds_of, partial_path, state_of
from mtkd_basicsr.errors import CacheError, DamagedCacheError, DataError

IMAGES = 16
NEW, OLD = manifest_of(IMAGES), manifest_of(IMAGES, made_with={'self_ensemble': True})
NOBODY = 65534


def arrays_for(manifest, index):
    """Arrays that differ between the two manifests."""
    return arrays_of(index + (1000 if manifest == OLD else 0))


def write(path, manifest=NEW, images=range(IMAGES), overwrite=False):
    """Writes what is missing, image after image, and finishes."""
    with CacheWriter(path, manifest, overwrite) as writer:
        for i in sorted(set(images) - writer.done()):
            writer.put(i, arrays_for(manifest, i))
            writer.flush()
        return writer.finish()


def holds(reader, manifest):
    return reader.manifest == manifest and all(np.array_equal(reader.array(i, kind), array) for i in range(IMAGES)
                                               for kind, array in arrays_for(manifest, i).items())


def found_at(path):
    """What a reader finds: 'none' if it is refused."""
    try:
        reader = CacheReader(path)
    except CacheError:
        return 'none'
    return next((name for name, manifest in (('new', NEW), ('old', OLD)) if holds(reader, manifest)), 'wrong')


def names(path):
    return sorted(p.name for p in path.parent.glob(path.name + '*'))


def forked(function, *args):
    """Number of a process that runs a function; its status is 0 when that returns, and 1 when it raises."""
    pid = os.fork()
    if pid:
        return pid
    try:
        function(*args)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def status_of(pid):
    """Exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'cache.lmdb'


@pytest.mark.parametrize('over', ['nothing', 'an old cache'])
def test_killed_at_random_moments(path, over):
    generator, before = random.Random(over), set()
    if over != 'nothing':
        write(path, OLD)
    for _ in range(6):
        pid = forked(write, path, NEW)
        time.sleep(generator.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        if status_of(pid) == 0:
            break
        assert found_at(path) in (('none', 'new') if over == 'nothing' else ('old', 'new'))
        if found_at(path) == 'new':
            break
        with CacheWriter(path, NEW) as writer:
            done = writer.done()
        assert done >= before, 'images that were written are gone'
        before = done
    assert status_of(forked(write, path, NEW)) == 0
    assert found_at(path) == 'new' and names(path) == ['cache.lmdb']


def kill_at(step, path):
    """Writes, and is killed before the n-th call of finish() that changes a file."""
    with CacheWriter(path, NEW) as writer:
        for i in set(range(IMAGES)) - writer.done():
            writer.put(i, arrays_for(NEW, i))
        writer.flush()
        steps = iter(range(1000))

        def counted(function):
            def wrapped(*args, **kwargs):
                if next(steps) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)
            return wrapped
        for name in ('replace', 'rename', 'makedirs', 'fsync', 'unlink', 'remove', 'rmdir'):
            setattr(os, name, counted(getattr(os, name)))
        writer.finish()


@pytest.mark.parametrize('over', ['none', 'old'])
def test_killed_at_each_step_of_finish(path, over):
    seen, step, status = [], 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        shutil.rmtree(path, ignore_errors=True)
        if over == 'old':
            write(path, OLD)
        status = status_of(forked(kill_at, step, path))
        seen.append(found_at(path))
        if seen[-1] == 'new':
            remove_left_overs(path)
        else:
            assert write(path, NEW, images=()), 'all images were written before the kill'
        assert found_at(path) == 'new' and names(path) == ['cache.lmdb']
        step += 1
    assert status == 0 and set(seen) == {over, 'new'} and len(seen) >= 6


def test_what_a_kill_leaves_is_removed_by_the_next_call(here, path, make_options):
    opt = with_cache(make_options('MTKDModel'), path)
    options = write_options(path.parent / 'options.yml', opt)
    here('cache', '-opt', options, '--workers', '0')
    (path.parent / 'cache.lmdb.partial').mkdir()
    (path.parent / 'cache.lmdb.partial' / 'lock.mdb').write_bytes(b'')
    assert 'is complete' in here('cache', '-opt', options) and names(path) == ['cache.lmdb']


def hold(path, pipe, images, environment):
    """Begins to write, has a worker process, and stays."""
    os.environ.update(environment)
    with CacheWriter(path, NEW) as writer:
        for i in range(images):
            writer.put(i, arrays_for(NEW, i))
        writer.flush()
        worker = forked(time.sleep, 30)
        os.write(pipe, str(worker).encode())
        signal.pause()


@pytest.fixture
def holder(path):
    """Begins to write in another process; gives its number."""
    pids = []

    def start(images=1, **environment):
        read, write = os.pipe()
        pids.append(forked(hold, path, write, images, environment))
        pids.append(int(os.read(read, 20)))
        return pids[-2]
    yield start
    for pid in pids[1::2]:
        os.kill(pid, signal.SIGKILL)
    for pid in pids[::2]:
        with contextlib.suppress(ChildProcessError):  # the test has ended it
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def test_a_second_writer_is_refused_until_the_first_is_dead(path, holder):
    pid = holder()
    expected = rf"cache.lmdb' is written by process {pid} on {socket.gethostname()} since .*'.*cache.lmdb.lock'.*wait for it, or stop it"
    for overwrite in (False, True):
        with pytest.raises(CacheError, match=expected):
            CacheWriter(path, NEW, overwrite)
    os.kill(pid, signal.SIGKILL)
    status_of(pid)
    assert 'cache.lmdb.lock' in names(path)
    assert write(path) and found_at(path) == 'new' and names(path) == ['cache.lmdb']


def test_the_command_says_who_writes_before_it_builds_a_teacher(here, path, holder, make_options, monkeypatch):
    monkeypatch.setattr(mtkd_basicsr.cache, '_Targets', None)
    pid = holder()
    options = write_options(path.parent / 'options.yml', with_cache(make_options('MTKDModel'), path))
    assert f"mtkd cache: '{path}' is written by process {pid}" in here('cache', '-opt', options, expect=1)


def test_processes_of_one_torchrun_write_together(path, holder, monkeypatch):
    job = {'TORCHELASTIC_RUN_ID': 'a', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '29500', 'WORLD_SIZE': '2'}
    pid = holder(**job)
    for other in ({**job, 'MASTER_PORT': '29501'}, {**job, 'TORCHELASTIC_RUN_ID': 'b'}, {'WORLD_SIZE': '1'}):
        with monkeypatch.context() as patch, pytest.raises(CacheError, match=f'is written by process {pid}'):
            for key in job:
                patch.setenv(key, other.get(key, ''))
            CacheWriter(path, NEW)
    for key in job:
        monkeypatch.setenv(key, job[key])
    with CacheWriter(path, NEW) as writer:
        assert writer.done() == {0}
        writer.put(1, arrays_for(NEW, 1))
        assert not writer.finish()
    assert 'cache.lmdb.lock' in names(path), 'the other process of the job is still there'
    monkeypatch.setenv('WORLD_SIZE', '1')
    with pytest.raises(CacheError, match='is written by process'):
        CacheWriter(path, NEW)


def test_a_process_that_leaves_takes_nothing_from_the_others(path, holder, monkeypatch):
    holder(images=0, WORLD_SIZE='2')
    monkeypatch.setenv('WORLD_SIZE', '2')
    CacheWriter(path, NEW).close()
    assert names(path) == ['cache.lmdb.lock', 'cache.lmdb.partial'] and state_of(path) == 'partial'


def test_who_waits_for_a_lock_file_that_is_removed_takes_the_next_one(path):
    def wait(pipe):
        lock = cache_lock.CacheLock(f'{path}.lock', path)
        os.write(pipe, b'!')
        signal.pause()
        assert lock

    read, write = os.pipe()
    with cache_lock.CacheLock(f'{path}.lock', path).leaving():
        pid = forked(wait, write)
        time.sleep(0.3)
    os.read(read, 1)
    try:
        with pytest.raises(CacheError, match=f'is written by process {pid}'):
            CacheWriter(path, NEW)
    finally:
        os.kill(pid, signal.SIGKILL)
        status_of(pid)


def test_the_last_of_several_that_finish_at_once_finds_it_done(path, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    read, go = os.pipe()
    pid = forked(lambda: os.read(read, 1) and write(path))
    with CacheWriter(path, NEW) as writer:
        for i in range(IMAGES):
            writer.put(i, arrays_for(NEW, i))
        writer.flush()
        os.write(go, b'!')
        assert status_of(pid) == 0 and state_of(path) == 'complete'
        assert writer.finish()
    assert found_at(path) == 'new' and names(path) == ['cache.lmdb']


def test_a_cache_that_was_taken_away_while_it_was_written_is_not_complete(path):
    with CacheWriter(path, NEW) as writer:
        for i in range(IMAGES):
            writer.put(i, arrays_for(NEW, i))
        writer.flush()
        shutil.rmtree(partial_path(path))
        with pytest.raises(CacheError):
            writer.finish()
    assert state_of(path) == 'none'


@pytest.mark.parametrize('reason', ['this system has no record locks', 'the file system: No locks available'])
def test_without_locks_it_warns(path, caplog, monkeypatch, reason):
    def none(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    if 'file system' in reason:
        monkeypatch.setattr(cache_lock.fcntl, 'lockf', none)
    else:
        monkeypatch.setattr(cache_lock, 'fcntl', None)
    monkeypatch.setattr(logging.getLogger('basicsr'), 'propagate', True)
    assert write(path) and found_at(path) == 'new' and names(path) == ['cache.lmdb']
    assert f"cache.lmdb' is written without a lock ({reason}" in caplog.text


def test_nothing_is_left_where_no_image_was_written(path):
    with pytest.raises(ZeroDivisionError), CacheWriter(path, NEW):
        raise ZeroDivisionError
    assert names(path) == []


def test_a_training_goes_on_reading_a_cache_that_is_replaced(path):
    write(path, OLD)
    reader = CacheReader(path)
    seen = reader.array(3, 'gt')
    spawned = pickle.loads(pickle.dumps(reader))
    assert write(path, NEW, overwrite=True)
    assert holds(CacheReader(path), NEW), 'a new reader, in the same process'
    assert holds(reader, OLD) and np.array_equal(seen, arrays_for(OLD, 3)['gt'])

    def in_a_worker():
        assert holds(reader, OLD) and holds(CacheReader(path), NEW) and holds(reader, OLD)
    assert status_of(forked(in_a_worker)) == 0
    with pytest.raises(CacheError, match='was replaced while it was read'):  # it has no open file to go on with
        spawned.array(0, 'gt')
    assert write(path, NEW, overwrite=True) and holds(pickle.loads(pickle.dumps(CacheReader(path))), NEW)


@pytest.fixture
def verify(here, path, make_options):
    """Writes a cache and gives ``mtkd cache --verify``."""
    write(path)
    options = write_options(path.parent / 'options.yml', with_cache(make_options('MTKDModel'), path))
    return lambda expect: here('cache', '-opt', options, '--verify', expect=expect)


def flip(path, content):
    """Changes one bit of the file where it holds something."""
    data = bytearray((path / 'data.mdb').read_bytes())
    assert data.count(content) == 1
    data[data.index(content) + len(content) // 2] ^= 1
    (path / 'data.mdb').write_bytes(data)


def test_verify_finds_a_flipped_bit(verify, path):
    assert f"'{path}' is complete, and as it was written: target of {IMAGES} images" in verify(expect=0)
    for index, kind in ((7, 'gt'), (3, 'lq'), (7, 'target')):
        flip(path, arrays_for(NEW, index)[kind].tobytes())
    printed = verify(expect=1)
    assert f"mtkd cache: target cache '{path}' is damaged: 2 of {IMAGES} images: lq of '3.png', gt and target of '7.png'; " in printed
    assert 'mtkd cache -opt FILE --overwrite computes these again' in printed


def change(path, work):
    env = lmdb.open(str(path), map_size=1 << 26)
    with env.begin(write=True) as txn:
        work(txn)
    env.close()


@pytest.mark.parametrize('work,text', [
    (lambda txn: txn.delete(b'5/gt'), "gt of '5.png'"),
    (lambda txn: txn.put(b'5/target', b'short'), "target of '5.png'"),
    (lambda txn: txn.delete(b'5/crc'), "checksums of '5.png'"),
    (lambda txn: txn.put(b'5/crc', b'{"lq": 1}'), "checksums of '5.png'"),
    (lambda txn: txn.put(b'5/crc', b'\xff'), "checksums of '5.png'"),
    (lambda txn: txn.put(b'manifest', txn.get(b'manifest').replace(b'5.png', b'6.png')), 'its manifest is not the one that was written'),
])
def test_verify_finds_what_is_missing_or_changed(verify, path, work, text):
    change(path, work)
    printed = verify(expect=1)
    assert 'is damaged' in printed and text in printed and '--overwrite' in printed


def test_three_of_the_damaged_images_are_named(path):
    write(path)
    assert describe(CacheReader(path), {i: ['lq'] for i in range(5)}) == \
        f"5 of {IMAGES} images: lq of '0.png', lq of '1.png', lq of '2.png', …"


@pytest.mark.parametrize('size', [0, 100, 4096, 8192, 8200, 12288, 0.5, -4096, -1])
def test_a_truncated_file_is_refused(path, size):
    write(path)
    whole = os.path.getsize(path / 'data.mdb')
    os.truncate(path / 'data.mdb', int(size * whole) if isinstance(size, float) else size % whole)

    def refused():
        with pytest.raises(DamagedCacheError, match='is damaged: .*rebuild what is damaged with mtkd cache -opt FILE --overwrite'):
            CacheReader(path)
    assert status_of(forked(refused)) == 0, 'the end of a map was read'
    os.makedirs(partial_path(path))
    shutil.move(path / 'data.mdb', Path(partial_path(path)) / 'data.mdb')

    def resumed():
        if size != 0:  # LMDB takes an empty file for a new one
            with pytest.raises(DamagedCacheError, match='the unfinished cache .* is damaged: .*begin it again with .*--overwrite'):
                CacheWriter(path, NEW)
        assert write(path, NEW, overwrite=True)
    assert status_of(forked(resumed)) == 0 and found_at(path) == 'new'


def clear_tree(path):
    """Zeros in all pages of an LMDB that say where its arrays are."""
    data, page = bytearray((path / 'data.mdb').read_bytes()), resource.getpagesize()
    for start in range(2 * page, len(data), page):  # all pages of the tree: a number, padding, flags 1 or 2
        if int.from_bytes(data[start:start + 8], 'little') == start // page and data[start + 10] in (1, 2):
            data[start + 8:start + page] = bytes(page - 8)
    (path / 'data.mdb').write_bytes(data)


def test_pages_that_cannot_be_read_are_no_crash(path):
    write(path)
    clear_tree(path)

    def refused(unfinished):
        with pytest.raises(DamagedCacheError, match='is damaged: .*MDB_CORRUPTED.*--overwrite'):
            CacheWriter(path, NEW) if unfinished else CacheReader(path)
        assert write(path, NEW, overwrite=True)
    assert status_of(forked(refused, False)) == 0 and found_at(path) == 'new'
    shutil.copytree(path, partial_path(path))
    shutil.rmtree(path)
    clear_tree(Path(partial_path(path)))
    assert status_of(forked(refused, True)) == 0 and found_at(path) == 'new'


def test_a_file_that_is_cut_off_while_it_is_open(path):
    write(path)
    reader = CacheReader(path)
    os.truncate(path / 'data.mdb', 12288)
    with pytest.raises(DamagedCacheError, match='its file ends after 12288 bytes'):
        CacheReader(path)
    assert list(damaged_images(reader, workers=2)) == list(range(IMAGES))


def test_a_worker_that_the_system_ends_means_damage(path, monkeypatch):
    write(path)
    monkeypatch.setattr(CacheReader, 'array', lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert damaged_images(CacheReader(path), workers=2) == {i: ['all'] for i in range(IMAGES)}


def test_overwrite_computes_what_is_damaged_and_nothing_else(here, path, make_options, monkeypatch):
    options = write_options(path.parent / 'options.yml', with_cache(make_options('MTKDModel'), path))
    here('cache', '-opt', options, '--workers', '0')
    reader = CacheReader(path)
    before = [reader.array(i, kind).copy() for i in range(3) for kind in kinds_of(reader.manifest)]
    assert 'is complete' in here('cache', '-opt', options, '--overwrite') and CacheReader(path).file == reader.file
    flip(path, reader.array(1, 'target').tobytes())
    computed, compute = [], mtkd_basicsr.cache._Targets.__call__
    monkeypatch.setattr(mtkd_basicsr.cache._Targets, '__call__', lambda self, *args: computed.append(args[0]) or compute(self, *args))
    name = reader.manifest['images'][1][0]
    printed = here('cache', '-opt', options, '--overwrite', '--workers', '0')
    assert f"is damaged: 1 of 3 images: target of '{name}'; computing these again" in printed and computed == [name]
    after = CacheReader(path)
    assert all(np.array_equal(a, after.array(i // 3, kinds_of(after.manifest)[i % 3])) for i, a in enumerate(before))
    os.truncate(path / 'data.mdb', 20000)
    assert 'its file ends after 20000 bytes' in here('cache', '-opt', options, expect=1)
    here('cache', '-opt', options, '--overwrite', '--workers', '0')
    assert damaged_images(CacheReader(path)) == {} and len(computed) == 4


def test_a_full_disk(path):
    write(path, OLD)

    def fill():
        # The system cuts writes off as a full disk does. LMDB's file is larger than that after some images.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, resource.RLIM_INFINITY))
        with pytest.raises(DataError, match=r"cache.lmdb' cannot be written: .*; 0\.\d\d GB are still to be written, "
                                            r".* has [\d.]+ GB free; the same command goes on when this is put right"):
            write(path, NEW)
    assert status_of(forked(fill)) == 0
    assert found_at(path) == 'old'
    with CacheWriter(path, NEW) as writer:
        done = writer.done()
    assert 0 < len(done) < IMAGES
    assert write(path, NEW) and found_at(path) == 'new' and names(path) == ['cache.lmdb']


def test_a_resumed_cache_needs_only_what_is_missing(path, monkeypatch):
    write(path, images=range(IMAGES // 2))
    file = Path(partial_path(path)) / 'data.mdb'
    needed = bytes_needed(NEW) + cache_writer._SPARE - file.stat().st_size
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: type('Usage', (), {'free': needed}))
    write(path, images=[])
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: type('Usage', (), {'free': needed - 1}))
    with pytest.raises(DataError, match=r'needs 0\.\d\d GB; .* has 0\.\d\d GB free'):
        CacheWriter(path, NEW)
    assert state_of(path) == 'partial'


@pytest.fixture
def read_only():
    """A cache in a folder that every user can read, and nobody but root can write."""
    folder = Path(tempfile.mkdtemp())
    write(folder / 'cache.lmdb')
    for p in (folder / 'cache.lmdb', folder):
        p.chmod(0o555)
    yield folder
    for p in (folder, folder / 'cache.lmdb'):
        p.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def test_a_read_only_folder(read_only):
    path = read_only / 'cache.lmdb'

    def as_a_user():
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        with pytest.raises(OSError):
            (read_only / 'file').write_text('')
        assert found_at(path) == 'new' and damaged_images(CacheReader(path), workers=2) == {}
        remove_left_overs(path)
        with pytest.raises(DataError, match="cache.lmdb' cannot be written: .*Permission denied"):
            CacheWriter(path, OLD, overwrite=True)
    assert status_of(forked(as_a_user)) == 0


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='needs a folder that not even root can write')
def test_the_command_finds_that_it_cannot_write_before_it_builds_a_teacher(here, tmp_path, make_options, monkeypatch):
    monkeypatch.setattr(mtkd_basicsr.cache, '_Targets', None)
    options = write_options(tmp_path / 'options.yml', with_cache(make_options('MTKDModel'), '/proc/nowhere/cache.lmdb'))
    assert "mtkd cache: target_cache: '/proc/nowhere/cache.lmdb' cannot be written" in here('cache', '-opt', options, expect=1)


def test_a_file_of_that_name_is_kept(path):
    path.write_text('mine')
    with pytest.raises(CacheError, match="is a file; expected the folder of an LMDB, or nothing"):
        CacheWriter(path, NEW, overwrite=True)
    assert path.read_text() == 'mine' and names(path) == ['cache.lmdb']


def test_behind_a_symbolic_link(path, tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    path.symlink_to(tmp_path / 'elsewhere')
    assert partial_path(path) == str(tmp_path / 'elsewhere.partial'), 'another disk perhaps, and no file can be renamed onto another'
    assert write(path) and found_at(path) == 'new'
    assert write(path, OLD) and found_at(path) == 'old' and path.is_symlink()


def test_verify_works_where_processes_are_spawned(path, monkeypatch):
    write(path)
    flip(path, arrays_for(NEW, 2)['gt'].tobytes())
    monkeypatch.setattr(cache_check.multiprocessing, 'get_all_start_methods', lambda: ['spawn'])
    monkeypatch.setattr(cache_check.multiprocessing, 'get_context', lambda method, real=multiprocessing.get_context: real('spawn'))
    assert damaged_images(CacheReader(path), workers=1) == {2: ['gt']}
