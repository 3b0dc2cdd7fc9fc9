"""What kills and other writers do to a cache of targets."""

import contextlib
import errno
import logging
import os
import pickle
import random
import shutil
import signal
import socket
import time
import traceback

import numpy as np
import pytest
from conftest import with_cache, write_options
from test_cache_writing import arrays_of, cache_key

from mtkd_basicsr.commands.cache import targets
from mtkd_basicsr.data.cache import lock
from mtkd_basicsr.data.cache.format import partial_path, state_of
from mtkd_basicsr.data.cache.key import CacheSettings
from mtkd_basicsr.data.cache.leftovers import remove_leftovers
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.errors import CacheError

IMAGES = 16
NEW = cache_key(IMAGES)
OLD = cache_key(IMAGES, settings=CacheSettings(self_ensemble=True))


def arrays_for(key, index):
    """Arrays that differ between the two caches."""
    return arrays_of(index + (1000 if key == OLD else 0))


def write(path, key=NEW, images=range(IMAGES), overwrite=False):
    """Writes what is missing, image after image, and finishes."""
    with CacheWriter(path, key, overwrite) as writer:
        for i in sorted(set(images) - writer.done()):
            writer.put(i, arrays_for(key, i))
            writer.flush()
        return writer.finish()


def holds(reader, key):
    return reader.key == key and all(
        np.array_equal(reader.array(i, kind), array)
        for i in range(IMAGES)
        for kind, array in arrays_for(key, i).items()
    )


def found_at(path):
    """What a reader finds: 'none' if it is refused."""
    try:
        reader = CacheReader(path)
    except CacheError:
        return 'none'
    return next(
        (name for name, key in (('new', NEW), ('old', OLD)) if holds(reader, key)),
        'wrong',
    )


def names(path):
    return sorted(p.name for p in path.parent.glob(path.name + '*'))


def forked(function, *args):
    """Number of a process that runs a function; its status is 0 when that returns, and 1 when it
    raises.
    """
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
    generator = random.Random(over)
    before = set()
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
    assert found_at(path) == 'new'
    assert names(path) == ['cache.lmdb']


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
    seen = []
    step = 0
    status = -signal.SIGKILL
    while status == -signal.SIGKILL:
        shutil.rmtree(path, ignore_errors=True)
        if over == 'old':
            write(path, OLD)
        status = status_of(forked(kill_at, step, path))
        seen.append(found_at(path))
        if seen[-1] == 'new':
            remove_leftovers(path)
        else:
            assert write(path, NEW, images=()), 'all images were written before the kill'
        assert found_at(path) == 'new'
        assert names(path) == ['cache.lmdb']
        step += 1
    assert status == 0
    assert set(seen) == {over, 'new'}
    assert len(seen) >= 6


def test_what_a_kill_leaves_is_removed_by_the_next_call(here, path, make_options):
    opt = with_cache(make_options('MTKDModel'), path)
    options = write_options(path.parent / 'options.yml', opt)
    here('cache', '-opt', options, '--workers', '0')
    (path.parent / 'cache.lmdb.partial').mkdir()
    (path.parent / 'cache.lmdb.partial' / 'lock.mdb').write_bytes(b'')
    assert 'is complete' in here('cache', '-opt', options)
    assert names(path) == ['cache.lmdb']


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
    expected = (
        rf"cache.lmdb' is written by process {pid} on {socket.gethostname()} since "
        r".*'.*cache.lmdb.lock'.*wait for it, or stop it"
    )
    for overwrite in (False, True):
        with pytest.raises(CacheError, match=expected):
            CacheWriter(path, NEW, overwrite)
    os.kill(pid, signal.SIGKILL)
    status_of(pid)
    assert 'cache.lmdb.lock' in names(path)
    assert write(path)
    assert found_at(path) == 'new'
    assert names(path) == ['cache.lmdb']


def test_the_command_says_who_writes_before_it_builds_a_teacher(
    here, path, holder, make_options, monkeypatch
):
    monkeypatch.setattr(targets, 'Targets', None)
    pid = holder()
    options = write_options(
        path.parent / 'options.yml', with_cache(make_options('MTKDModel'), path)
    )
    assert f"mtkd cache: '{path}' is written by process {pid}" in here(
        'cache', '-opt', options, expect=1
    )


def test_processes_of_one_torchrun_write_together(path, holder, monkeypatch):
    job = {
        'TORCHELASTIC_RUN_ID': 'a',
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': '29500',
        'WORLD_SIZE': '2',
    }
    pid = holder(**job)
    for other in (
        {**job, 'MASTER_PORT': '29501'},
        {**job, 'TORCHELASTIC_RUN_ID': 'b'},
        {'WORLD_SIZE': '1'},
    ):
        with (  # noqa: PT012
            monkeypatch.context() as patch,
            pytest.raises(CacheError, match=f'is written by process {pid}'),
        ):
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
    assert names(path) == ['cache.lmdb.lock', 'cache.lmdb.partial']
    assert state_of(path) == 'partial'


def test_who_waits_for_a_lock_file_that_is_removed_takes_the_next_one(path):
    def wait(pipe):
        held = lock.CacheLock(f'{path}.lock', path)
        os.write(pipe, b'!')
        signal.pause()
        assert held

    read, write = os.pipe()
    with lock.CacheLock(f'{path}.lock', path).releasing():
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
        assert status_of(pid) == 0
        assert state_of(path) == 'complete'
        assert writer.finish()
    assert found_at(path) == 'new'
    assert names(path) == ['cache.lmdb']


def test_a_cache_that_was_taken_away_while_it_was_written_is_not_complete(path):
    with CacheWriter(path, NEW) as writer:
        for i in range(IMAGES):
            writer.put(i, arrays_for(NEW, i))
        writer.flush()
        shutil.rmtree(partial_path(path))
        with pytest.raises(CacheError):
            writer.finish()
    assert state_of(path) == 'none'


@pytest.mark.parametrize(
    'reason', ['this system has no record locks', 'the file system: No locks available']
)
def test_without_locks_it_warns(path, caplog, monkeypatch, reason):
    def none(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    if 'file system' in reason:
        monkeypatch.setattr(lock.fcntl, 'lockf', none)
    else:
        monkeypatch.setattr(lock, 'fcntl', None)
    monkeypatch.setattr(logging.getLogger('basicsr'), 'propagate', True)
    assert write(path)
    assert found_at(path) == 'new'
    assert names(path) == ['cache.lmdb']
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
    assert holds(reader, OLD)
    assert np.array_equal(seen, arrays_for(OLD, 3)['gt'])

    def in_a_worker():
        assert holds(reader, OLD)
        assert holds(CacheReader(path), NEW)
        assert holds(reader, OLD)

    assert status_of(forked(in_a_worker)) == 0
    # it has no open file to go on with
    with pytest.raises(CacheError, match='was replaced while it was read'):
        spawned.array(0, 'gt')
    assert write(path, NEW, overwrite=True)
    assert holds(pickle.loads(pickle.dumps(CacheReader(path))), NEW)
