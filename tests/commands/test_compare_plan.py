import copy
import itertools
import re
import shutil
from pathlib import Path

import cv2
import pytest
import yaml
from conftest import ROOT, one_step, write_options
from helpers.distillation import EXTRA
from helpers.encoders import write_vqgan

from mtkd_basicsr.commands import prepare_data
from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.overlay import fill, merge
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.report.write import other_starts
from mtkd_basicsr.commands.compare.results import Results
from mtkd_basicsr.commands.compare.validation import check
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.errors import DataError, OptionError, WeightsError

PLANS = ROOT / 'options' / 'compare'
OUT = Path('/somewhere/out')


def runs_of(name, out=OUT):
    return {run.name: run for run in expand(read_plan(PLANS / f'{name}.yml'), out)}


def test_blocks_are_merged_key_by_key():
    below = {'train': {'distill_opt': {'type': 'WaveletLoss', 'level': 2}, 'lr': 1}, 'a': [1]}
    result = merge(
        below, {'train': {'distill_opt': {'type': 'L1Loss'}}}, {'train': {'lr': 2}, 'a': None}
    )
    assert result == {'train': {'distill_opt': {'type': 'L1Loss'}, 'lr': 2}, 'a': None}
    assert merge({'kd': {'teacher': 'edsr'}}, {'kd': {'type': 'AT'}}) == {
        'kd': {'teacher': 'edsr', 'type': 'AT'}
    }
    assert below['train']['distill_opt']['level'] == 2, 'the blocks themselves stay as they are'


def test_placeholders_are_filled_in():
    block = {'a': 'X{scale}_sub', 'b': ['{scale}', '{}', '{}x4'], 'c': 1.5}
    assert fill(block, {'scale': 3}) == {'a': 'X3_sub', 'b': [3, '{}', '{}x4'], 'c': 1.5}
    with pytest.raises(
        OptionError, match=r"test.a: 'x\{sclae\}' has the placeholder \{sclae\}; known: scale"
    ):
        fill({'a': 'x{sclae}'}, {'scale': 3}, 'test')


def test_the_plan_of_the_paper():
    runs = runs_of('paper')
    kinds = [run.kind for run in runs.values()]
    assert kinds.count('student') == 3 * 3 * 7 * 3
    assert kinds.count('prepare') == 3
    assert kinds.count('cache') == 6
    plan = read_plan(PLANS / 'paper.yml')
    for scale, student, method, seed in itertools.product(
        plan.scales, plan.students, plan.methods, plan.seeds
    ):
        opt = runs[f'{student}_{method}_x{scale}_s{seed}'].options
        assert opt['train']['total_iter'] == 500000
        assert opt['manual_seed'] == seed
        assert opt['scale'] == scale
        assert opt['datasets']['train']['gt_size'] == 32 * scale
        assert opt['network_g']['upscale'] == scale
        if method not in ('scratch', 'MTKD'):
            assert opt['train']['kd']['teacher'] == student.lower()
            assert 'fusion' not in opt
    dukd = [
        runs[f'{s}_DUKD_x{x}_s0'].options['train']
        for s, x in (('EDSR', 2), ('RCAN', 2), ('RCAN', 3), ('SwinIR', 4))
    ]
    assert [t['pixel_opt']['loss_weight'] for t in dukd] == [5, 1, 2, 5]
    assert [t['kd'].get('zoom_out', False) for t in dukd] == [True, False, True, False]


def test_runs_wait_for_what_they_need():
    runs = runs_of('small')
    assert runs['edsr_x4'].after == set()
    assert runs['cache_teachers_x4'].after == {'swinir_x4', 'edsr_x4', 'rcan_x4'}
    assert {'cache_teachers_x4', 'edsr_x4'} <= runs['fusion_x4'].after
    assert runs['cache_target_x4'].contents == 'target'
    assert {'fusion_x4', 'rcan_x4'} <= runs['cache_target_x4'].after
    assert runs['EDSR_scratch_x4_s0'].after == {'cache_teachers_x4'}
    assert 'teachers' not in runs['EDSR_scratch_x4_s0'].options
    assert {'cache_target_x4', 'fusion_x4'} <= runs['EDSR_MTKD_x4_s2'].after
    assert 'cache_teachers_x4' not in runs['EDSR_MTKD_x4_s2'].after
    names = list(runs)
    assert all(
        names.index(other) < names.index(run.name) for run in runs.values() for other in run.after
    )


