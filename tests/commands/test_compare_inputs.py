"""Which files of a plan, and which changes of them, make another run."""

import json
import os
import shlex
import shutil
import time

import cv2
import pytest
import yaml
from conftest import dataset, options_for, tiny, write_weights

from mtkd_basicsr.commands.compare import image_digests, worker
from mtkd_basicsr.commands.compare.evaluation_sets import evaluation_sets
from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.relocatable import relocatable
from mtkd_basicsr.commands.compare.store import is_done, pending, record_of, result_of
from mtkd_basicsr.data.source_files import SourceFiles


@pytest.fixture
def content(photographs, tmp_path, monkeypatch):
    """A plan with a teacher, its cache, and two methods."""
    monkeypatch.chdir(tmp_path)
    common = options_for(photographs, tmp_path, 'KDModel')
    for key in ('name', 'manual_seed', 'scale'):
        common.pop(key)
    write_weights('teacher.pth', tiny('EDSR', 2))
    common['teachers'] = {'edsr': {'network': tiny('EDSR', 2), 'weights': 'teacher.pth'}}
    common['datasets']['train'].update(
        type='DistillImageDataset', target_cache='{out}/caches/teachers.lmdb'
    )
    common['train']['distill_opt'] = {'type': 'L1Loss'}
    val = dataset(photographs, 'val', 2)
    return {
        'name': 'inputs',
        'scales': [2],
        'seeds': [0],
        'lq_size': 16,
        'options': common,
        'students': {'EDSR': {'network_g': tiny('EDSR', 2)}},
        'methods': {
            'scratch': {
                'datasets': {'train': {'target_cache': None}},
                'train': {'kd': {'type': 'Scratch'}},
            },
            'LogitKD': {'train': {'kd': {'type': 'LogitKD'}}},
        },
        'test': {'two': {key: val[key] for key in ('dataroot_gt', 'dataroot_lq')}},
    }


@pytest.fixture
def runs_of(tmp_path):
    """Gives the runs of a plan by name, in the folder ``out``."""

    def runs_of(content):
        path = tmp_path / 'plan.yml'
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        plan = read_plan(path)
        runs_of.plan = plan
        return {run.name: run for run in expand(plan, tmp_path / 'out')}

    return runs_of


def fingerprints(runs):
    return {name: run.fingerprint for name, run in runs.items()}


def test_weights_in_the_home_folder_are_read(content, runs_of, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    content['options']['teachers']['edsr']['weights'] = '~/teacher.pth'
    before = fingerprints(runs_of(content))
    write_weights('teacher.pth', tiny('EDSR', 2), seed=1)
    after = fingerprints(runs_of(content))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if 'scratch' not in name}


def test_weights_beside_the_results_are_no_results(content, runs_of, tmp_path):
    shutil.copy('teacher.pth', 'out_teacher.pth')
    content['options']['teachers']['edsr']['weights'] = str(tmp_path / 'out_teacher.pth')
    before = fingerprints(runs_of(content))
    write_weights('out_teacher.pth', tiny('EDSR', 2), seed=1)
    assert fingerprints(runs_of(content)) != before


def test_weights_in_the_folder_of_the_results_are_read(content, runs_of, tmp_path):
    (tmp_path / 'out' / 'w').mkdir(parents=True)
    shutil.copy('teacher.pth', 'out/w/edsr.pth')
    content['options']['teachers']['edsr']['weights'] = '{out}/w/edsr.pth'
    before = fingerprints(runs_of(content))
    assert fingerprints(runs_of(content)) == before
    write_weights('out/w/edsr.pth', tiny('EDSR', 2), seed=1)
    after = fingerprints(runs_of(content))
    assert {name for name in before if before[name] == after[name]} == {'EDSR_scratch_x2_s0'}


