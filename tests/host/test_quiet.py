"""What a user reads: no warning of another package, and progress that a log file can hold."""

import contextlib
import os
import re
import struct
import subprocess
import sys

import pytest
from conftest import mtkd, options_for, run, stock, tiny, with_cache, write_options
from tqdm import tqdm

from mtkd_basicsr.utils import progress as progress_module
from mtkd_basicsr.utils.progress import progress, say

# What torch writes by itself, in C++.
_OF_TORCH = re.compile(r'\[(rank\d+\]:\[)?W\d')
SUFFIX = {'onnx': '.onnx', 'torchscript': '.pt', 'safetensors': '.safetensors'}


def assert_quiet(printed):
    """Ours are a WARNING in the log or in the findings of a check; Python's name a class."""
    for line in printed.splitlines():
        assert 'Warning' not in line, line
        assert not _OF_TORCH.match(line), line
    assert '\r' not in printed


def noisy_options(photographs, folder, arch):
    """A training with all that others warn about on a CPU, and a bar in its validation."""
    opt = options_for(
        photographs, folder, 'MTKDModel', name=f'quiet_{arch}', network_g=tiny(arch, 2)
    )
    opt['datasets']['train'].update(pin_memory=True, num_worker_per_gpu=(os.cpu_count() or 1) + 1)
    opt['val']['pbar'] = True
    return opt


@pytest.mark.slow
@pytest.mark.parametrize('arch', ['EDSR', 'RCAN', 'SwinIR'])
def test_the_stock_script_prints_no_foreign_warnings(basicsr_tree, photographs, tmp_path, arch):
    options = write_options(tmp_path / 'train.yml', noisy_options(photographs, tmp_path, arch))
    printed = stock(basicsr_tree, 'train.py', '-opt', options)
    assert 'Save the latest model.' in printed
    assert '# psnr:' in printed
    assert_quiet(printed)


@pytest.mark.slow
def test_every_command_with_a_network_prints_no_foreign_warnings(photographs, tmp_path):
    opt = noisy_options(photographs, tmp_path, 'SwinIR')
    options = write_options(tmp_path / 'cached.yml', with_cache(opt, tmp_path / 'target.lmdb'))
    weights = tmp_path / 'experiments' / 'quiet_SwinIR' / 'models' / 'net_g_latest.pth'
    test = options_for(
        photographs, tmp_path, 'MTKDModel', name='quiet_test', network_g=tiny('SwinIR', 2)
    )
    test['path']['pretrain_network_g'] = str(weights)
    test['datasets'] = {'test': test['datasets']['val']}
    test['val']['pbar'] = True
    for key in ('teachers', 'fusion', 'train'):
        del test[key]
    test = write_options(tmp_path / 'test.yml', test)
    commands = [
        ['cache', '-opt', options],
        ['cache', '-opt', options, '--verify'],
        ['train', '-opt', options],
        ['train', '-opt', options, '--auto_resume', '--force_yml', 'train:total_iter=3'],
        ['test', '-opt', test],
        ['upscale', '--weights', weights, photographs / 'val' / 'LRx2' / 'chelsea.png'],
    ]
    for name, suffix in SUFFIX.items():
        commands.append(['export', '--format', name, '--weights', weights, '--out', f'x{suffix}'])
    for command in commands:
        assert_quiet(mtkd(*command, cwd=tmp_path))
    # Random teachers are below bicubic.
    assert_quiet(mtkd('check', '-opt', options, cwd=tmp_path, expect=1))


@pytest.mark.slow
def test_a_skipped_first_step_prints_our_warning_alone(photographs, tmp_path):
    opt = options_for(photographs, tmp_path, 'MTKDModel', name='quiet_nan')
    opt['train']['pixel_opt']['loss_weight'] = 1e39  # more than float32 has
    printed = mtkd('train', '-opt', write_options(tmp_path / 'nan.yml', opt), cwd=tmp_path)
    assert 'WARNING: iteration 1: l_pix is inf' in printed, 'ours stays'
    assert_quiet(printed)


MESHGRID = 'import mtkd_basicsr, torch; torch.meshgrid(torch.arange(2), torch.arange(2))'


