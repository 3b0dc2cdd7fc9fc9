"""Files on drives that cannot wait for the disk, as a user's may be: shared folders, CIFS, FUSE."""

import errno
import os
import stat

import pytest

from mtkd_basicsr.utils.atomic import is_temporary_of, replacing, sync_folder, write_text


@pytest.fixture
def drive(monkeypatch):
    """Let ``os.fsync`` of files, or folders, fail with an error number."""
    sync = os.fsync

    def answer(kind, number):
        def fsync(descriptor):
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            if is_folder == (kind == 'folder'):
                raise OSError(number, os.strerror(number))
            sync(descriptor)

        monkeypatch.setattr(os, 'fsync', fsync)

    return answer


@pytest.mark.parametrize('number', [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES])
def test_a_folder_that_cannot_be_synced_is_left_to_the_system(drive, tmp_path, number):
    drive('folder', number)
    write_text(tmp_path / 'a.txt', 'a')
    sync_folder(str(tmp_path))
    assert (tmp_path / 'a.txt').read_text() == 'a'
    assert os.listdir(tmp_path) == ['a.txt']


def test_folders_need_not_be_opened(monkeypatch, tmp_path):
    """Windows refuses to."""
    opened = os.open

    def refuse(path, *args, **kwargs):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, 'Permission denied', path)
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(os, 'open', refuse)
    write_text(tmp_path / 'a.txt', 'a')
    sync_folder(str(tmp_path))
    assert (tmp_path / 'a.txt').read_text() == 'a'


@pytest.mark.parametrize('number', [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_that_cannot_be_synced_is_written(drive, tmp_path, number):
    drive('file', number)
    write_text(tmp_path / 'a.txt', 'a')
    assert (tmp_path / 'a.txt').read_text() == 'a'


@pytest.mark.parametrize('number', [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_an_error_of_the_disk_is_one(drive, tmp_path, number):
    (tmp_path / 'a.txt').write_text('old')
    drive('file', number)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_text(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text() == 'old'
    assert os.listdir(tmp_path) == ['a.txt']


# Of 255 bytes, which is as many as file systems take; of characters of one, two, three and four.
LONG = ['a' * 251, 'é' * 125 + 'a', 'a' + 'é' * 125, '日' * 83 + 'aa', 'aa' + '日' * 83, '😀' * 62]


@pytest.mark.parametrize('keep_suffix', [False, True])
@pytest.mark.parametrize('stem', LONG)
def test_names_can_be_as_long_as_the_file_system_allows(tmp_path, stem, keep_suffix):
    path = tmp_path / f'{stem}.png'
    with replacing(path, keep_suffix=keep_suffix) as temporary:
        name = os.path.basename(temporary)
        assert len(name.encode('utf-8')) <= 255
        assert len(name.encode('utf-8')) > 251, 'as little as possible is left out'
        assert name.startswith(f'.{stem[:50]}')
        with open(temporary, 'w', encoding='utf-8') as file:
            file.write('a')
    assert path.read_text() == 'a'
    assert os.listdir(tmp_path) == [path.name]


def test_long_names_that_begin_alike_have_other_temporary_files(tmp_path):
    with (
        replacing(tmp_path / f'{"a" * 250}1', durable=False) as first,
        replacing(tmp_path / f'{"a" * 250}2', durable=False) as second,
    ):
        assert first != second
        for path in (first, second):
            with open(path, 'w', encoding='utf-8') as file:
                file.write(path)


def test_names_that_fit_stay_as_they_are(tmp_path):
    ending = f'.{os.getpid()}.tmp'
    longest = 'a' * (255 - len(f'.{ending}'))
    for name in ('net_g_5.pth', longest):
        with replacing(tmp_path / name, durable=False) as temporary:
            assert os.path.basename(temporary) == f'.{name}{ending}'
            assert is_temporary_of(os.path.basename(temporary), r'net_g_\d+\.pth|a+')
            with open(temporary, 'w', encoding='utf-8'):
                pass