def test_each_method_is_trained_once_before_any_is_trained_again():
    runs = runs_of('small')
    students = [run for run in runs.values() if run.kind == 'student']
    assert [run.seed for run in students] == sorted(run.seed for run in students)
    first = [run.method for run in students if run.seed == 0]
    assert first == list(read_plan(PLANS / 'small.yml').methods)
    kinds = list(dict.fromkeys(run.kind for run in runs.values()))
    assert kinds.index('prepare') < kinds.index('cache') < kinds.index('student')


def test_methods_differ_in_what_the_plan_says_and_in_nothing_else():
    plan = read_plan(PLANS / 'small.yml')
    runs = runs_of('small')
    ours = {'kd', 'pixel_opt', 'distill_opt'}
    seen = set()
    for method in plan.methods:
        opt = copy.deepcopy(runs[f'EDSR_{method}_x4_s1'].options)
        for key in ('name', 'teachers', 'fusion'):
            opt.pop(key, None)
        opt['train'] = {k: v for k, v in opt['train'].items() if k not in ours}
        opt['datasets']['train'].pop('target_cache')
        seen.add(yaml.safe_dump(opt))
    assert len(seen) == 1


def changed_plan(tmp_path, change):
    content = yaml.unsafe_load((PLANS / 'small.yml').read_text())
    content.pop('mtkd_basicsr')
    change(content)
    return read_plan(write_options(tmp_path / 'plan.yml', content))


def test_a_fingerprint_changes_with_the_options_alone(tmp_path):
    before = runs_of('small')
    assert {n: r.fingerprint for n, r in runs_of('small', Path('/elsewhere')).items()} == {
        n: r.fingerprint for n, r in before.items()
    }, 'a folder of results can be moved'

    def other_teacher(plan):
        plan['prepare']['rcan']['train']['total_iter'] = 3000

    after = {run.name: run for run in expand(changed_plan(tmp_path, other_teacher), OUT)}
    changed = {name for name in before if before[name].fingerprint != after[name].fingerprint}
    assert {
        'rcan_x4',
        'cache_teachers_x4',
        'fusion_x4',
        'cache_target_x4',
        'EDSR_MTKD_x4_s0',
        'EDSR_LogitKD_x4_s0',
    } <= changed
    assert not changed & {'edsr_x4', 'swinir_x4'}

    def more_seeds_and_output(plan):
        plan['seeds'].append(3)
        plan['options']['logger']['print_freq'] = 1
        plan['methods']['RKD'] = {'train': {'kd': {'type': 'RKD', 'teacher': 'edsr'}}}

    after = {run.name: run for run in expand(changed_plan(tmp_path, more_seeds_and_output), OUT)}
    assert all(after[name].fingerprint == run.fingerprint for name, run in before.items()), (
        'a plan that grows repeats nothing'
    )


def test_auto_is_bf16_for_what_is_finished(tmp_path):
    """The first results were made with bf16 in the plan, and still count."""
    prints = []
    for value in ('bf16', 'auto', 'fp32'):

        def with_precision(plan, value=value):
            plan['options']['train'].update(amp=value, teacher_precision=value)
            plan['prepare']['fusion']['train']['amp'] = None

        prints.append(
            {
                run.name: run.fingerprint
                for run in expand(changed_plan(tmp_path, with_precision), OUT)
            }
        )
    assert prints[0] == prints[1]
    assert {name for name in prints[0] if prints[0][name] != prints[2][name]} >= {
        'edsr_x4',
        'EDSR_MTKD_x4_s0',
        'EDSR_scratch_x4_s0',
    }


def test_another_file_of_weights_is_another_run(tmp_path):
    weights = tmp_path / 'edsr.pth'

    def external(plan):
        plan['options']['teachers']['edsr']['weights'] = str(weights)

    prints = []
    for content in (b'one', b'two'):
        weights.write_bytes(content)
        prints.append(
            {run.name: run.fingerprint for run in expand(changed_plan(tmp_path, external), OUT)}
        )
    differing = {name for name in prints[0] if prints[0][name] != prints[1][name]}
    assert 'cache_teachers_x4' in differing
    assert 'EDSR_FAKD_x4_s0' in differing
    assert 'edsr_x4' not in differing


