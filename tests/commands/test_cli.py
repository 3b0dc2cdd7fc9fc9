import errno
import os
import re
import subprocess
import sys

import pytest
from conftest import mtkd, write_options

import mtkd_basicsr
from mtkd_basicsr.commands.cli import COMMANDS, main
from mtkd_basicsr.commands.options.paper_files import files


@pytest.mark.slow
def test_train_and_test_in_the_current_directory(make_options, tmp_path):
    opt = make_options('MTKDModel', name='cli')
    options = write_options(tmp_path / 'train.yml', opt, header='')
    printed = mtkd('train', '-opt', options, cwd=tmp_path)
    assert 'Save the latest model.' in printed
    assert (tmp_path / 'experiments' / 'cli' / 'models' / 'net_g_latest.pth').is_file()

    printed = mtkd(
        'train',
        '-opt',
        options,
        '--auto_resume',
        '--force_yml',
        'train:total_iter=3',
        '--local-rank',
        '0',
        cwd=tmp_path,
    )
    assert 'Resuming training from epoch: 0, iter: 2.' in printed
    assert 'total_iter: 3' in printed

    opt['path'].update(
        pretrain_network_g='experiments/cli/models/net_g_latest.pth', param_key_g='params_ema'
    )
    opt['datasets'] = {'test': opt['datasets']['val']}
    opt['val']['save_img'] = True
    printed = mtkd(
        'test', '-opt', write_options(tmp_path / 'test.yml', opt), '--local_rank=0', cwd=tmp_path
    )
    assert re.search(r'# psnr: \d', printed)
    assert (tmp_path / 'results' / 'cli' / 'visualization' / 'val' / 'chelsea_cli.png').is_file()


@pytest.mark.slow
def test_option_files_are_utf_8_in_any_locale(make_options, tmp_path):
    options = tmp_path / 'train.yml'
    write_options(options, make_options('MTKDModel', name='encoded'), header='# Größe ×2, 画像\n')
    locale = {'LC_ALL': 'POSIX', 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '0'}
    assert 'Save the latest model.' in mtkd('train', '-opt', options, cwd=tmp_path, **locale)
    copy = tmp_path / 'experiments' / 'encoded' / 'train.yml'
    assert 'Größe ×2, 画像' in copy.read_text(encoding='utf-8')


@pytest.mark.slow
def test_a_started_training_is_archived_not_overwritten(make_options, tmp_path):
    options = write_options(tmp_path / 'train.yml', make_options('MTKDModel', name='twice'))
    for _ in range(2):
        mtkd('train', '-opt', options, cwd=tmp_path)
    folders = sorted(p.name for p in (tmp_path / 'experiments').iterdir())
    assert folders[0] == 'twice'
    assert folders[1].startswith('twice_archived_')
    assert len(folders) == 2


@pytest.mark.slow
def test_unreadable_state(make_options, tmp_path):
    states = tmp_path / 'experiments' / 'broken' / 'training_states'
    states.mkdir(parents=True)
    (states / '7.state').write_text('half a file')
    (states / 'notes.state').write_text('not a state at all')
    options = write_options(tmp_path / 'train.yml', make_options('MTKDModel', name='broken'))
    printed = mtkd('train', '-opt', options, '--auto_resume', cwd=tmp_path, expect=1)
    assert "7.state' cannot be read: it was not written by torch.save" in printed
    assert 'Traceback' not in printed
    assert (states / '7.state').read_text() == 'half a file'


@pytest.mark.slow
def test_errors_are_one_line(tmp_path, make_options):
    assert "mtkd train: -opt: no file 'none.yml'" in mtkd(
        'train', '-opt', 'none.yml', cwd=tmp_path, expect=1
    )
    opt = make_options('MTKDModel', name='wrong', val__tile=0)
    printed = mtkd(
        'train', '-opt', write_options(tmp_path / 'wrong.yml', opt), cwd=tmp_path, expect=1
    )
    assert 'mtkd train: val.tile: 0; expected' in printed
    assert 'Traceback' not in printed


def run_without_reader(arguments, cwd):
    """Runs Python, with its usual buffer, as after `| head` has seen enough."""
    environment = {k: v for k, v in os.environ.items() if k != 'PYTHONUNBUFFERED'}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=environment,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    'arguments', [('options', '--reference'), ('options', '--out', 'mine')], ids=['long', 'short']
)
def test_a_reader_that_stops_is_no_error(arguments, tmp_path):
    """As after `mtkd … | head`, whether the output fills Python's buffer or not."""
    ended = run_without_reader(['-m', 'mtkd_basicsr', *arguments], tmp_path)
    assert ended.stderr == ''
    assert ended.returncode == 1


FAILS_AFTER_OUTPUT = """
import sys
from mtkd_basicsr.commands._process import run_in_this_process
from mtkd_basicsr.errors import MTKDError

def fail():
    print('something')
    raise MTKDError('it fails')

sys.exit(run_in_this_process('check', fail))
"""


def test_an_error_after_output_that_nobody_reads_is_one_line(tmp_path):
    ended = run_without_reader(['-c', FAILS_AFTER_OUTPUT], tmp_path)
    assert ended.stderr == 'mtkd check: it fails\n'
    assert ended.returncode == 1


