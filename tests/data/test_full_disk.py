"""``mtkd data`` on a disk that takes no more: one message, with the file and the reason."""

import errno
import json
import os
import sys
from importlib import import_module
from pathlib import Path

import cv2
import pytest
from conftest import run

from mtkd_basicsr.commands import prepare_data
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.utils import atomic


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f'{i}.png'), load('coffee')[60 * i : 60 * i + 60, :84, ::-1])
    return folder


FULL = os.strerror(errno.ENOSPC)


@pytest.fixture
def fill(monkeypatch):
    """Makes writing fail as on a full disk, for files whose path has one of the texts."""

    write_bytes = atomic.write_bytes

    def filled(*texts):
        def write(path, content, durable=True):
            if any(text in str(path) for text in texts):
                raise OSError(errno.ENOSPC, FULL)  # which names no file
            write_bytes(path, content, durable)

        process = import_module('mtkd_basicsr.commands.prepare_data.process')
        monkeypatch.setattr(process, 'write_bytes', write)
        monkeypatch.setattr(atomic, 'write_bytes', write)

    return filled


@pytest.mark.parametrize(
    ('path', 'more'),
    [
        ('out/mtkd_data.json', ()),
        ('out/GTmod2/1.png', ()),
        ('out/LRbicx2/2.png', ()),
        ('out/meta_info.txt', ()),
        ('out/validation.txt', ('--validation', '1')),
        ('out/val/mtkd_data.json', ('--validation', '1')),
    ],
)
def test_each_file_is_named(images, here, fill, path, more):
    call = ('data', images, '--out', 'out', '--scale', '2', '--workers', '1', *more)
    fill(path)
    printed = here(*call, expect=1)
    assert f"mtkd data: --out: cannot read or write '{path}': {FULL}\n" in printed
    assert 'Traceback' not in printed
    assert 'cannot be used' not in printed


def test_a_full_disk_is_not_hidden_by_the_record(images, monkeypatch, tmp_path, fill):
    monkeypatch.chdir(tmp_path)
    fill('nothing')
    process = import_module('mtkd_basicsr.commands.prepare_data.process')
    write = process.write_bytes

    def filling(path, content, durable=True):
        if '1.png' in str(path):
            fill('.png', '.json')
            raise OSError(errno.ENOSPC, FULL)
        write(path, content, durable)

    monkeypatch.setattr(process, 'write_bytes', filling)
    text = r"out: cannot read or write 'out/GTmod2/1\.png': "
    with pytest.raises(OptionError, match=text) as found:
        prepare_data('images', 'out', scales=[2], workers=1)
    assert '1.png' in str(found.value.__cause__)
    assert json.loads(Path('out/mtkd_data.json').read_text())['sources'] == {}


def test_what_was_done_before_is_recorded(images, here, fill):
    call = ('data', images, '--out', 'out', '--scale', '2', '--workers', '1')
    fill('LRbicx2/2.png')
    here(*call, expect=1)
    assert set(json.loads(Path('out/mtkd_data.json').read_text())['sources']) == {'0', '1'}
    fill('nothing')
    here(*call)
    assert len(list(Path('out').glob('LRbicx2/*.png'))) == 3


@pytest.mark.skipif(os.name == 'nt', reason='has no limits of files')
def test_a_worker_names_the_file(images, tmp_path):
    """With a limit of the size of files, which the system checks as it checks a full disk."""
    (tmp_path / 'limited.py').write_text(
        'import resource, sys\n'
        'from mtkd_basicsr.commands.cli import main\n'
        "if __name__ == '__main__':\n"
        '    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n'
        "    call = 'data images --out out --scale 2 --workers 2'\n"
        '    sys.exit(main(call.split()))\n'
    )
    printed = run([sys.executable, 'limited.py'], tmp_path, expect=1)
    reason = os.strerror(errno.EFBIG)
    assert f"mtkd data: --out: cannot read or write 'out/GTmod2/0.png': {reason}\n" in printed
    assert 'Traceback' not in printed


@pytest.mark.skipif(os.name == 'nt', reason='there are no locks')
def test_a_lock_that_cannot_be_written(images, here, tmp_path):
    (tmp_path / 'out' / '.mtkd_data.lock').mkdir(parents=True)
    printed = here('data', images, '--out', 'out', '--workers', '1', expect=1)
    assert "--out: cannot read or write 'out/.mtkd_data.lock': " in printed