@pytest.mark.parametrize(
    ('change', 'error', 'text'),
    [
        (lambda p: p.pop('seeds'), OptionError, "plan: key 'seeds' is missing"),
        (lambda p: p.pop('options'), OptionError, "plan: key 'options' is missing"),
        (lambda p: p.update(options=[1]), OptionError, r'options: \[1\]'),
        (
            lambda p: p.update(studnets={}),
            OptionError,
            "plan: unknown key 'studnets'.*did you mean 'students'",
        ),
        (
            lambda p: p.update(seeds=[0, 0]),
            OptionError,
            r'seeds: \[0, 0\]; expected different whole numbers',
        ),
        (lambda p: p.update(methods={}), OptionError, 'methods: {}; expected a mapping'),
        (
            lambda p: p.update(baseline='scrtach'),
            OptionError,
            "baseline: 'scrtach'.*did you mean 'scratch'",
        ),
        (lambda p: p['methods'].update({'a/b': {}}), OptionError, "methods: the name 'a/b'"),
        (
            lambda p: p['methods']['AT'].update(students='EDSR'),
            OptionError,
            "methods.AT.students: 'EDSR'; expected a list of some of EDSR",
        ),
        (
            lambda p: p['methods']['AT'].update(students=['EDSR', [1]]),
            OptionError,
            r"methods.AT.students: \['EDSR', \[1\]\]; expected a list",
        ),
        (
            lambda p: p['test'].update(Set5={'dataroot_gt': 'x'}),
            OptionError,
            'test.Set5.dataroot_lq: missing',
        ),
        (
            lambda p: p.update(when=[{'scale': 5, 'options': {}}]),
            OptionError,
            r'when\[0\].scale: 5; known: 4',
        ),
        (
            lambda p: p['methods']['AT'].update(when=[{'stduent': 'EDSR', 'options': {}}]),
            OptionError,
            r"methods.AT.when\[0\]: unknown key 'stduent'",
        ),
        (
            lambda p: p['methods']['AT']['train']['kd'].update(type='ATT'),
            OptionError,
            "train.kd.type: unknown method 'ATT'",
        ),
        (
            lambda p: p['methods']['AT']['train']['kd'].update(wieght=1),
            OptionError,
            "train.kd: unknown key 'wieght'.*did you mean 'weight'",
        ),
        (
            lambda p: p['methods']['AT'].update(train={}),
            OptionError,
            'EDSR_AT_x4_s0: train.kd.type: missing',
        ),
        (
            lambda p: p['students']['EDSR']['network_g'].update(type='ESDR'),
            OptionError,
            "network_g.type: unknown arch 'ESDR'",
        ),
        (
            lambda p: p['students']['EDSR']['network_g'].update(num_foo=1),
            OptionError,
            'network_g: EDSR cannot be built.*num_foo',
        ),
        (
            lambda p: p['options']['teachers']['edsr'].update(weights='gone.pth'),
            WeightsError,
            "teachers.edsr.weights: no file 'gone.pth'",
        ),
        (
            lambda p: p['test']['tiles'].update(dataroot_gt='nowhere'),
            DataError,
            "no folder 'nowhere'",
        ),
        (
            lambda p: p['options']['datasets']['val'].update(dataroot_gt='nowhere'),
            DataError,
            "no folder 'nowhere'",
        ),
        (
            lambda p: p['options']['datasets']['train'].update(gt_size=97),
            OptionError,
            'gt_size: 97; expected a multiple of 4',
        ),
        (
            lambda p: p['methods']['MTKD'].pop('datasets'),
            OptionError,
            'target_cache: .* holds teachers .*use two files',
        ),
        (
            lambda p: p['methods']['LogitKD']['train']['kd'].update(teacher='edrs'),
            OptionError,
            "EDSR_LogitKD_x4_s0: train.kd.teacher: 'edrs'; expected the name of a teacher; known: "
            r"swinir, edsr, rcan \(did you mean 'edsr'\?\)",
        ),
        (
            lambda p: p['methods']['FAKD']['train']['kd'].pop('teacher'),
            OptionError,
            'EDSR_FAKD_x4_s0: train.kd.teacher: None; expected the name of a teacher',
        ),
        (
            lambda p: p['methods']['MTKD']['train']['kd'].update(
                also=[{'type': 'FAKD', 'teacher': 'rcna'}]
            ),
            OptionError,
            r"EDSR_MTKD_x4_s0: train.kd.also\[0\].teacher: 'rcna'; .*did you mean 'rcan'",
        ),
        (
            lambda p: p['methods']['AT']['train'].update(total_iter=3000),
            OptionError,
            r'EDSR_AT_x4_s0: train.scheduler.periods: \[2000\]; together they have to last',
        ),
        (
            lambda p: p['students']['EDSR'].update(path={'pretrain_network_g': '{out}/gone.pth'}),
            WeightsError,
            "EDSR_scratch_x4_s0: path.pretrain_network_g: no file '/somewhere/out/gone.pth', and "
            'no run of the plan writes it',
        ),
        (
            lambda p: p['methods']['MTKD'].update(
                when=[{'scale': 4, 'options': {'fusion': {'weights': '{out}/experiments/f/x.pth'}}}]
            ),
            WeightsError,
            "EDSR_MTKD_x4_s0: fusion.weights: no file '/somewhere/out/experiments/f/x.pth', and no",
        ),
        (
            lambda p: (
                p.update(scales=[2, 4]) or p['students']['EDSR']['network_g'].update(upscale=4)
            ),
            OptionError,
            'EDSR_scratch_x2_s0: network_g.upscale: 4; the scale of the run is 2',
        ),
        (
            lambda p: p['options']['teachers']['rcan']['network'].update(upscale=3),
            OptionError,
            'rcan_x4: network_g.upscale: 3; the scale of the run is 4',
        ),
        (
            lambda p: p.update(lq_size=20),
            OptionError,
            'swinir_x4: datasets.train.gt_size: 80, which makes patches of 20 .* windows of 8',
        ),
        (
            lambda p: p['methods'].update(scratch=None),
            OptionError,
            'methods.scratch: None; expected a mapping of options',
        ),
        (
            lambda p: p['methods']['AT'].update(trian={}),
            OptionError,
            r"methods.AT: unknown key 'trian'; .*did you mean 'train'",
        ),
        (
            lambda p: p['students']['EDSR'].update(netwrok_g={}),
            OptionError,
            r"students.EDSR: unknown key 'netwrok_g'; .*did you mean 'network_g'",
        ),
        (
            lambda p: p['prepare']['fusion'].update(model_typ='x'),
            OptionError,
            r"prepare.fusion: unknown key 'model_typ'; .*did you mean 'model_type'",
        ),
        (
            lambda p: p['options'].update(dataset={}),
            OptionError,
            r"options: unknown key 'dataset'; .*did you mean 'datasets'",
        ),
        (
            lambda p: p['test']['tiles'].update(dataroot_hr='x'),
            OptionError,
            r"test.tiles: unknown key 'dataroot_hr'; .*did you mean 'dataroot_lq'",
        ),
        (lambda p: p.pop('test'), OptionError, "plan: key 'test' is missing"),
        (lambda p: p.update(seeds=3), OptionError, 'plan.seeds: 3; expected a list'),
        (lambda p: p.update(seeds=[-1]), OptionError, r'seeds: \[-1\]; expected different whole'),
        (
            lambda p: p.update(seeds=[2**33]),
            OptionError,
            'manual_seed: 8589934592; expected a whole number',
        ),
    ],
)
def test_wrong_plans_are_refused(tmp_path, change, error, text):
    with pytest.raises(error, match=text):  # noqa: PT012
        plan = changed_plan(tmp_path, change)
        check(plan, expand(plan, OUT), OUT)


