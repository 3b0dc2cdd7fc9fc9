"""Files on drives that cannot wait for the disk, as a user's may be: shared folders, CIFS, FUSE."""

import errno
import os
import stat

import pytest

from mtkd_basicsr.utils.atomic import sync_folder, write_text


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
