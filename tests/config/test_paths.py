"""``~`` and environment variables in the paths of option files and commands."""

import os
from pathlib import Path

import pytest
from basicsr.data import build_dataset
from conftest import parsed, with_cache, write_options, write_weights

from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.validation import evaluation_sets
from mtkd_basicsr.config import cache_path
from mtkd_basicsr.config.teacher_kinds import FolderOptions, Surroundings, TeacherOptions
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.utils.paths import expanded
from mtkd_basicsr.weights.reading import read_weights


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / 'home'
    folder.mkdir()
    monkeypatch.setenv('HOME', str(folder))
    monkeypatch.setenv('SCRATCH', str(folder))
    monkeypatch.delenv('NOWHERE', raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


SPELLINGS = ['~/{}', '$SCRATCH/{}', '${{SCRATCH}}/{}', '${{HOME}}/../home/{}']


@pytest.mark.parametrize('spelling', SPELLINGS)
def test_paths_of_option_files(home, spelling):
    assert os.path.realpath(expanded(spelling.format('x'))) == str(home / 'x')
    cache = cache_path({'target_cache': spelling.format('c.lmdb')})
    assert os.path.realpath(cache) == str(home / 'c.lmdb')
    write_weights(home / 'w.pth', {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4})
    teacher = TeacherOptions(spelling.format('w.pth'), {'type': 'EDSR'})
    assert teacher.cache_identity([])[1] is not None
    assert list(teacher.problems('teachers.a', Surroundings())) == []
    assert 'params' in read_weights(spelling.format('w.pth'), 'teachers.a.weights')
    (home / 'outputs').mkdir()
    folder = FolderOptions(spelling.format('outputs'), spelling.format('outputs'))
    assert folder.folder('teachers.b').exists()
    assert folder.folder('teachers.b', validation=True).exists()


@pytest.mark.parametrize(
    ('path', 'text'),
    [
        ('$NOWHERE/c.lmdb', r"'\$NOWHERE/c.lmdb'; the environment variable NOWHERE is not set"),
        ('a/${NOWHERE}_x2.lmdb', 'the environment variable NOWHERE is not set'),
        ('~nobody_here/c.lmdb', 'no home folder for ~nobody_here'),
    ],
)
def test_a_cache_in_a_folder_that_nobody_meant(home, here, make_options, path, text):
    opt = with_cache(make_options('MTKDModel'), path)
    with pytest.raises(OptionError, match=text):
        build_dataset(parsed(opt)['datasets']['train'])
    file = write_options('options.yml', opt)
    for command in ('cache', 'train'):
        assert 'datasets.train.target_cache: ' in here(command, '-opt', file, expect=1)
    assert not list(Path().glob('[$~a]*'))


@pytest.mark.parametrize('path', [None, '/tmp/c.lmdb', 'c.lmdb', 'a~b/c$.lmdb'])
def test_other_paths_are_left_alone(path):
    assert cache_path({'target_cache': path}) == path


@pytest.mark.parametrize('spelling', ['~/c.lmdb', '$SCRATCH/c.lmdb'])
def test_a_cache_at_home(home, here, make_options, spelling):
    opt = with_cache(make_options('MTKDFusionModel'), spelling)
    file = write_options('options.yml', opt)
    here('cache', '-opt', file, '--workers', '0')
    assert (home / 'c.lmdb' / 'data.mdb').is_file()
    assert not Path('~').exists()
    assert build_dataset(parsed(opt)['datasets']['train']).cache is not None
    assert 'matches its checksums' in here('cache', '-opt', file, '--verify')


def test_a_cache_that_version_0_1_0_wrote_into_a_folder_called_like_that(home, here, make_options):
    file = write_options('options.yml', with_cache(make_options('MTKDFusionModel'), 'c.lmdb'))
    here('cache', '-opt', file, '--workers', '0')
    Path('~').mkdir()
    Path('c.lmdb').rename('~/c.lmdb')
    opt = with_cache(make_options('MTKDFusionModel'), '~/c.lmdb')
    with pytest.raises(OptionError, match=r"move it there: mv './~/c.lmdb' '.*/home/c.lmdb'"):
        build_dataset(parsed(opt)['datasets']['train'])
    Path('~/c.lmdb').rename(home / 'c.lmdb')
    assert build_dataset(parsed(opt)['datasets']['train']).cache is not None


def test_basicsr_opens_a_list_of_names_as_it_is_written(home, here, make_options):
    opt = make_options('MTKDModel', datasets__train__meta_info_file='~/names.txt')
    (home / 'names.txt').write_text('moon.png (96,120,3)\n')
    printed = here('train', '-opt', write_options('options.yml', opt), expect=1)
    assert "meta_info_file: '~/names.txt'; BasicSR does not replace ~ here" in printed


def test_arguments_of_commands(home, here, photographs):
    """A shell leaves ``~`` as it is in ``--out=~/data``."""
    (home / 'photos').symlink_to(photographs / 'val' / 'GT')
    here('data', '~/photos', '--out=~/data', '--scale', '2', '--workers', '1')
    assert (home / 'data' / 'LRbicx2' / 'chelsea.png').is_file()
    here(
        'upscale',
        '~/data/LRbicx2/chelsea.png',
        '--weights=reference:edsr_x4',
        '--out=~/large',
        '--device=cpu',
    )
    assert (home / 'large' / 'chelsea_x4.png').is_file()
    here('options', '--out=~/options', '--scale', '2', '--method', 'mtkd')
    assert list((home / 'options').iterdir())
    text = "no file '~/nothing.yml'"
    for command in ('train', 'cache', 'check', 'compare'):
        assert text in here(command, '-opt=~/nothing.yml', expect=1)
    assert not Path('~').exists()


@pytest.mark.parametrize('spelling', ['~/{}', '$SCRATCH/{}'])
def test_test_sets_of_a_plan(home, photographs, spelling):
    (home / 'set').symlink_to(photographs / 'val')
    block = {'dataroot_gt': spelling.format('set/GT'), 'dataroot_lq': spelling.format('set/LRx2')}
    dataset = evaluation_sets({'set': block}, 2, home)['set']
    assert len(build_dataset(dict(dataset.options))) == 2


def test_the_base_of_a_plan(home):
    (home / 'base.yml').write_text('students: 5\n')
    Path('plan.yml').write_text('name: x\nbase: ~/base.yml\n')
    with pytest.raises(OptionError, match='students: 5; expected'):
        read_plan('plan.yml')