def test_a_class_in_a_plan_is_refused(tmp_path):
    """No option file of a run could hold it."""
    text = (PLANS / 'small.yml').read_text()
    layer = '      norm_layer: !!python/name:torch.nn.modules.normalization.LayerNorm\n'
    block = '  EDSR:\n    network_g:\n'
    changed = text.replace(block, block + layer)
    assert changed != text
    (tmp_path / 'plan.yml').write_text(changed)
    plan = read_plan(tmp_path / 'plan.yml')
    with pytest.raises(OptionError, match=r'norm_layer: a class or function, which the option f'):
        check(plan, expand(plan, OUT), OUT)


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
    """The plan of the page about comparisons, in a folder with the data that it names."""
    folder = tmp_path_factory.mktemp('mine')
    (folder / 'photos').mkdir()
    for name in ('rocket', 'coffee', 'chelsea'):
        image = load(name)[100:220, 120:264, ::-1]
        cv2.imwrite(str(folder / 'photos' / f'{name}.png'), image)
    prepare_data(folder / 'photos', folder / 'datasets' / 'mine', validation=1, workers=1)
    page = (ROOT / 'docs' / 'comparing.md').read_text()
    text = re.search('```yaml\n(mtkd_basicsr: .*?)```', page, re.DOTALL)[1]
    assert 35 <= len(text.splitlines()) <= 60
    (folder / 'plan.yml').write_text(text)
    shutil.copy(ROOT / 'options' / 'reference' / 'compare.yml', folder / 'compare.yml')
    return folder