def test_a_folder_that_begins_like_that_of_the_results_is_another_one(content, runs_of, tmp_path):
    plan = tmp_path / 'plan.yml'
    shutil.copy('teacher.pth', 'out_teacher.pth')
    content['options']['teachers']['edsr']['weights'] = str(tmp_path / 'out_teacher.pth')
    before = fingerprints(runs_of(content))
    moved = {run.name: run for run in expand(read_plan(plan), tmp_path / 'elsewhere')}
    assert fingerprints(moved) == before
    out = tmp_path / 'out'
    found = relocatable([f'{out}/a', str(out), f'{out}er'], out)
    assert found == ['{out}/a', '{out}', f'{out}er']


def test_what_a_student_starts_from_belongs_to_its_run(content, runs_of):
    before = fingerprints(runs_of(content))
    content['options']['path']['pretrain_network_g'] = 'start.pth'
    write_weights('start.pth', tiny('EDSR', 2))
    one = fingerprints(runs_of(content))
    write_weights('start.pth', tiny('EDSR', 2), seed=1)
    other = fingerprints(runs_of(content))
    assert {name for name in one if one[name] != other[name]} == {
        'EDSR_scratch_x2_s0',
        'EDSR_LogitKD_x2_s0',
    }
    assert before['cache_teachers'] == one['cache_teachers'] == other['cache_teachers']


def test_the_list_of_images_belongs_to_a_cache(content, runs_of):
    before = fingerprints(runs_of(content))
    with open('names.txt', 'w') as file:
        file.write('rocket.png (96,120,3)\n')
    content['options']['datasets']['train']['meta_info_file'] = 'names.txt'
    one = fingerprints(runs_of(content))
    assert one['cache_teachers'] != before['cache_teachers']
    with open('names.txt', 'a') as file:
        file.write('moon.png (96,120,3)\n')
    assert fingerprints(runs_of(content))['cache_teachers'] != one['cache_teachers']


def write_results(runs, plan, out):
    """Results as a worker writes them, without their trainings."""
    out.mkdir()
    sets = evaluation_sets(plan.test, 2, out)
    digests = {name: image_digests.digests_of(dataset) for name, dataset in sets.items()}
    for run in runs.values():
        values = {name: {'chelsea': [30.0, 0.9], 'coffee': [31.0, 0.9]} for name in plan.test}
        tested = {run.method: values} if run.kind == 'student' else {}
        measured = worker.Measured(tested, digests if tested else {})
        worker._write_result(run, plan, out, measured, {}, 1.0, {'student': 'fp32'})


def test_a_report_needs_no_weights(content, runs_of, tmp_path, monkeypatch, here):
    monkeypatch.setattr(worker, 'read_training', lambda *_: ([[2, 1.0, 30.0]], 1.0))
    out = tmp_path / 'out'
    runs = runs_of(content)
    write_results(runs, runs_of.plan, out)
    os.remove('teacher.pth')
    again = runs_of(content)
    assert fingerprints(again) == fingerprints(runs)
    assert is_done(again['EDSR_LogitKD_x2_s0'], runs_of.plan, out)
    printed = here('compare', '-opt', 'plan.yml', '--out', out, '--report-only')
    assert 'LogitKD' in printed
    # Another file in its place is another teacher.
    write_weights('teacher.pth', tiny('EDSR', 2), seed=1)
    assert not is_done(runs_of(content)['EDSR_LogitKD_x2_s0'], runs_of.plan, out)


def test_results_without_their_folders_are_those_of_the_plan(
    content, runs_of, tmp_path, monkeypatch
):
    """As version 0.1.0 wrote them, or on a machine where the images are not."""
    monkeypatch.setattr(worker, 'read_training', lambda *_: ([[2, 1.0, 30.0]], 1.0))
    out = tmp_path / 'out'
    runs = runs_of(content)
    write_results(runs, runs_of.plan, out)
    path = out / 'results' / 'EDSR_scratch_x2_s0.json'
    result = json.loads(path.read_text())
    assert result.pop('test_sets') == content['test']
    path.write_text(json.dumps(result))
    content['test']['two'] = dict.fromkeys(content['test']['two'], 'nowhere')
    assert is_done(runs_of(content)['EDSR_scratch_x2_s0'], runs_of.plan, out)
    assert not is_done(runs_of(content)['EDSR_LogitKD_x2_s0'], runs_of.plan, out)


