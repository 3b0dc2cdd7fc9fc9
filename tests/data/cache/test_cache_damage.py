"""What damaged files, full disks and read-only folders do to a cache of targets."""

import multiprocessing
import os
import resource
import shutil
import signal
import stat
import tempfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from conftest import with_cache, write_options
from helpers.caches import record_computed
from test_cache_attacks import (
    IMAGES,
    NEW,
    OLD,
    arrays_for,
    forked,
    found_at,
    names,
    status_of,
    write,
)

from mtkd_basicsr.commands.cache import targets
from mtkd_basicsr.data.cache import checksums, writer
from mtkd_basicsr.data.cache.checksums import damaged_images, describe
from mtkd_basicsr.data.cache.format import array_names, bytes_needed, id_of, partial_path, state_of
from mtkd_basicsr.data.cache.key import FORMAT
from mtkd_basicsr.data.cache.layout import to_stored
from mtkd_basicsr.data.cache.leftovers import remove_leftovers
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.errors import CacheError, DamagedCacheError, DataError

NOBODY = 65534


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'cache.lmdb'


@pytest.fixture
def verify(here, path, make_options):
    """Writes a cache and gives ``mtkd cache --verify``."""
    write(path)
    opt = with_cache(make_options('MTKDModel'), path)
    opt['datasets']['train']['dataroot_gt'] = 'elsewhere'  # the cache has images of its own
    options = write_options(path.parent / 'options.yml', opt)
    return lambda expect: here('cache', '-opt', options, '--verify', expect=expect)


def flip(path, content):
    """Changes one bit of the file where it holds something."""
    data = bytearray((path / 'data.mdb').read_bytes())
    assert data.count(content) == 1
    data[data.index(content) + len(content) // 2] ^= 1
    (path / 'data.mdb').write_bytes(data)


def test_verify_finds_a_flipped_bit(verify, path):
    assert f"'{path}' is complete and matches its checksums: target of {IMAGES} images" in verify(
        expect=0
    )
    for index, kind in ((7, 'gt'), (3, 'lq'), (7, 'target')):
        flip(path, arrays_for(NEW, index)[kind].tobytes())
    printed = verify(expect=1)
    assert (
        f"mtkd cache: target cache '{path}' is damaged: 2 of {IMAGES} images: lq of '3.png', gt "
        "and target of '7.png'; " in printed
    )
    assert 'recompute these images with mtkd cache -opt FILE --overwrite' in printed


def change(path, work):
    env = lmdb.open(str(path), map_size=1 << 26)
    with env.begin(write=True) as txn:
        work(txn)
    env.close()


@pytest.mark.parametrize(
    ('work', 'text'),
    [
        (lambda txn: txn.delete(b'5/gt'), "gt of '5.png'"),
        (lambda txn: txn.put(b'5/target', b'short'), "target of '5.png'"),
        (lambda txn: txn.delete(b'5/crc'), "checksums of '5.png'"),
        (lambda txn: txn.put(b'5/crc', b'{"lq": 1}'), "checksums of '5.png'"),
        (lambda txn: txn.put(b'5/crc', b'\xff'), "checksums of '5.png'"),
        (
            lambda txn: txn.put(b'manifest', txn.get(b'manifest').replace(b'5.png', b'6.png')),
            'its manifest was changed',
        ),
    ],
)
def test_verify_finds_what_is_missing_or_changed(verify, path, work, text):
    change(path, work)
    printed = verify(expect=1)
    assert 'is damaged' in printed
    assert text in printed
    assert '--overwrite' in printed


def test_another_format_cannot_be_verified(verify, path):
    manifest = b'{"format": 3}'
    change(path, lambda txn: txn.put(b'manifest', manifest) and txn.put(b'id', id_of(manifest)))
    text = 'cannot be read: format: 3 in the cache, but this version reads 1 and 2'
    assert text in verify(expect=1)


def test_three_of_the_damaged_images_are_named(path):
    write(path)
    assert (
        describe(CacheReader(path), {i: ['lq'] for i in range(5)})
        == f"5 of {IMAGES} images: lq of '0.png', lq of '1.png', lq of '2.png', …"
    )


@pytest.mark.parametrize('size', [0, 100, 4096, 8192, 8200, 12288, 0.5, -4096, -1])
def test_a_truncated_file_is_refused(path, size):
    write(path)
    whole = os.path.getsize(path / 'data.mdb')
    os.truncate(path / 'data.mdb', int(size * whole) if isinstance(size, float) else size % whole)

    def refused():
        with pytest.raises(
            DamagedCacheError,
            match='is damaged: .*rebuild the damaged images with mtkd cache -opt FILE --overwrite',
        ):
            CacheReader(path)

    assert status_of(forked(refused)) == 0, 'the end of a map was read'
    os.makedirs(partial_path(path))
    shutil.move(path / 'data.mdb', Path(partial_path(path)) / 'data.mdb')

    def resumed():
        if size != 0:  # LMDB takes an empty file for a new one
            with pytest.raises(
                DamagedCacheError,
                match='the unfinished cache .* is damaged: .*start over with .*--overwrite',
            ):
                CacheWriter(path, NEW)
        assert write(path, NEW, overwrite=True)

    assert status_of(forked(resumed)) == 0
    assert found_at(path) == 'new'


def clear_tree(path):
    """Zeros in all pages of an LMDB that say where its arrays are."""
    data = bytearray((path / 'data.mdb').read_bytes())
    page = resource.getpagesize()
    # all pages of the tree: a number, padding, flags 1 or 2
    for start in range(2 * page, len(data), page):
        if int.from_bytes(data[start : start + 8], 'little') == start // page and data[
            start + 10
        ] in (1, 2):
            data[start + 8 : start + page] = bytes(page - 8)
    (path / 'data.mdb').write_bytes(data)