def test_the_plan_of_the_page_and_that_of_the_reference_teachers(mine, here):
    for file, methods in (
        ('plan.yml', ('scratch', 'LogitKD', 'MTKD')),
        ('compare.yml', ('scratch', 'LogitKD', 'FAKD', 'MTKD')),
    ):
        listed = here('compare', '-opt', file, '--list', cwd=mine)
        students = {f'EDSR_{method}_x4_s{seed}' for method in methods for seed in (0, 1)}
        others = {'fusion_x4', 'cache_teachers_x4', 'cache_target_x4', 'references_x4'}
        assert set(re.findall(r'--only (\S+)', listed)) == students | others
    assert not (mine / 'compare').exists()


def test_one_step_of_the_trainings_of_the_page(mine, photographs, tmp_path):
    runs = expand(read_plan(mine / 'plan.yml'), OUT)
    for run in runs:
        if run.kind == 'prepare' or run.seed == 0:
            assert one_step(copy.deepcopy(run.options), photographs, tmp_path)['l_pix'] > 0


@pytest.mark.parametrize(
    ('old', 'new', 'text'),
    [
        (
            "GTmod12, dataroot_lq: 'datasets/mine/val/LRbicx{scale}'}",
            "GTmod12, dataroot_lq: 'datasets/mine/val/LRbicx2'}",
            'test.mine: 1 ground truths are not 4 times as large as their low-resolution images',
        ),
        (
            "GTmod12, dataroot_lq: 'datasets/mine/val/LRbicx{scale}'}",
            'GTmod12, dataroot_lq: datasets/mine/train/LRbicx4}',
            'test.mine: BasicSR cannot list its images: .* different number of images',
        ),
        (
            "datasets/mine/val/GTmod12, dataroot_lq: 'datasets/mine/val/LRbicx{scale}'}",
            'datasets, dataroot_lq: datasets}',
            "test.mine.dataroot_gt: 'datasets' has no images",
        ),
        (
            'datasets/mine/train/GTmod12',
            'datasets/mine/train/LRbicx2',
            'datasets.train: 2 ground truths are not 4 times as large',
        ),
        (
            'lq_size: 24 ',
            'lq_size: 48 ',
            r'fusion_x4: datasets.train.gt_size: 2 images are smaller than a patch of 192 pixels',
        ),
        (
            "dataroot_lq: 'datasets/mine/val/LRbicx{scale}', io",
            "dataroot_lq: 'datasets/mine/val/LRbicx3', io",
            'fusion_x4: datasets.val: 1 ground truths are not 4 times as large',
        ),
    ],
)
def test_images_are_looked_at_before_the_first_run(mine, old, new, text, monkeypatch, tmp_path):
    content = (mine / 'plan.yml').read_text()
    assert old in content
    (tmp_path / 'wrong.yml').write_text(content.replace(old, new))
    monkeypatch.chdir(mine)
    plan = read_plan(tmp_path / 'wrong.yml')
    with pytest.raises(DataError, match=text):
        check(plan, expand(plan, OUT), OUT)