def test_a_cache_that_is_computed_anew_can_be_stopped(content, runs_of, tmp_path, monkeypatch):
    """The old one, which is complete, stays until the new one is."""
    out = tmp_path / 'out'
    out.mkdir()
    worker.execute(runs_of(content)['cache_teachers'], runs_of.plan, out)
    write_weights('teacher.pth', tiny('EDSR', 2), seed=1)
    run = runs_of(content)['cache_teachers']

    def stopped(*arguments, **more):
        time.sleep(0.2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker, 'cache', stopped)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                worker.execute(run, runs_of.plan, out)
    assert not record_of(run, out).is_finished()
    assert record_of(run, out).seconds_of_stopped() >= 0.4
    worker.execute(run, runs_of.plan, out)
    assert record_of(run, out).is_finished()
    assert record_of(run, out).seconds_of_stopped() == 0
    seconds = result_of(run, out)['seconds']
    assert seconds >= 0.4, 'those of the calls that were stopped count'
    assert record_of(run, out).read()['seconds'] == seconds


@pytest.fixture
def image_folders(content, tmp_path):
    """The folders of the test set of ``content``, which now are in ``tmp_path``, by kind."""
    folders = {}
    for key, path in content['test']['two'].items():
        folders[key[-2:]] = tmp_path / key
        shutil.copytree(path, tmp_path / key)
        content['test']['two'][key] = str(tmp_path / key)
    return folders


@pytest.fixture
def measured(content, image_folders, runs_of, tmp_path):
    """Gives the run that measures the teachers of a plan, which has been done, and the folder."""
    out = tmp_path / 'out'
    out.mkdir()
    run = runs_of(content)['references_x2']
    worker.execute(run, runs_of.plan, out)
    assert is_done(run, runs_of.plan, out)
    return run, out


@pytest.mark.parametrize('kind', ['gt', 'lq'])
def test_other_images_of_the_same_names_are_noticed(kind, measured, image_folders, runs_of):
    run, out = measured
    before = result_of(run, out)
    path = image_folders[kind] / 'coffee.png'
    image = cv2.imread(str(path))
    cv2.imwrite(str(path), 255 - image)
    assert not is_done(run, runs_of.plan, out)
    worker.execute(run, runs_of.plan, out)
    after = result_of(run, out)
    assert is_done(run, runs_of.plan, out)
    values = [result['results']['bicubic']['two'] for result in (before, after)]
    assert values[0]['chelsea'] == values[1]['chelsea']
    assert values[0]['coffee'] != values[1]['coffee']
    assert before['test_images'] != after['test_images']
    assert before['test_sets'] == after['test_sets']
    assert len(list((out / 'results').glob('references_x2.json_archived_*'))) == 1
    cv2.imwrite(str(path), image)
    assert not is_done(run, runs_of.plan, out)


def test_images_that_have_changed_places_are_noticed(measured, image_folders, runs_of):
    run, out = measured
    for folder in image_folders.values():
        (folder / 'coffee.png').rename(folder / 'cup.png')
        (folder / 'chelsea.png').rename(folder / 'coffee.png')
        (folder / 'cup.png').rename(folder / 'chelsea.png')
    assert not is_done(run, runs_of.plan, out)


def test_the_same_pixels_in_other_files_are_the_same_images(measured, image_folders, runs_of):
    run, out = measured
    for folder in image_folders.values():
        for path in folder.iterdir():
            content = path.read_bytes()
            cv2.imwrite(str(path), cv2.imread(str(path)), [cv2.IMWRITE_PNG_COMPRESSION, 0])
            assert path.read_bytes() != content
    assert is_done(run, runs_of.plan, out)


def test_a_result_without_digests_counts_as_before(measured, image_folders, runs_of):
    run, out = measured
    path = out / 'results' / 'references_x2.json'
    result = json.loads(path.read_text())
    assert set(result.pop('test_images')['two']) == {'files', 'pixels'}
    path.write_text(json.dumps(result))
    image = image_folders['gt'] / 'coffee.png'
    cv2.imwrite(str(image), 255 - cv2.imread(str(image)))
    assert is_done(run, runs_of.plan, out)


