"""``mtkd distill``: from a folder of photographs to a student that other programs open."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from conftest import mtkd, tiny, write_weights

from mtkd_basicsr.commands import distill
from mtkd_basicsr.commands._lock import locked
from mtkd_basicsr.commands.distill import option_files, photographs, run
from mtkd_basicsr.commands.distill.settings import Progress, Settings
from mtkd_basicsr.config import TrainingConfig
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.errors import DataError, MTKDError, OptionError
from mtkd_basicsr.host.yaml_loader import read_options
from mtkd_basicsr.utils.image_tensors import to_array, to_tensor

pytestmark = pytest.mark.usefixtures('one_thread')

NAMES = ('astronaut', 'chelsea', 'coffee', 'rocket')


@pytest.fixture
def folder(tmp_path):
    """A folder of small photographs of several sizes."""
    target = tmp_path / 'photographs'
    target.mkdir()
    for i, name in enumerate(NAMES):
        cv2.imwrite(str(target / f'{name}.png'), load(name)[60 : 160 + 4 * i, 60:162])
    return target


@pytest.fixture
def tiny_student(monkeypatch):
    """Make the students tiny, and the trainings short."""
    network = yaml.safe_dump(tiny('SwinIR', 2))
    monkeypatch.setattr(option_files.network_templates, 'student', lambda name, scale: network)
    monkeypatch.setattr(run, '_TRIAL', 4)
    monkeypatch.setattr(run, '_LEAST_ITERATIONS', 4)


def teacher(folder, arch, seed):
    """Write the weights of a tiny teacher, which record their network as those of a training do."""
    network = tiny(arch, 2)
    return write_weights(folder / f'{arch} {seed}.pth', network, seed, mtkd={'network': network})


def settings_of(**changes):
    values = {
        'folder': '/photographs',
        'student': 'edsr',
        'scale': 4,
        'teachers': (),
        'hours': 1.0,
        'validation': None,
    }
    return Settings(**{**values, **changes})


@pytest.mark.slow
def test_a_folder_becomes_a_student_and_a_second_call_repeats_nothing(
    folder, tiny_student, tmp_path, capsys
):
    teachers = [teacher(tmp_path, 'EDSR', 0), teacher(tmp_path, 'RCAN', 1)]
    out = tmp_path / 'out'
    arguments = {'student': 'edsr', 'scale': 2, 'teachers': teachers, 'hours': 1e-7}
    with pytest.raises(OptionError, match=r'hours: 1e-07, but the teachers need about'):
        distill(folder, out, **arguments)
    # More hours go on in the same folder.
    arguments['hours'] = 0.01
    exported = distill(folder, out, **arguments)
    printed = capsys.readouterr().out
    assert 'Photographs: prepared before' in printed
    # From it follows what is left for the iterations.
    assert json.loads((out / 'runs' / 'teachers.json').read_text())['seconds'] > 0

    table = (out / 'results.md').read_text()
    rows = re.findall(r'^\| ([a-z][^|]*) \|', table, re.M)
    assert rows == [
        'bicubic',
        'teacher edsr_0',
        'teacher rcan_1',
        'mean of teachers',
        'fused teachers',
        'student edsr',
    ]
    assert cv2.imread(str(out / 'results.png')).std() > 1
    assert (out / 'options' / 'distill_fusion.yml').is_file()

    # What others make of the file is what the training ended with.
    spandrel = pytest.importorskip('spandrel')
    model = spandrel.ModelLoader().load_from_file(exported.with_suffix('.pth'))
    assert model.scale == 2
    small = cv2.imread(str(folder / 'chelsea.png'))[:24, :24]
    cv2.imwrite(str(tmp_path / 'small.png'), small)
    with torch.no_grad():
        enlarged = model(to_tensor(small)).clamp(0, 1)
    mtkd('upscale', 'small.png', '--weights', exported, '--out', 'large', cwd=tmp_path)
    upscaled = cv2.imread(str(next((tmp_path / 'large').iterdir())))
    assert upscaled.shape == (48, 48, 3)
    assert np.abs(upscaled.astype(int) - to_array(enlarged)).max() <= 1

    saved = {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')}
    assert distill(folder, out, **arguments) == exported
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')} == saved
    printed = capsys.readouterr().out
    for step in ('outputs of the teachers', 'mix of the teachers', 'target', 'student'):
        assert re.search(f'{step}[a-z ]*: finished before', printed), step
    assert table.split('\n')[-2] in printed

    with pytest.raises(OptionError, match=r"student: 'rcan', but '.*' was made with 'edsr'"):
        distill(folder, out, **{**arguments, 'student': 'rcan'})


@pytest.mark.slow
def test_a_single_teacher_is_not_fused(folder, tiny_student, tmp_path):
    out = tmp_path / 'out'
    teachers = [teacher(tmp_path, 'SwinIR', 0)]
    distill(folder, out, scale=2, teachers=teachers, hours=0.01)
    assert not (out / 'options' / 'distill_fusion.yml').exists()
    table = (out / 'results.md').read_text()
    assert '| teacher swinir_0 |' in table
    # What was deleted is made again.
    for name in ('results.md', 'edsr_x2.pth'):
        (out / name).unlink()
        distill(folder, out, scale=2, teachers=teachers, hours=0.01)
        assert (out / name).exists()
    assert '| teacher swinir_0 |' in (out / 'results.md').read_text()


@pytest.mark.parametrize('count', [1, 3])
@pytest.mark.parametrize('device', ['cpu', 'cuda'])
@pytest.mark.parametrize('student', list(option_files.network_templates.STUDENTS))
def test_option_files_are_read_as_they_are_meant(count, device, student, tmp_path):
    names = option_files.teacher_names(['/a/x.pth', '/b/x.pth', "/c/1 ' ünd.pth"][:count])
    assert list(names) == ['x', 'x_2', 'teacher_1_ünd'][:count]
    arguments = (settings_of(student=student), tmp_path, names, option_files.BATCHES[device])
    config = _parsed(tmp_path, option_files.student_file(*arguments, 1234))
    assert config.total_iterations == 1234
    assert [teacher.weights for teacher in config.teachers.values()] == list(names.values())
    assert config.train_dataset.options['dataroot_gt'] == f'{tmp_path}/data/train/GTmod4'
    assert (config.fusion is None) == (count == 1)
    if count > 1:
        fusion = _parsed(tmp_path, option_files.fusion_file(*arguments))
        assert fusion.only_fits
        assert fusion.network == config.fusion.network


def _parsed(folder, text) -> TrainingConfig:
    path = folder / 'options.yml'
    path.write_text(text)
    options = read_options(path)
    options['is_train'] = True
    return training_config(options)


def test_reference_teachers_are_for_one_scale(folder, tmp_path):
    with pytest.raises(OptionError, match='scale: 2; expected 4, which the reference teachers'):
        distill(folder, tmp_path / 'out', scale=2)
    assert list(option_files.teacher_names(())) == ['swinir', 'edsr', 'rcan']


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        ({'student': 'vdsr'}, "student: 'vdsr'; .*edsr"),
        ({'scale': 5}, 'scale: 5; '),
        ({'hours': 0}, 'hours: 0; expected a number above 0'),
        ({'hours': True}, 'hours: True; expected a number above 0'),
        ({'hours': float('nan')}, 'hours: nan; expected a number above 0'),
        ({'validation': 0}, 'validation: 0; expected a whole number from 1 on'),
        ({'validation': 4}, 'validation: 4; expected fewer than the 4 photographs'),
        ({'teachers': 'a.pth'}, "teachers: 'a.pth'; expected a list of files"),
        ({'teachers': ['a.pth']}, "teachers: no file 'a.pth'"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(arguments, expected, folder, tmp_path):
    with pytest.raises(OptionError, match=expected):
        distill(folder, tmp_path / 'out', **arguments)
    assert not (tmp_path / 'out').exists()


def test_photographs_are_checked_before_anything_is_made(folder, tmp_path):
    assert photographs.check(folder, 96, 4, tmp_path) == len(NAMES)
    cv2.imwrite(str(folder / 'small.png'), np.zeros((95, 200, 3), np.uint8))
    with pytest.raises(DataError, match=r"1 of 5 .* too small: 'small\.png' \(200×95\); .* 96×96"):
        photographs.check(folder, 96, 4, tmp_path)
    with pytest.raises(OptionError, match='expected another folder than that of the photographs'):
        photographs.check(folder, 96, 4, folder)
    few = tmp_path / 'few'
    few.mkdir()
    cv2.imwrite(str(few / 'a.png'), load('coffee'))
    with pytest.raises(DataError, match='has 1 photographs; expected at least 3'):
        photographs.check(few, 96, 4, tmp_path)


def test_photographs_that_no_training_reads_are_named_first(folder, tmp_path):
    """Alpha without transparency is no obstacle."""
    image = load('coffee')[:120, :120]
    alpha = np.full((120, 120, 1), 255, np.uint8)
    cv2.imwrite(str(folder / 'opaque.png'), np.concatenate([image, alpha], 2))
    assert photographs.check(folder, 96, 4, tmp_path) == len(NAMES) + 1
    cv2.imwrite(str(folder / 'clear.png'), np.concatenate([image, alpha // 2], 2))
    cv2.imwrite(str(folder / 'deep.png'), image.astype(np.uint16) * 257)
    with pytest.raises(DataError, match=r'2 of 7 .*clear\.png.*; .*deep\.png.*uint16 values'):
        photographs.check(folder, 96, 4, tmp_path)


def test_a_photograph_that_fails_later_can_be_taken_away(folder, tiny_student, tmp_path):
    """Its pixels are damaged, and it was one of the two that were kept apart."""
    for i in range(16):
        cv2.imwrite(str(folder / f'p{i:02d}.png'), load('coffee')[i : i + 100, i : i + 100])
    names = sorted(path.name for path in folder.iterdir())
    damaged = folder / names[5]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 255
    damaged.write_bytes(content)
    distillation = run.Distillation(settings_of(folder=str(folder)), tmp_path / 'out')
    with pytest.raises(DataError, match=f'(?s)1 of 20 images cannot be used:.*{names[5]}'):
        distillation.prepare()
    record = tmp_path / 'out' / 'data' / 'validation.txt'
    assert record.read_text().split() == [names[5], names[15]]
    damaged.unlink()
    distillation.prepare()
    assert [path.name for path in (tmp_path / 'out' / 'data' / 'val').rglob('*.png')] == (
        [names[15]] * 2
    )


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'thesis.txt').write_text('mine')
    with pytest.raises(OptionError, match='exists and was not made by mtkd distill'):
        Progress(tmp_path, settings_of())
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.txt']


def test_two_calls_do_not_work_in_one_folder(folder, tiny_student, tmp_path):
    out = tmp_path / 'out'
    with pytest.raises(OptionError, match='hours: 1e-09'):
        distill(folder, out, hours=1e-9, student='edsr')
    with (
        locked(out / 'runs' / 'lock', ''),
        pytest.raises(MTKDError, match='out: another process is working in .* locked .*lock'),
    ):
        distill(folder, out, hours=1e-9, student='edsr')


def test_a_changed_option_file_is_used_as_it_is(tmp_path, capsys):
    out = tmp_path / 'out'
    file = out / 'options' / 'a.yml'
    Progress(out, settings_of()).write_file(file, 'one')
    Progress(out, settings_of()).write_file(file, 'two')
    assert file.read_text() == 'two'
    file.write_text('mine')
    Progress(out, settings_of()).write_file(file, 'three')
    assert file.read_text() == 'mine'
    assert 'a.yml: was changed; used as it is' in capsys.readouterr().out


def test_time_of_interrupted_calls_counts(tmp_path):
    progress = Progress(tmp_path / 'out', settings_of(hours=2))
    with pytest.raises(KeyboardInterrupt), progress.timed():
        raise KeyboardInterrupt
    record = tmp_path / 'out' / 'distill.json'
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, 'seconds': 5400.0}))
    assert Progress(tmp_path / 'out', settings_of(hours=2)).seconds_left == 1800
    record.write_text('{')
    with pytest.raises(OptionError, match=r"distill\.json' cannot be read"):
        Progress(tmp_path / 'out', settings_of())


def test_as_a_tenth_is_kept_apart():
    assert [photographs.kept_apart(n) for n in (3, 20, 60, 800)] == [1, 2, 6, 8]


def test_the_folder_of_a_photograph_has_its_size(tmp_path):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.zeros((10 + i, 7, 3), np.uint8))
    assert photographs.size_of(Path(tmp_path)) == (2, 147)