def test_a_plan_can_be_based_on_another(tmp_path):
    (tmp_path / 'small.yml').write_text((PLANS / 'small.yml').read_text())
    top = {
        'name': 'ablation',
        'base': 'small.yml',
        'seeds': [0],
        'options': {'train': {'ema_decay': 0.5}},
        'methods': {
            'scratch': {'train': {'kd': {'type': 'Scratch'}}},
            'L1': {'train': {'kd': {'type': 'LogitKD', 'teacher': 'rcan'}}},
        },
    }
    write = (tmp_path / 'top.yml').write_text
    write(yaml.safe_dump(top))
    plan = read_plan(tmp_path / 'top.yml')
    small = read_plan(tmp_path / 'small.yml')
    assert (plan.name, plan.base, plan.seeds, set(plan.methods)) == (
        'ablation',
        'small',
        [0],
        {'scratch', 'L1'},
    )
    assert plan.students == small.students
    assert plan.options['train']['ema_decay'] == 0.5
    assert plan.options['train']['total_iter'] == 2000
    assert plan.lq_size == 24
    top['options'] = {}
    write(yaml.safe_dump(top))
    before, after = (
        {run.name: run for run in expand(read_plan(tmp_path / name), OUT)}
        for name in ('small.yml', 'top.yml')
    )
    shared = set(before) & set(after)
    assert 'EDSR_scratch_x4_s0' in shared
    assert 'cache_teachers_x4' in shared
    assert 'EDSR_L1_x4_s0' not in shared
    assert all(before[name].fingerprint == after[name].fingerprint for name in shared), (
        'what is done is done for both'
    )
    for change, text in (
        ({'name': 'small'}, "name: 'small' is also the name of the base"),
        ({'base': 3}, 'base: 3; expected the file'),
        ({'base': 'gone.yml'}, "no file '.*gone.yml'"),
        ({'base': 'top.yml'}, "base: 'top.yml' has a base itself"),
    ):
        write(yaml.safe_dump({**top, **change}))
        with pytest.raises(OptionError, match=text):
            read_plan(tmp_path / 'top.yml')


def test_entries_laid_over_those_of_the_base(tmp_path):
    (tmp_path / 'small.yml').write_text((PLANS / 'small.yml').read_text())

    def plan_with(**blocks):
        (tmp_path / 'top.yml').write_text(
            yaml.safe_dump({'name': 'top', 'base': 'small.yml', **blocks})
        )
        return read_plan(tmp_path / 'top.yml')

    small = read_plan(tmp_path / 'small.yml')
    level_2 = {'base': 'MTKD', 'train': {'distill_opt': {'level': 2}}}
    plan = plan_with(
        methods={'scratch': {'base': 'scratch'}, 'level-2': level_2},
        test={'tiles': {'base': 'tiles'}},
    )
    assert plan.methods['scratch'] == small.methods['scratch']
    assert plan.test['tiles'] == small.test['tiles']
    above = plan.methods['level-2']
    below = small.methods['MTKD']
    assert above['train']['distill_opt'] == {**below['train']['distill_opt'], 'level': 2}
    assert above['train']['kd'] == below['train']['kd']
    assert above['datasets'] == below['datasets']
    assert 'base' not in above
    for key, name, text in (
        ('methods', 'MTKDD', r"methods.x.base: 'MTKDD'; known: .*did you mean 'MTKD'"),
        ('students', ['EDSR'], 'known: EDSR'),
        ('prepare', 'fusoin', "did you mean 'fusion'"),
    ):
        with pytest.raises(OptionError, match=text):
            plan_with(**{key: {'x': {'base': name}}})
    smaller = {'network_g': {'num_feat': 8}}
    with pytest.raises(OptionError, match=r'students.EDSR: no network_g.type, .* add base: EDSR$'):
        plan_with(students={'EDSR': smaller})
    plan = plan_with(students={'EDSR': {'base': 'EDSR', **smaller}, 'tiny': smaller})
    assert plan.students['EDSR']['network_g'] == {
        **small.students['EDSR']['network_g'],
        'num_feat': 8,
    }
    # All trainings can have an arch in common.
    plan = plan_with(options={'network_g': {'type': 'EDSR'}}, students={'EDSR': smaller})
    assert plan.students['EDSR'] == smaller
    with pytest.raises(
        OptionError, match=r"methods.x.base: 'MTKD'; allowed only in a plan that has a base itself"
    ):
        changed_plan(tmp_path, lambda p: p['methods'].update(x={'base': 'MTKD'}))


@pytest.mark.parametrize('name', ['ablation', 'fusion', 'long', 'rate', 'search', 'start'])
def test_our_plans_train_nothing_of_their_base_anew(name):
    base = runs_of('reference')
    top = runs_of(name)
    shared = set(base) & set(top)
    assert 'cache_teachers_x4' in shared
    assert [run for run in shared if base[run].fingerprint != top[run].fingerprint] == []


