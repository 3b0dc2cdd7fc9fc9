"""``mtkd options``: what lies in the place of an option file, and disks that refuse one."""

import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from mtkd_basicsr.commands.options import run

ARGUMENTS = ('options', '--out', 'o', '--student', 'edsr', '--scale', '3', '--method', 'mtkd')
NAMES = ['fusion_x3.yml', 'mtkd_edsr_x3.yml', 'test/edsr_x3.yml']


@pytest.fixture
def written(here, tmp_path):
    """Writes the files of ``NAMES`` to ``o``; gives the folder, and a function that does so again
    and gives what was printed.
    """
    here(*ARGUMENTS)
    folder = tmp_path / 'o'
    assert below(folder) == NAMES
    return folder, lambda *more, expect=0: here(*ARGUMENTS, *more, expect=expect)


def below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*') if not p.is_dir())


@pytest.mark.parametrize('name', [NAMES[0], NAMES[2]])
def test_a_file_in_another_encoding_is_a_different_one(written, name):
    folder, again = written
    before = (folder / name).read_text()
    mine = '# für mich\n'.encode('latin-1') + (folder / name).read_bytes()
    (folder / name).write_bytes(mine)
    printed = again(expect=1)
    assert f"--out: 'o' has different files with these names: {name}; nothing was wr" in printed
    assert (folder / name).read_bytes() == mine
    again('--overwrite')
    assert (folder / name).read_text() == before


def test_bytes_that_are_no_text_are_different(written):
    folder, again = written
    whole = (folder / NAMES[0]).read_bytes()
    (folder / NAMES[0]).write_bytes(whole.replace(b'\nscale', b'\nsc\xe4le', 1))
    assert f'different files with these names: {NAMES[0]};' in again(expect=1)


def test_a_byte_order_mark_is_no_difference(written):
    folder, again = written
    marked = b'\xef\xbb\xbf' + (folder / NAMES[0]).read_bytes()
    (folder / NAMES[0]).write_bytes(marked)
    again()
    assert (folder / NAMES[0]).read_bytes() == marked


@pytest.mark.parametrize('more', [[], ['--overwrite']])
@pytest.mark.parametrize('kind', ['a folder', 'no regular file'])
def test_what_is_no_file_is_refused_before_anything_is_written(written, kind, more):
    folder, again = written
    for name in NAMES:
        (folder / name).unlink()
    there = folder / NAMES[1]
    if kind == 'a folder':
        there.mkdir()
    else:
        if not hasattr(socket, 'AF_UNIX'):
            pytest.skip('needs sockets with names')
        with socket.socket(socket.AF_UNIX) as connection:
            connection.bind(f'o/{NAMES[1]}')  # not the whole path, which may be too long
    printed = again(*more, expect=1)
    assert f"mtkd options: --out: 'o/{NAMES[1]}' is {kind}; expected an option file, " in printed
    assert set(below(folder)) <= {NAMES[1]}


def test_a_link_that_leads_nowhere_is_a_different_file(written):
    folder, again = written
    link = folder / NAMES[0]
    text = link.read_text()
    link.unlink()
    link.symlink_to('disk_that_is_not_mounted.yml')
    assert f'different files with these names: {NAMES[0]};' in again(expect=1)
    assert link.is_symlink()
    again('--overwrite')
    assert not link.is_symlink()
    assert link.read_text() == text


def test_a_file_that_cannot_be_read_is_named(written, monkeypatch):
    folder, again = written
    read = Path.read_text

    def refuse(path, *arguments, **more):
        if path.name == NAMES[1]:
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return read(path, *arguments, **more)

    monkeypatch.setattr(Path, 'read_text', refuse)
    printed = again(expect=1)
    assert f"mtkd options: --out: 'o/{NAMES[1]}' cannot be read: Permission denied;" in printed
    again('--overwrite')


def test_a_full_disk_is_named(written, monkeypatch):
    folder, again = written

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run, 'write_text', full)
    printed = again('--overwrite', expect=1)
    assert printed.startswith("mtkd options: --out: 'o/")
    assert printed.endswith(".yml' cannot be written: No space left on device\n")


@pytest.mark.skipif(sys.platform == 'win32' or os.geteuid() == 0, reason='root writes anywhere')
def test_a_folder_that_is_read_only_is_named(written):
    folder, again = written
    (folder / NAMES[0]).unlink()
    folder.chmod(0o500)
    try:
        printed = again(expect=1)
    finally:
        folder.chmod(0o700)
    assert f"mtkd options: --out: 'o/{NAMES[0]}' cannot be written: Permission denied" in printed
