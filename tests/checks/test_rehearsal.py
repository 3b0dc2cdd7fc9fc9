"""Building everything before a training, in one or several processes."""

import pytest
from conftest import parsed, write_options

from mtkd_basicsr.checks import preflight
from mtkd_basicsr.commands.train import run as train_run
from mtkd_basicsr.errors import DataError, OptionError


@pytest.fixture
def built(monkeypatch):
    """What is built, in turn: ``'dataset'`` and ``'model'``."""
    found = []
    for name in ('dataset', 'model'):
        original = getattr(preflight, f'build_{name}')
        monkeypatch.setattr(
            preflight,
            f'build_{name}',
            lambda opt, name=name, original=original: found.append(name) or original(opt),
        )
    return found


def test_the_first_process_alone_builds_the_teachers(make_options, tmp_path, built):
    opt = parsed(make_options('MTKDModel'), True, tmp_path)
    opt['path']['experiments_root'] = str(tmp_path / 'experiments' / opt['name'])
    preflight.before_training(opt)
    assert built == ['dataset', 'dataset', 'model']
    built.clear()
    preflight.before_training(opt, is_first=False)
    assert built == ['dataset', 'dataset']


def test_all_processes_find_what_is_wrong_with_options_and_images(make_options, tmp_path):
    wrong = parsed(make_options('MTKDModel', val__tile=0), True, tmp_path)
    with pytest.raises(OptionError, match=r'val\.tile: 0'):
        preflight.before_training(wrong, is_first=False)
    (tmp_path / 'empty').mkdir()
    folder = str(tmp_path / 'empty')
    empty = make_options('MTKDModel', datasets__train__dataroot_gt=folder)
    with pytest.raises(DataError, match='different number of images: 3, 0'):
        preflight.before_training(parsed(empty, True, tmp_path), is_first=False)


@pytest.mark.parametrize(
    ('launcher', 'environment', 'is_first'),
    [
        ('none', {}, True),
        ('none', {'LOCAL_RANK': '1'}, True),  # of something else
        ('pytorch', {'LOCAL_RANK': '0'}, True),
        ('pytorch', {'LOCAL_RANK': '1'}, False),
        ('slurm', {'SLURM_LOCALID': '0'}, True),
        ('slurm', {'SLURM_LOCALID': '3'}, False),
    ],
)
def test_which_process_is_the_first(
    launcher, environment, is_first, here, make_options, tmp_path, monkeypatch
):
    for name in ('LOCAL_RANK', 'SLURM_LOCALID', 'TORCHELASTIC_RUN_ID'):
        monkeypatch.delenv(name, raising=False)
    started = {
        'pytorch': ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
        'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    }
    for name in started.get(launcher, ()):
        monkeypatch.setenv(name, '1')
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    calls = []
    monkeypatch.setattr(
        train_run, 'before_training', lambda opt, is_first: calls.append((opt['name'], is_first))
    )
    monkeypatch.setattr(train_run, 'train_pipeline', lambda *_: calls.append('training'))
    options = write_options(tmp_path / 'train.yml', make_options('MTKDModel'))
    here('train', '-opt', options, '--launcher', launcher)
    assert calls == [('test_MTKDModel', is_first), 'training']