def test_a_file_that_a_method_reads_belongs_to_the_plan(tmp_path):
    """A missing one is found before the first run, and another one is another training."""
    path = tmp_path / 'vqgan.ckpt'

    def with_encoder(plan):
        kd = {'type': 'DCKD', 'teacher': 'edsr', 'encoder_weights': str(path)}
        plan['methods']['DCKD'] = {'train': {'kd': kd}}

    plan = changed_plan(tmp_path, with_encoder)
    runs = expand(plan, OUT)
    with pytest.raises(WeightsError, match=r"EDSR_DCKD_x4_s0: .*encoder_weights: no file '"):
        check(plan, runs, OUT)
    write_vqgan(path)
    check(plan, runs, OUT)
    before = {run.name: run.fingerprint for run in expand(plan, OUT)}
    write_vqgan(path, seed=1)
    after = {run.name: run.fingerprint for run in expand(plan, OUT)}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f'EDSR_DCKD_x4_s{seed}' for seed in (0, 1, 2)}


def test_a_student_starts_from_the_one_of_its_own_seed():
    runs = runs_of('start')
    started = [run for run in runs.values() if run.config.pretrained_network is not None]
    assert len(started) == 4 * 3 * 3
    for run in started:
        start = f'{run.student}_truth-half_x4_s{run.seed}'
        path = f'{OUT}/experiments/{start}/models/net_g_latest.pth'
        assert run.config.pretrained_network == path
        assert run.options['path']['param_key_g'] == 'params_ema'
        assert start in run.after
        assert not {other for other in run.after if 'truth-half' in other} - {start}
        first, second = (runs[name].options['train'] for name in (start, run.name))
        whole = runs[f'{run.student}_scratch_x4_s{run.seed}'].options['train']
        assert first['total_iter'] + second['total_iter'] == whole['total_iter']
        for train in (first, second):
            assert train['scheduler']['periods'] == [train['total_iter']]
    names = list(runs)
    assert all(names.index(o) < names.index(run.name) for run in started for o in run.after)
    (text,) = other_starts(Results(read_plan(PLANS / 'start.yml'), {}, {}, runs, [], {}))
    assert ': truth-twice, truth-LogitKD, truth-FAKD, truth-MTKD. ' in text.text
    plan = read_plan(PLANS / 'long.yml')
    assert list(other_starts(Results(plan, {}, {}, runs_of('long'), [], {}))) == []


def test_what_a_student_starts_from_has_to_be_made(tmp_path):
    def start_from(name):
        def change(plan):
            path = f'{{out}}/experiments/{{student}}_{name}_x{{scale}}_s{{seed}}/models/last.pth'
            plan['methods']['LogitKD']['path'] = {'pretrain_network_g': path}

        return changed_plan(tmp_path, change)

    plan = start_from('scratch')
    runs = expand(plan, OUT)
    check(plan, runs, OUT)
    before = {run.name: run.fingerprint for run in runs}

    def longer(content):
        content['methods']['LogitKD']['path'] = {
            'pretrain_network_g': plan.methods['LogitKD']['path']['pretrain_network_g']
        }
        content['methods']['scratch']['train']['total_iter'] = 77

    after = {run.name: run.fingerprint for run in expand(changed_plan(tmp_path, longer), OUT)}
    different = {name for name in before if before[name] != after[name]}
    assert different == {f'EDSR_{m}_x4_s{s}' for m in ('scratch', 'LogitKD') for s in (0, 1, 2)}

    plan = start_from('scrach')
    with pytest.raises(WeightsError, match='path.pretrain_network_g: no file .*no run of the plan'):
        check(plan, expand(plan, OUT), OUT)
    with pytest.raises(OptionError, match='these runs wait for each other: EDSR_LogitKD_x4_s0'):
        expand(start_from_another(tmp_path), OUT)


def start_from_another(tmp_path):
    """A plan in which two methods start from each other."""

    def change(plan):
        for method, other in (('LogitKD', 'AT'), ('AT', 'LogitKD')):
            path = f'{{out}}/experiments/EDSR_{other}_x4_s{{seed}}/models/net_g_latest.pth'
            plan['methods'][method]['path'] = {'pretrain_network_g': path}

    return changed_plan(tmp_path, change)