def test_another_broken_pipe_is_an_error(monkeypatch):
    def fail(_):
        raise BrokenPipeError('of a worker')

    monkeypatch.setattr(COMMANDS['check'], 'run', fail)
    with pytest.raises(BrokenPipeError, match='of a worker'):
        main(['check', '-opt', 'train.yml'])


@pytest.mark.parametrize('name', ['a.png', None])
@pytest.mark.parametrize(('number', 'is_named'), [(errno.ENOSPC, True), (errno.ENOENT, False)])
def test_a_full_disk_is_one_line(number, is_named, name, monkeypatch, capsys):
    """Errors of the system that are no fault of the user's disk show where they come from."""

    def fail(_):
        raise OSError(number, os.strerror(number), name)

    monkeypatch.setattr(COMMANDS['check'], 'run', fail)
    if not is_named:
        with pytest.raises(OSError, match='No such file'):
            main(['check', '-opt', 'train.yml'])
        return
    assert main(['check', '-opt', 'train.yml']) == 1
    where = "'a.png': " if name else ''
    assert capsys.readouterr().err == f'mtkd check: {where}No space left on device\n'


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS['check'], 'run', stop)
    assert main(['check', '-opt', 'train.yml']) == 130
    assert capsys.readouterr().err.strip() == 'mtkd check: interrupted'


@pytest.mark.parametrize(
    'arguments', [[], ['trian'], ['train'], ['train', '-opt', 'x', '--no-such-thing']]
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert 'usage: mtkd' in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--version'])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == mtkd_basicsr.__version__


@pytest.mark.gpu
def test_gpu_training(make_options, tmp_path):
    options = write_options(
        tmp_path / 'train.yml', make_options('MTKDModel', name='gpu', num_gpu=1)
    )
    assert 'Save the latest model.' in mtkd('train', '-opt', options, cwd=tmp_path)


def test_option_files_of_another_version_that_say_the_same_are_left(tmp_path, here):
    here('options', '--out', 'mine', '--student', 'edsr', '--scale', '2')
    new, old = (tmp_path / 'mine' / name for name in ('fusion_x2.yml', 'mtkd_edsr_x2.yml'))
    of_another_version = new.read_text().replace(mtkd_basicsr.__version__, '99.0', 1)
    new.write_text(of_another_version)
    without_a_head = ''.join(old.read_text().splitlines(True)[1:])  # as version 0.1.0 wrote them
    old.write_text(without_a_head)
    here('options', '--out', 'mine', '--student', 'edsr', '--scale', '2')
    assert new.read_text() == of_another_version
    assert old.read_text() == without_a_head


def test_options_are_written_and_nothing_is_overwritten(tmp_path, here):
    printed = here(
        'options',
        '--out',
        'mine',
        '--student',
        'rcan',
        '--scale',
        '3',
        '--method',
        'mtkd',
        'dukd',
    )
    names = {str(p.relative_to(tmp_path / 'mine')) for p in (tmp_path / 'mine').rglob('*.yml')}
    assert names == {
        'fusion_x3.yml',
        'mtkd_rcan_x3.yml',
        'baselines/dukd_rcan_x3.yml',
        'test/rcan_x3.yml',
    }
    assert "4 option files in 'mine'" in printed
    changed = tmp_path / 'mine' / 'fusion_x3.yml'
    changed.write_text('mine')
    (tmp_path / 'mine' / 'mtkd_rcan_x3.yml').unlink()
    printed = here('options', '--out', 'mine', '--student', 'rcan', '--scale', '3', expect=1)
    assert 'has different files with these names: fusion_x3.yml; nothing was written' in printed
    assert changed.read_text() == 'mine'
    assert not (tmp_path / 'mine' / 'mtkd_rcan_x3.yml').exists()
    here('options', '--out', 'mine', '--scale', '3', '--overwrite')
    text = files(scales=(3,))['fusion_x3.yml']
    assert changed.read_text() == re.sub(r'options(/| \(mtkd)', r'mine\1', text)
    assert 'argument --scale: invalid choice: 5' in mtkd(
        'options', '--out', 'x', '--scale', '5', cwd=tmp_path, expect=2
    )


def test_options_are_overridden_in_several_places(make_options, tmp_path, here):
    path = write_options(tmp_path / 'o.yml', make_options('KDModel', train__kd={'type': 'Scratch'}))
    wrong = '--force_yml', 'train:total_iter=-7', '--force_yml', 'name=zz', 'train:warmup_iter=-5'
    with pytest.raises(SystemExit):
        here('check', '-opt', path, '--no-steps', *wrong)
    printed = here.printed()
    assert 'train.total_iter: -7; expected' in printed
    assert 'train.warmup_iter: -5; expected a whole number from -1 on' in printed


def test_a_debug_run_needs_its_validation(make_options, tmp_path, here):
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, val=None)
    path = write_options(tmp_path / 'o.yml', opt)
    printed = here('train', '-opt', path, '--debug', expect=1)
    assert "val: None; expected a mapping, or no such key: BasicSR's debug mode sets" in printed