def test_pages_that_cannot_be_read_are_no_crash(path):
    write(path)
    clear_tree(path)

    def refused(unfinished):
        with pytest.raises(DamagedCacheError, match='is damaged: .*MDB_CORRUPTED.*--overwrite'):
            CacheWriter(path, NEW) if unfinished else CacheReader(path)
        assert write(path, NEW, overwrite=True)

    assert status_of(forked(refused, False)) == 0
    assert found_at(path) == 'new'
    shutil.copytree(path, partial_path(path))
    shutil.rmtree(path)
    clear_tree(Path(partial_path(path)))
    assert status_of(forked(refused, True)) == 0
    assert found_at(path) == 'new'


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
    options = write_options(
        path.parent / 'options.yml', with_cache(make_options('MTKDModel'), path)
    )
    here('cache', '-opt', options, '--workers', '0')
    reader = CacheReader(path)
    before = [reader.array(i, kind).copy() for i in range(3) for kind in array_names(reader.key)]
    assert 'is complete' in here('cache', '-opt', options, '--overwrite')
    assert CacheReader(path).file == reader.file
    flip(path, to_stored(reader.array(1, 'target'), FORMAT).tobytes())
    computed = record_computed(monkeypatch)
    name = reader.key.images[1].name
    printed = here('cache', '-opt', options, '--overwrite', '--workers', '0')
    assert f"is damaged: 1 of 3 images: target of '{name}'; recomputing these images" in printed
    assert computed == [name]
    after = CacheReader(path)
    assert all(
        np.array_equal(a, after.array(i // 3, array_names(after.key)[i % 3]))
        for i, a in enumerate(before)
    )
    os.truncate(path / 'data.mdb', 20000)
    assert 'its file ends after 20000 bytes' in here('cache', '-opt', options, expect=1)
    here('cache', '-opt', options, '--overwrite', '--workers', '0')
    assert damaged_images(CacheReader(path)) == {}
    assert len(computed) == 4


def test_a_full_disk(path):
    write(path, OLD)

    def fill():
        # The system cuts writes off as a full disk does. LMDB's file is larger than that after some
        # images.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, resource.RLIM_INFINITY))
        with pytest.raises(
            DataError,
            match=r"cache.lmdb' cannot be written: .*; 0\.\d\d GB are still to be written, "
            r'.* has [\d.]+ GB free; fix this, and run the same command to continue',
        ):
            write(path, NEW)

    assert status_of(forked(fill)) == 0
    assert found_at(path) == 'old'
    with CacheWriter(path, NEW) as writer:
        done = writer.done()
    assert 0 < len(done) < IMAGES
    assert write(path, NEW)
    assert found_at(path) == 'new'
    assert names(path) == ['cache.lmdb']


def test_a_resumed_cache_needs_only_what_is_missing(path, monkeypatch):
    write(path, images=range(IMAGES // 2))
    file = Path(partial_path(path)) / 'data.mdb'
    needed = bytes_needed(NEW) + writer._SPARE - file.stat().st_size
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: type('Usage', (), {'free': needed}))
    write(path, images=[])
    monkeypatch.setattr(
        shutil, 'disk_usage', lambda folder: type('Usage', (), {'free': needed - 1})
    )
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
        with pytest.raises(PermissionError):
            (read_only / 'file').write_text('')
        assert found_at(path) == 'new'
        assert damaged_images(CacheReader(path), workers=2) == {}
        remove_leftovers(path)
        with pytest.raises(DataError, match="cache.lmdb' cannot be written: .*Permission denied"):
            CacheWriter(path, OLD, overwrite=True)

    assert status_of(forked(as_a_user)) == 0


@pytest.mark.skipif(
    not os.path.isdir('/proc/self'), reason='needs a folder that not even root can write'
)
def test_the_command_finds_that_it_cannot_write_before_it_builds_a_teacher(
    here, tmp_path, make_options, monkeypatch
):
    monkeypatch.setattr(targets, 'Targets', None)
    options = write_options(
        tmp_path / 'options.yml', with_cache(make_options('MTKDModel'), '/proc/nowhere/cache.lmdb')
    )
    assert "mtkd cache: target_cache: '/proc/nowhere/cache.lmdb' cannot be written" in here(
        'cache', '-opt', options, expect=1
    )


def test_a_file_of_that_name_is_kept(path):
    path.write_text('mine')
    with pytest.raises(CacheError, match='is a file; expected the folder of an LMDB, or nothing'):
        CacheWriter(path, NEW, overwrite=True)
    assert path.read_text() == 'mine'
    assert names(path) == ['cache.lmdb']


def test_behind_a_symbolic_link(path, tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    path.symlink_to(tmp_path / 'elsewhere')
    assert partial_path(path) == str(tmp_path / 'elsewhere.partial'), (
        'another disk perhaps, and no file can be renamed onto another'
    )
    assert write(path)
    assert found_at(path) == 'new'
    assert write(path, OLD)
    assert found_at(path) == 'old'
    assert path.is_symlink()


@pytest.mark.slow
def test_verify_works_where_processes_are_spawned(path, monkeypatch):
    write(path)
    flip(path, arrays_for(NEW, 2)['gt'].tobytes())
    monkeypatch.setattr(checksums.multiprocessing, 'get_all_start_methods', lambda: ['spawn'])
    monkeypatch.setattr(
        checksums.multiprocessing,
        'get_context',
        lambda method, real=multiprocessing.get_context: real('spawn'),
    )
    assert damaged_images(CacheReader(path), workers=1) == {2: ['gt']}
