"""``outputs_from`` of a plan: fused targets out of outputs of teachers that it caches anyway."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, options_for, teachers_block, tiny, write_weights

from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.teachers.network import NetworkTeacher

OUT = Path('/somewhere/out')
OUTPUTS = '{out}/caches/teachers_x{scale}.lmdb'


@pytest.fixture
def content(photographs, tmp_path):
    """A plan of a method that caches the outputs of two teachers, and of one that fuses them."""
    common = options_for(photographs, tmp_path, 'KDModel')
    common['datasets']['train'].update(
        type='DistillImageDataset', target_cache=OUTPUTS, gt_size='{gt_size}'
    )
    common['train'].update(distill_opt={'type': 'L1Loss'})
    common['teachers'] = teachers_block(tmp_path, 2, ('EDSR', 'RCAN'))
    fusion = tiny('DCTSwin', 2, in_chans=6)
    common['fusion'] = {
        'network': fusion,
        'weights': write_weights(tmp_path / 'fusion.pth', fusion, seed=7),
    }
    for key in ('name', 'manual_seed', 'scale', 'network_g'):
        common.pop(key)
    val = {key: common['datasets']['val'][key] for key in ('dataroot_gt', 'dataroot_lq')}
    fused = {'train': {'target_cache': '{out}/caches/target.lmdb'}}
    return {
        'name': 'outputs',
        'scales': [2],
        'seeds': [0],
        'lq_size': 16,
        'baseline': 'LogitKD',
        'options': common,
        'students': {'EDSR': {'network_g': tiny('EDSR', 2)}},
        'methods': {
            'LogitKD': {'train': {'kd': {'type': 'LogitKD', 'teacher': 'edsr'}}},
            'MTKD': {
                'outputs_from': OUTPUTS,
                'datasets': fused,
                'train': {'kd': {'type': 'MTKD'}},
            },
        },
        'test': {'two': val},
    }


def written(content, folder):
    path = folder / 'plan.yml'
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def runs_of(content, folder, out=OUT):
    return {run.name: run for run in expand(read_plan(written(content, folder)), out)}


def test_the_target_waits_for_the_outputs(content, tmp_path):
    runs = runs_of(content, tmp_path)
    target = runs['cache_target']
    assert target.outputs_from == '/somewhere/out/caches/teachers_x2.lmdb'
    assert target.after == {'cache_teachers_x2'}
    assert runs['cache_teachers_x2'].outputs_from is None
    assert 'outputs_from' not in runs['EDSR_MTKD_x2_s0'].options
    moved = runs_of(content, tmp_path, Path('/elsewhere'))
    assert moved['cache_target'].fingerprint == target.fingerprint


def test_the_fingerprint_says_where_a_target_is_from(content, tmp_path):
    runs = runs_of(content, tmp_path)
    del content['methods']['MTKD']['outputs_from']
    before = runs_of(content, tmp_path)
    changed = {name for name in runs if runs[name].fingerprint != before[name].fingerprint}
    assert changed == {'cache_target', 'EDSR_MTKD_x2_s0'}
    assert before['cache_target'].after == set()


def test_no_teacher_runs_for_the_target(content, tmp_path, here, monkeypatch):
    path = written(content, tmp_path)
    here('compare', '-opt', path, '--out', 'out', '--only', 'cache_teachers_x2')

    def refuse(self, *args):
        raise AssertionError('a teacher was built')

    with monkeypatch.context() as patched:
        patched.setattr(NetworkTeacher, '__init__', refuse)
        here('compare', '-opt', path, '--out', 'out', '--only', 'cache_target')
    caches = tmp_path / 'out' / 'caches'
    outputs = CacheReader(str(caches / 'teachers_x2.lmdb')).key.settings.to_manifest()
    made = CacheReader(str(caches / 'target.lmdb')).key.settings
    assert made.outputs_from == outputs
    result = json.loads((tmp_path / 'out' / 'results' / 'cache_target.json').read_text())
    assert result['outputs_from'] == '{out}/caches/teachers_x2.lmdb'


def other_file(plan):
    plan['methods']['MTKD']['outputs_from'] = '{out}/caches/teacher_x{scale}.lmdb'


def itself(plan):
    plan['methods']['MTKD']['outputs_from'] = '{out}/caches/target.lmdb'


def no_path(plan):
    plan['methods']['MTKD']['outputs_from'] = True


def without_fusion(plan):
    plan['methods']['LogitKD']['outputs_from'] = OUTPUTS


def with_self_ensemble(plan):
    plan['methods']['MTKD']['self_ensemble'] = True


def one_teacher_less(plan):
    plan['methods']['MTKD']['teachers'] = {'rcan': None}
    plan['methods']['MTKD']['fusion'] = {'network': {'in_chans': 3}}


def other_images(plan):
    plan['methods']['MTKD']['datasets']['train']['dataroot_gt'] = 'other'


def all_averaged(plan):
    plan['options']['self_ensemble'] = True


def averaged_without_a_cache(plan):
    plan['methods']['LogitKD']['self_ensemble'] = True
    plan['methods']['LogitKD']['datasets'] = {'train': {'target_cache': None}}


def averaged_without_teachers(plan):
    plan['methods']['scratch'] = {'self_ensemble': True, 'train': {'kd': {'type': 'Scratch'}}}


def a_student_averaged(plan):
    plan['students']['EDSR']['self_ensemble'] = True


def of_a_student(plan):
    plan['students']['EDSR']['outputs_from'] = OUTPUTS


def of_all_options(plan):
    plan['options']['outputs_from'] = OUTPUTS


def two_ways(plan):
    plan['methods']['again'] = {**plan['methods']['MTKD'], 'outputs_from': None}


def a_typo(plan):
    plan['methods']['MTKD']['output_from'] = plan['methods']['MTKD'].pop('outputs_from')


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (
            other_file,
            "EDSR_MTKD_x2_s0: methods.MTKD.outputs_from: '/somewhere/out/caches/teacher_x2.lmdb'; "
            r"expected a cache .* that the plan makes; .*did you mean '/somewhere/out/caches/"
            r"teachers_x2.lmdb'",
        ),
        (itself, 'outputs_from: .*target.lmdb.; expected a cache of the outputs of teachers'),
        (no_path, 'methods.MTKD.outputs_from: True; expected the path of a cache'),
        (without_fusion, 'methods.LogitKD.outputs_from: .*; for a method with a fused target'),
        (with_self_ensemble, 'methods.MTKD.outputs_from: .*; not allowed with self_ensemble'),
        (one_teacher_less, 'is made with other values of teachers than the target needs'),
        (other_images, 'is made with other values of datasets.train.dataroot_gt than'),
        (of_a_student, 'students.EDSR.outputs_from: .*; allowed only in an entry of methods'),
        (of_all_options, 'options.outputs_from: .*; allowed only in an entry of methods'),
        (all_averaged, 'options.self_ensemble: True; allowed only in an entry of methods'),
        (a_student_averaged, 'students.EDSR.self_ensemble: True; allowed only in an entry of'),
        (
            averaged_without_a_cache,
            'EDSR_LogitKD_x2_s0: methods.LogitKD.self_ensemble: True; only the targets of a cache',
        ),
        (averaged_without_teachers, 'methods.scratch.self_ensemble: True; only the targets of'),
        (two_ways, "holds target .* from '.*' for EDSR_MTKD_x2_s0, and target without self"),
        (a_typo, r"methods.MTKD: unknown key 'output_from'; .*did you mean 'outputs_from'"),
    ],
)
def test_what_makes_no_sense_is_refused(content, change, text, tmp_path):
    change(content)
    with pytest.raises(OptionError, match=text):
        runs_of(content, tmp_path)


def test_the_students_of_the_package_learn_from_such_targets():
    plan = read_plan(ROOT / 'options' / 'compare' / 'ready.yml')
    runs = {run.name: run for run in expand(plan, OUT)}
    target = runs['cache_target-fitted_x4']
    assert target.after == {'cache_teachers_x4', 'fusion-fitted_x4'}
    assert runs['fusion-fitted_x4'].options['train']['total_iter'] == 0
    students = [run for run in runs.values() if run.kind == 'student']
    assert {run.student for run in students} == {'EDSR', 'RCAN', 'SwinIR'}
    reference = expand(read_plan(ROOT / 'options' / 'compare' / 'reference.yml'), OUT)
    assert not {run.name for run in reference} & (set(runs) - {'cache_teachers_x4'}), (
        'in the folder of reference.yml nothing is replaced'
    )
    assert {run.method for run in students} == {'scratch+8x', 'LogitKD+8x', 'MTKD+8x'}
    for run in students:
        assert run.options['train']['total_iter'] == 32000
        assert ('cache_target-fitted_x4' in run.after) == (run.method == 'MTKD+8x')