def test_a_method_for_some_of_the_students(tmp_path):
    def two_students(plan):
        plan['students']['wide'] = {
            'network_g': {**plan['students']['EDSR']['network_g'], 'num_feat': 24}
        }

    before = {run.name: run for run in expand(changed_plan(tmp_path, two_students), OUT)}

    def restricted(plan):
        two_students(plan)
        plan['methods']['AT']['students'] = ['wide']

    after = {run.name: run for run in expand(changed_plan(tmp_path, restricted), OUT)}
    assert set(before) - set(after) == {f'EDSR_AT_x4_s{seed}' for seed in (0, 1, 2)}
    assert all(
        before[name].fingerprint == run.fingerprint and before[name].options == run.options
        for name, run in after.items()
    )


def test_self_ensemble_belongs_to_the_cache(tmp_path):
    def change(plan):
        plan['methods']['MTKD+'] = {**plan['methods']['MTKD'], 'self_ensemble': True}

    with pytest.raises(
        OptionError,
        match='holds target without self_ensemble for .*, and target with self_ensemble here; use '
        'two files',
    ):
        expand(changed_plan(tmp_path, change), OUT)

    def two_files(plan):
        change(plan)
        plan['methods']['MTKD+']['datasets'] = {
            'train': {'target_cache': '{out}/caches/eight_x{scale}.lmdb'}
        }

    runs = {run.name: run for run in expand(changed_plan(tmp_path, two_files), OUT)}
    assert runs['cache_eight_x4'].self_ensemble
    assert not runs['cache_target_x4'].self_ensemble
    assert runs['cache_eight_x4'].fingerprint != runs['cache_target_x4'].fingerprint
    assert 'cache_eight_x4' in runs['EDSR_MTKD+_x4_s0'].after
    assert 'self_ensemble' not in runs['EDSR_MTKD+_x4_s0'].options


def test_fusion_networks_can_be_compared(tmp_path):
    def fusion(plan):
        plan['students'] = {
            'fusion': {
                'model_type': 'MTKDFusionModel',
                'train': {'distill_opt': None},
                'network_g': plan['options']['fusion']['network'],
            }
        }
        plan['methods'] = {name: {'network_g': {'skip': name}} for name in ('adaptive', 'mean')}
        plan.update(
            baseline='mean',
            prepare={name: plan['prepare'][name] for name in ('swinir', 'edsr', 'rcan')},
        )

    plan = changed_plan(tmp_path, fusion)
    runs = {run.name: run for run in expand(plan, OUT)}
    check(plan, list(runs.values()), OUT)
    assert runs['fusion_mean_x4_s0'].options['network_g']['skip'] == 'mean'
    assert 'cache_teachers_x4' in runs['fusion_mean_x4_s0'].after
    assert 'fusion' not in runs['fusion_mean_x4_s0'].options


def test_the_small_plan_passes_the_check():
    """It raises nothing; with one wrong key it does."""
    plan = read_plan(PLANS / 'small.yml')
    runs = expand(plan, OUT)
    check(plan, runs, OUT)
    student = next(run for run in runs if run.kind == 'student')
    student.options['network_g']['num_faet'] = 1
    with pytest.raises(OptionError, match='num_faet'):
        check(plan, runs, OUT)


def one_of_each():
    names = ('small', 'paper', 'reference', 'fusion', 'search', 'rate', 'ablation', 'long', 'start')
    for name in (*names, '../reference/compare'):
        for run in runs_of(name).values():
            if (run.kind == 'student' and run.seed in (0, 10)) or (
                run.kind == 'prepare' and name not in names[3:]
            ):
                yield pytest.param(run, id=f'{name.replace("../", "")}-{run.name}')


@pytest.mark.parametrize('run', list(one_of_each()))
def test_one_step_of_every_training(run, photographs, tmp_path):
    log = one_step(copy.deepcopy(run.options), photographs, tmp_path)
    kd = run.options['train'].get('kd', {})
    names = [
        kd.get('type'),
        *(other if isinstance(other, str) else other['type'] for other in kd.get('also', ())),
    ]
    assert {'l_pix'}.union(*(EXTRA.get(name, ()) for name in names)) <= log.keys()