def test_filters_come_after_those_of_the_user(tmp_path):
    assert_quiet(run([sys.executable, '-c', MESHGRID], tmp_path))
    strict = [sys.executable, '-W', 'error::UserWarning', '-c', MESHGRID]
    assert 'torch.meshgrid' in run(strict, tmp_path, expect=1)


def test_warnings_of_the_user_stay(tmp_path):
    code = "import mtkd_basicsr, warnings; warnings.warn('mine')"
    printed = run([sys.executable, '-c', code], tmp_path)
    assert 'UserWarning: mine' in printed


@pytest.mark.slow
def test_progress_in_a_log_file_is_a_few_lines(photographs, tmp_path):
    opt = options_for(photographs, tmp_path, 'MTKDModel')
    options = write_options(tmp_path / 'options.yml', with_cache(opt, tmp_path / 'target.lmdb'))
    images = photographs / 'train' / 'GT'
    for command, last in (
        (['cache', '-opt', options], 'target (image): 3 of 3'),
        (['cache', '-opt', options, '--verify'], 'verify (image): 3 of 3'),
        (['data', images, '--out', 'data', '--workers', '1'], '(image): 3 of 3'),
    ):
        log = tmp_path / 'log.txt'
        with open(log, 'wb') as file:
            subprocess.run(
                [sys.executable, '-m', 'mtkd_basicsr', *map(str, command)],
                cwd=tmp_path,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=True,
            )
        written = log.read_bytes().decode()
        assert '\r' not in written, written
        assert last in written, written
        assert len(written.splitlines()) <= 5, written


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_module, 'time', clock)
    monkeypatch.setattr(progress_module, 'on_terminal', lambda: False)
    return clock


def test_three_hours_are_a_hundred_lines(clock, capsys):
    with progress(total=10800, unit='image', desc='target') as bar:
        for i in range(10800):
            clock.now += 1
            bar.set_postfix_str(f'{i} dB')
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert 50 < len(lines) < 150
    assert lines[0] == 'target (image): 10 of 10,800, 10 s, about 10,790 s left, 9 dB'
    assert lines[-1] == 'target (image): 10,800 of 10,800, 10,800 s, 10799 dB'


def test_progress_of_short_loops_is_one_line(clock, capsys):
    assert list(progress([1, 2], unit='picture')) == [1, 2]
    assert list(progress(iter([1, 2]), initial=5, desc='more')) == [1, 2]
    assert list(progress([], unit='picture')) == []
    assert list(progress([1], disable=True)) == [1]
    assert list(progress([1], lines=False)) == [1]
    assert capsys.readouterr().err.splitlines() == ['(picture): 2 of 2, 0 s', 'more (it): 7, 0 s']
    with pytest.raises(KeyError), progress(total=9) as bar:  # noqa: PT012
        bar.update(3)
        raise KeyError
    assert capsys.readouterr().err == '(it): 3 of 9, 0 s, about 0 s left\n', 'how far it came'


def test_a_terminal_has_bars(monkeypatch, capsys):
    monkeypatch.setattr(progress_module, 'on_terminal', lambda: True)
    bar = progress(range(3), unit='image')
    assert isinstance(bar, tqdm)
    assert list(bar) == [0, 1, 2]
    say('a line')
    printed = capsys.readouterr()
    assert '\r' in printed.err
    assert 'a line\n' in printed.out


@pytest.mark.skipif(not hasattr(os, 'openpty'), reason='needs the terminals of Unix')
def test_a_real_terminal_is_seen(tmp_path):
    fcntl = pytest.importorskip('fcntl')
    termios = pytest.importorskip('termios')
    main, other = os.openpty()
    # tqdm asks how wide it is
    fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    code = 'from mtkd_basicsr.utils.progress import progress; list(progress(range(3)))'
    subprocess.run(
        [sys.executable, '-c', code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=other,
        check=True,
    )
    os.close(other)
    written = b''
    with contextlib.suppress(OSError):  # how Linux says that nobody writes any more
        while part := os.read(main, 10000):
            written += part
    os.close(main)
    assert b'\r' in written
    assert b'3/3' in written