def test_results_count_where_the_images_are_not(measured, image_folders, runs_of):
    run, out = measured
    for folder in image_folders.values():
        shutil.rmtree(folder)
        assert is_done(run, runs_of.plan, out)


def write_trained(runs, plan, out):
    """Results, and networks of the students."""
    write_results(runs, plan, out)
    for run in runs.values():
        if run.kind == 'student':
            folder = out / 'experiments' / run.name / 'models'
            folder.mkdir(parents=True)
            write_weights(folder / 'net_g_latest.pth', tiny('EDSR', 2))


def test_a_test_set_is_read_once_for_all_runs(
    content, image_folders, runs_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(worker, 'read_training', lambda *_: ([[2, 1.0, 30.0]], 1.0))
    monkeypatch.setattr(image_digests, '_known', {})
    out = tmp_path / 'out'
    runs = runs_of(content)
    write_results(runs, runs_of.plan, out)
    read = []
    original = SourceFiles.read

    def counted(self, index, kind):
        read.append((index, kind))
        return original(self, index, kind)

    monkeypatch.setattr(SourceFiles, 'read', counted)
    monkeypatch.setattr(image_digests, '_known', {})
    names = {run.name for run in pending(list(runs.values()), runs_of.plan, out)}
    assert not any('EDSR' in name for name in names)
    assert sorted(read) == [(0, 'gt'), (0, 'lq'), (1, 'gt'), (1, 'lq')]


@pytest.mark.parametrize(
    ('remove', 'reason'),
    [
        (lambda folders: None, None),
        (
            lambda folders: [shutil.rmtree(folder) for folder in folders.values()],
            "test.two.dataroot_gt: no folder '",
        ),
        (
            lambda folders: (folders['lq'] / 'coffee.png').unlink(),
            'test.two: BasicSR cannot list its images',
        ),
    ],
)
def test_a_report_needs_no_images(
    remove, reason, content, image_folders, runs_of, tmp_path, monkeypatch, here
):
    monkeypatch.setattr(worker, 'read_training', lambda *_: ([[2, 1.0, 30.0]], 1.0))
    out = tmp_path / 'out'
    write_trained(runs_of(content), runs_of.plan, out)
    remove(image_folders)
    printed = here('compare', '-opt', 'plan.yml', '--out', out, '--report-only')
    assert '| LogitKD |' in printed
    assert (out / 'report' / 'crops_EDSR_x2.png').is_file() == (reason is None)
    said = [line for line in printed.splitlines() if line.startswith('No crops')]
    if reason is None:
        assert said == []
    else:
        assert len(said) == 1
        assert reason in said[0]


def test_lines_of_the_list_find_modules_of_a_user(content, runs_of, tmp_path, here, monkeypatch):
    runs_of(content)
    command = ('compare', '-opt', 'plan.yml', '--out', 'out', '--list')
    monkeypatch.delenv('PYTHONPATH', raising=False)
    before = here(*command)
    assert 'PYTHONPATH' not in before
    monkeypatch.setenv('PYTHONPATH', 'my modules')
    after = here(*command)
    for line in after.splitlines():
        if line.startswith('cd '):
            assert " && PYTHONPATH='my modules' " in line
    assert after.replace("PYTHONPATH='my modules' ", '') == before


@pytest.mark.parametrize('safe', [[], ['--safe']])
def test_the_last_line_of_the_list_can_be_run_from_anywhere(safe, content, runs_of, tmp_path, here):
    runs_of(content)
    printed = here('compare', '-opt', 'plan.yml', '--out', 'out', '--list', *safe)
    *lines, last = [line for line in printed.splitlines() if 'mtkd_basicsr' in line]
    beginning = f'cd {shlex.quote(str(tmp_path))} && '
    assert all(line.startswith(beginning) for line in lines)
    assert last.startswith(f'# then: {beginning}')
    assert shlex.split(last)[-1 - len(safe) :] == ['--report-only', *safe]
