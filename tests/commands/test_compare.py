"""``mtkd compare`` as a user types it: real trainings of tiny networks, stopped and resumed."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys

import cv2
import pytest
import torch
import yaml
from conftest import mtkd, options_for, run, tiny
from helpers.waiting import wait_until

from mtkd_basicsr.data.cache.reader import CacheReader

pytestmark = pytest.mark.slow  # it starts many trainings

OUT = 'results of it'  # a name with spaces


def tiny_plan(photographs, folder):
    common = options_for(photographs, folder, 'KDModel')
    common['datasets']['train'].update(
        type='DistillImageDataset', target_cache='{out}/caches/teachers.lmdb', gt_size='{gt_size}'
    )
    common['train'].update(
        total_iter=4, distill_opt={'type': 'L1Loss'}, pixel_opt={'type': 'L1Loss'}
    )
    for key in ('name', 'manual_seed', 'scale', 'network_g'):
        common.pop(key)
    common['teachers'] = {
        name: {
            'network': tiny(arch, 2),
            'weights': f'{{out}}/experiments/{name}_x2/models/net_g_latest.pth',
        }
        for name, arch in (('edsr', 'EDSR'), ('rcan', 'RCAN'))
    }
    fusion = tiny('DCTSwin', 2, in_chans=6)
    common['fusion'] = {
        'network': fusion,
        'weights': '{out}/experiments/fusion_x2/models/net_g_latest.pth',
    }
    teacher = {'datasets': {'train': {'target_cache': None}}, 'train': {'kd': {'type': 'Scratch'}}}
    val = {key: common['datasets']['val'][key] for key in ('dataroot_gt', 'dataroot_lq')}
    return {
        'name': 'tiny',
        'scales': [2],
        'seeds': [0, 1],
        'lq_size': 16,
        'options': common,
        'prepare': {
            'edsr': {**teacher, 'network_g': tiny('EDSR', 2)},
            'rcan': {**teacher, 'network_g': tiny('RCAN', 2)},
            'fusion': {'model_type': 'MTKDFusionModel', 'network_g': fusion},
        },
        'students': {'SwinIR': {'network_g': tiny('SwinIR', 2)}},
        'methods': {
            'scratch': {'train': {'kd': {'type': 'Scratch'}}},
            'MTKD+DUKD': {
                'self_ensemble': True,
                'datasets': {'train': {'target_cache': '{out}/caches/target.lmdb'}},
                'train': {'kd': {'type': 'MTKD', 'also': ['DUKD']}},
            },
        },
        'test': {'two': val},
    }


def finished(out):
    """The records of the runs that are finished, by name."""
    return {
        p.stem: p.read_bytes()
        for p in (out / 'runs').glob('*.json')
        if b'"finished": true' in p.read_bytes()
    }


def compare(plan, *arguments, expect=0):
    return mtkd('compare', '-opt', plan, '--out', OUT, *arguments, cwd=plan.parent, expect=expect)


def copy_of(plan, folder):
    """Copies a plan with its results; gives the plan there."""
    shutil.copytree(plan.parent, folder, dirs_exist_ok=True)
    return folder / plan.name


def with_other_name(plan, name, content):
    """Writes another plan beside a plan; gives its path."""
    path = plan.with_name(f'{name}.yml')
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


# The states of a comparison. Each is made once, in a copy of the one before, and left as it is; a
# test that changes something takes a copy.


@pytest.fixture(scope='module')
def plan(photographs, tmp_path_factory):
    """A plan of which nothing has been done."""
    folder = tmp_path_factory.mktemp('plan')
    (folder / 'plan.yml').write_text(
        yaml.safe_dump(tiny_plan(photographs, folder), sort_keys=False)
    )
    return folder / 'plan.yml'


@pytest.fixture(scope='module')
def begun(plan, tmp_path_factory):
    """The first run was done by a line of the list, as a scheduler does it: from anywhere."""
    plan = copy_of(plan, tmp_path_factory.mktemp('begun'))
    commands = re.findall(r'^cd .*--only \S+$', compare(plan, '--list'), re.M)
    run(['bash', '-c', next(c for c in commands if c.endswith('edsr_x2'))], cwd='/')
    return plan


@pytest.fixture(scope='module')
def stopped(begun, tmp_path_factory):
    """It was ended by a signal in the middle."""
    plan = copy_of(begun, tmp_path_factory.mktemp('stopped'))
    command = [sys.executable, '-m', 'mtkd_basicsr', 'compare', '-opt', plan, '--out', OUT]
    with open(plan.parent / 'stopped.log', 'w') as log:
        process = subprocess.Popen(
            [*map(str, command), '--jobs', '2'],
            cwd=plan.parent,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(
                lambda: 'cache_teachers' in finished(plan.parent / OUT), 'the first cache', process
            )
            process.send_signal(signal.SIGTERM)
            status = process.wait(timeout=120)
        finally:
            process.kill()
            process.wait()
    (plan.parent / 'status').write_text(str(status))
    return plan


@pytest.fixture(scope='module')
def complete(stopped, tmp_path_factory):
    """It went on from there, to the end."""
    plan = copy_of(stopped, tmp_path_factory.mktemp('complete'))
    (plan.parent / 'printed').write_text(compare(plan, '--jobs', '2'))
    return plan


@pytest.fixture
def copied(complete, tmp_path):
    """A copy of the finished comparison, to change."""
    return copy_of(complete, tmp_path / 'copied')


def test_the_list_is_in_the_order_of_what_waits_for_what(plan, here):
    listed = here('compare', '-opt', plan, '--out', plan.parent / OUT, '--list')
    names = re.findall(r'^cd .*--only (\S+)$', listed, re.M)
    assert len(names) == 3 + 2 + 1 + 4
    assert names.index('edsr_x2') < names.index('cache_teachers')
    assert names.index('cache_teachers') < names.index('fusion_x2')
    assert not (plan.parent / OUT).exists(), 'a list creates nothing'


def test_a_run_that_waits_for_others_or_is_unknown_is_refused(plan, tmp_path, here):
    only = ('compare', '-opt', plan, '--out', tmp_path / OUT, '--only')
    assert '--only: fusion_x2 waits for cache_teachers, edsr_x2, rcan_x2' in here(
        *only, 'fusion_x2', expect=1
    )
    assert "--only: no run 'fusoin_x2' in the plan; known: " in here(*only, 'fusoin_x2', expect=1)


def test_a_line_of_the_list_does_its_run_alone(begun):
    assert set(finished(begun.parent / OUT)) == {'edsr_x2'}


def test_a_stop_ends_it_and_keeps_what_is_finished(begun, stopped):
    log = (stopped.parent / 'stopped.log').read_text()
    assert (stopped.parent / 'status').read_text() == str(128 + signal.SIGTERM), log
    found = finished(stopped.parent / OUT)
    assert {'edsr_x2', 'rcan_x2', 'cache_teachers'} <= set(found)
    assert found['edsr_x2'] == finished(begun.parent / OUT)['edsr_x2']


def test_after_a_stop_what_is_finished_is_not_repeated(stopped, complete):
    before = finished(stopped.parent / OUT)
    after = finished(complete.parent / OUT)
    assert len(after) == 10
    assert {name: after[name] for name in before} == before
    printed = (complete.parent / 'printed').read_text()
    assert f"'tiny': 10 runs, {len(before)} finished before" in printed
    assert len(re.findall(r'^\[\d+/\d+\] \S+: done in \d+ s$', printed, re.M)) == 10 - len(before)


def test_a_finished_comparison_trains_nothing(copied, here):
    out = copied.parent / OUT
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob('*.pth')}
    whole = ('compare', '-opt', copied, '--out', out)
    assert '10 runs, 10 finished before' in here(*whole)
    assert here(*whole, '--list').count('# finished: ') == 10
    assert 'finished before' in here(*whole, '--only', 'fusion_x2')
    assert {p: p.stat().st_mtime_ns for p in out.rglob('*.pth')} == stamps
    assert stamps


def test_the_report_has_all_methods_and_pictures(copied, here):
    folder = copied.parent / OUT / 'report'
    for path in folder.iterdir():
        path.unlink()
    here('compare', '-opt', copied, '--out', copied.parent / OUT, '--report-only')
    text = (folder / 'report.md').read_text()
    html = (folder / 'report.html').read_text()
    names = [
        line.split('|')[1].strip()
        for line in text.split('## SwinIR ×2')[1].split('\n\n')[1].splitlines()
    ]
    assert names == [
        'method',
        '---',
        'bicubic',
        'teacher edsr',
        'teacher rcan',
        'mean of teachers',
        'fused teachers',
        'fused teachers, self-ensemble',
        'scratch',
        'MTKD+DUKD',
    ]
    assert html.count('data:image/png;base64,') == 3
    assert '<td>scratch</td>' in html
    for picture in ('curves.png', 'gains.png', 'crops_SwinIR_x2.png'):
        assert cv2.imread(str(folder / picture)).std() > 5
    lines = list(csv.DictReader((folder / 'images.csv').open()))
    assert len(lines) == 2 * 2 * 2
    assert {line['image'] for line in lines} == {'chelsea', 'coffee'}
    assert 'student SwinIR' in text
    assert 'cache_target' in text
    assert 'NOT FINISHED' not in text


def test_results_alone_are_enough_for_a_report(complete, here, tmp_path):
    out = complete.parent / OUT
    shutil.copytree(out / 'results', tmp_path / 'moved' / 'results')
    here('compare', '-opt', complete, '--out', tmp_path / 'moved', '--report-only')
    one, other = (
        (folder / 'report' / 'report.md').read_text() for folder in (out, tmp_path / 'moved')
    )
    table = one.split('## SwinIR ×2')[1].split('\n\n')[1]
    assert table in other
    assert 'NOT FINISHED' not in other
    assert 'crops_SwinIR_x2.png' in one
    assert 'crops' not in other, 'there are no networks to make pictures with'


def test_results_alone_are_enough_to_be_finished(complete, here, tmp_path):
    """What was moved is not done again; a cache and what it is made of are, where a student that is
    missing needs them.
    """
    moved = tmp_path / 'moved'
    shutil.copytree(complete.parent / OUT / 'results', moved / 'results')
    whole = ('compare', '-opt', complete, '--out', moved)
    assert '10 runs, 10 finished before' in here(*whole)
    (moved / 'results' / 'SwinIR_MTKD+DUKD_x2_s1.json').unlink()
    assert re.findall('--only (.*)', here(*whole, '--list')) == [
        'edsr_x2',
        'rcan_x2',
        'cache_teachers',
        'fusion_x2',
        'cache_target',
        'SwinIR_MTKD+DUKD_x2_s1',
    ]


def test_what_was_deleted_is_made_anew_where_it_is_needed(copied, here):
    """Large caches, and trainings, of a comparison that is extended later."""
    out = copied.parent / OUT
    whole = ('compare', '-opt', copied, '--out', out)
    shutil.rmtree(out / 'caches' / 'target.lmdb')
    assert '10 runs, 10 finished before' in here(*whole)
    (out / 'results' / 'SwinIR_MTKD+DUKD_x2_s1.json').unlink()
    shutil.rmtree(out / 'experiments' / 'SwinIR_MTKD+DUKD_x2_s1')
    pending = ['cache_target', 'SwinIR_MTKD+DUKD_x2_s1']
    assert re.findall('--only (.*)', here(*whole, '--list')) == pending
    printed = here(*whole, '--only', pending[1], expect=1)
    assert 'SwinIR_MTKD+DUKD_x2_s1 waits for cache_target' in printed
    shutil.rmtree(out / 'experiments' / 'rcan_x2')
    assert re.findall('--only (.*)', here(*whole, '--list')) == ['rcan_x2', *pending]


def test_results_without_networks_are_not_trained_for_another_test_set(complete, here, tmp_path):
    moved = tmp_path / 'moved'
    shutil.copytree(complete.parent / OUT / 'results', moved / 'results')
    content = yaml.safe_load(complete.read_text())
    content['test']['again'] = content['test']['two']
    other = tmp_path / 'sets.yml'
    other.write_text(yaml.safe_dump(content, sort_keys=False))
    printed = here('compare', '-opt', other, '--out', moved, '--list', expect=1)
    text = 'test.again: the result of SwinIR_scratch_x2_s0 lacks this test set, and its network'
    assert text in printed
    assert not (moved / 'runs').exists()


def test_results_say_what_they_were_made_with(complete):
    out = complete.parent / OUT
    paths = list((out / 'results').iterdir())
    assert len(paths) == 10
    for path in paths:
        result = json.loads(path.read_text())
        assert str(out) not in path.read_text()
        assert len(result['commit'] or 40 * 'x') >= 40
        assert 'torch' in result['machine']
        if not torch.cuda.is_available():
            assert re.search(
                r'^CPU, \d+ threads, .*(no )?native bfloat16; torch', result['machine']
            )
        if result['kind'] == 'student':
            values = result['results'][result['method']]['two']
            assert set(values) == {'chelsea', 'coffee'}
            assert result['curve']
            assert result['options']['manual_seed'] == result['seed']


def test_results_say_which_precision_was_used(complete):
    for path in (complete.parent / OUT / 'results').iterdir():
        result = json.loads(path.read_text())
        if result['kind'] == 'cache':
            continue
        expected = {'student': 'fp32', 'teachers': 'fp32', 'features': 'fp32'}
        if result['kind'] == 'references':
            expected = {'teachers': 'fp32', 'target': 'fp32'}
        elif 'fusion' in path.stem:
            expected = {'student': 'fp32', 'teachers': 'fp32'}
        elif result['kind'] == 'prepare' or result['method'] == 'scratch':
            expected = {'student': 'fp32'}
        assert result['precision'] == expected, path.stem


def test_self_ensemble_is_in_the_cache_of_the_method_that_asks_for_it(complete):
    caches = complete.parent / OUT / 'caches'
    found = {
        name: CacheReader(str(caches / f'{name}.lmdb')).manifest for name in ('target', 'teachers')
    }
    made = {name: manifest['made_with'] for name, manifest in found.items()}
    assert made['target']['self_ensemble']
    assert not made['teachers']['self_ensemble']


def test_a_result_that_was_removed_is_measured_again(copied):
    out = copied.parent / OUT
    path = out / 'results' / 'SwinIR_scratch_x2_s1.json'
    before = json.loads(path.read_text())
    path.unlink()
    weights = out / 'experiments' / 'SwinIR_scratch_x2_s1' / 'models' / 'net_g_latest.pth'
    stamp = weights.stat().st_mtime_ns
    compare(copied, '--only', 'SwinIR_scratch_x2_s1')
    after = json.loads(path.read_text())
    assert after['results'] == before['results']
    assert after['curve'] == before['curve']
    assert weights.stat().st_mtime_ns == stamp


def test_another_test_set_needs_no_training(copied, here):
    out = copied.parent / OUT
    content = yaml.safe_load(copied.read_text())
    content['test'] = {'again': content['test']['two']}
    other = with_other_name(copied, 'sets', content)
    weights = {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')}
    compare(other, '--only', 'SwinIR_scratch_x2_s1')
    result = json.loads((out / 'results' / 'SwinIR_scratch_x2_s1.json').read_text())
    values = result['results']['scratch']
    assert values['again'] == values['two']
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')} == weights
    report = ('--out', out, '--report-only')
    assert 'NOT FINISHED' in here('compare', '-opt', other, *report)
    assert 'NOT FINISHED' not in here('compare', '-opt', copied, *report)


def test_a_test_set_with_other_images_is_measured_again(copied, photographs, here):
    """It has the same name. The networks are there, so that nothing is trained."""
    out = copied.parent / OUT
    folder = copied.parent / 'other'
    content = yaml.safe_load(copied.read_text())
    for key, path in content['test']['two'].items():
        shutil.copytree(path, folder / key)
        (folder / key / 'chelsea.png').rename(folder / key / 'cat.png')
        content['test']['two'][key] = str(folder / key)
    moved = with_other_name(copied, 'moved', content)
    weights = {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')}
    whole = ('compare', '-opt', moved, '--out', out)
    assert 'no student of the plan is finished' in here(*whole, '--report-only', expect=1)
    printed = compare(moved, '--jobs', '2')
    assert '10 runs, 5 finished before' in printed
    assert 'the test sets have other images than when ' in printed
    path = out / 'results' / 'SwinIR_scratch_x2_s1.json'
    values = json.loads(path.read_text())['results']['scratch']['two']
    assert set(values) == {'cat', 'coffee'}
    (old,) = path.parent.glob('SwinIR_scratch_x2_s1.json_archived_*')
    before = json.loads(old.read_text())['results']['scratch']['two']
    assert before['chelsea'] == values['cat']
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')} == weights
    assert 'NOT FINISHED' not in here(*whole, '--report-only')
    # Another image of the same name.
    image = folder / 'dataroot_lq' / 'cat.png'
    kept = image.read_bytes()
    cv2.imwrite(str(image), 255 - cv2.imread(str(image)))
    assert here(*whole, '--list').count('--only ') == 5
    image.write_bytes(kept)
    assert here(*whole, '--list').count('--only ') == 0
    # One more image in the same folder.
    for key in folder.iterdir():
        shutil.copy(key / 'cat.png', key / 'kitten.png')
    assert here(*whole, '--list').count('--only ') == 5
    # Without the network only a training could help.
    shutil.rmtree(out / 'experiments' / 'SwinIR_scratch_x2_s1')
    printed = here(*whole, expect=1)
    assert 'test.two: the result of SwinIR_scratch_x2_s1 is of other images' in printed
    assert path.is_file()


def test_measured_as_basicsr_measures(complete):
    """The last validation in BasicSR's own log, and our test of the same network on the same
    images.
    """
    out = complete.parent / OUT
    (log,) = (out / 'experiments' / 'SwinIR_scratch_x2_s1').glob('train_*.log')
    validated = float(re.findall(r'# psnr: ([\d.]+)', log.read_text())[-1])
    lines = [
        line
        for line in csv.DictReader((out / 'report' / 'images.csv').open())
        if (line['method'], line['seed']) == ('scratch', '1')
    ]
    assert sum(float(line['psnr']) for line in lines) / 2 == pytest.approx(validated, abs=1e-4)


def test_methods_of_one_seed_begin_alike_and_see_the_same_images(complete):
    """For one seed all methods begin with the same weights and see the same images; other seeds do
    not.
    """
    first = {}
    for name in ('scratch_x2_s0', 'scratch_x2_s1', 'MTKD+DUKD_x2_s0', 'MTKD+DUKD_x2_s1'):
        folder = complete.parent / OUT / 'experiments' / f'SwinIR_{name}'
        (log,) = folder.glob('train_*.log')
        first[name] = re.search(r'iter: +1, .* l_pix: (\S+)', log.read_text()).group(1)
    assert first['scratch_x2_s0'] == first['MTKD+DUKD_x2_s0']
    assert first['scratch_x2_s1'] == first['MTKD+DUKD_x2_s1']
    assert first['scratch_x2_s0'] != first['scratch_x2_s1']


def test_changed_method_is_trained_again_and_the_old_one_kept(copied, here):
    out = copied.parent / OUT
    content = yaml.safe_load(copied.read_text())
    # Less than the average is warmed up to in so few iterations.
    content['methods']['scratch']['train']['ema_decay'] = 0.05
    changed = with_other_name(copied, 'changed', content)
    assert 'NOT FINISHED, 2 of 10 runs: SwinIR_scratch_x2_s0, SwinIR_scratch_x2_s1.' in here(
        'compare', '-opt', changed, '--out', out, '--report-only'
    )
    before = torch.load(
        out / 'experiments' / 'SwinIR_scratch_x2_s0' / 'models' / 'net_g_latest.pth',
        weights_only=True,
    )
    compare(changed, '--only', 'SwinIR_scratch_x2_s0')
    (result,) = (out / 'results').glob('SwinIR_scratch_x2_s0.json_archived_*')
    assert json.loads(result.read_text())['options']['train']['ema_decay'] == 0.9
    printed = compare(changed, '--jobs', '2')
    assert 'the folder has results of other options for SwinIR_scratch_x2_s1; they are' in printed
    (old,) = (out / 'experiments').glob('SwinIR_scratch_x2_s0_archived_*')
    folders = old, out / 'experiments' / 'SwinIR_scratch_x2_s0'
    kept, new = (
        torch.load(folder / 'models' / 'net_g_latest.pth', weights_only=True) for folder in folders
    )
    assert all(torch.equal(kept['params_ema'][k], v) for k, v in before['params_ema'].items())
    assert all(torch.equal(kept['params'][k], v) for k, v in new['params'].items()), (
        'the same training'
    )
    assert any(not torch.equal(kept['params_ema'][k], v) for k, v in new['params_ema'].items())


@pytest.mark.skipif(sys.platform == 'win32', reason='no fcntl')
def test_two_processes_do_not_do_the_same_run(copied):
    import fcntl

    content = yaml.safe_load(copied.read_text())
    content['seeds'] = [7]
    grown = with_other_name(copied, 'grown', content)
    with open(copied.parent / OUT / 'runs' / 'SwinIR_scratch_x2_s7.lock', 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        printed = compare(grown, '--only', 'SwinIR_scratch_x2_s7', expect=1)
    assert 'SwinIR_scratch_x2_s7: another process is executing this run' in printed


def test_failing_run_names_its_log_and_the_others_go_on(photographs, tmp_path):
    content = tiny_plan(photographs, tmp_path)
    content.update(seeds=[0], name='failing', prepare={})
    content['methods'] = {'scratch': content['methods']['scratch']}
    for key in ('teachers', 'fusion'):
        content['options'].pop(key)
    content['options']['datasets']['train']['target_cache'] = None
    content['students'] = {
        'good': {'network_g': tiny('EDSR', 2)},
        # Only in the training it shows that it diverges.
        'bad': {
            'network_g': tiny('EDSR', 2, num_block=2),
            'train': {'total_iter': 60, 'max_skipped': 3, 'optim_g': {'lr': 1e30}},
        },
    }
    (tmp_path / 'plan.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    printed = mtkd('compare', '-opt', 'plan.yml', cwd=tmp_path, expect=1)
    assert re.search(
        r'mtkd compare: bad_scratch_x2_s0 failed; its log is .*bad_scratch_x2_s0.log', printed
    )
    out = tmp_path / 'compare' / 'failing'
    assert set(finished(out)) == {'good_scratch_x2_s0', 'references_x2'}
    assert 'NOT FINISHED, 1 of 3 runs: bad_scratch_x2_s0.' in mtkd(
        'compare', '-opt', 'plan.yml', '--report-only', cwd=tmp_path
    )


def test_what_cannot_be_done_is_refused(plan, here):
    assert 'no student of the plan is finished' in here(
        'compare', '-opt', plan, '--out', 'empty', '--report-only', expect=1
    )
    assert '--jobs: 0; expected 1 or more' in here('compare', '-opt', plan, '--jobs', '0', expect=1)
    assert "-opt: no file 'gone.yml'" in here('compare', '-opt', 'gone.yml', expect=1)
