"""A comparison takes the results of version 0.1.0 as finished."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

RUNS = {
    'edsr_x2',
    'fusion_x2',
    'cache_target',
    'cache_teachers',
    'references_x2',
    'small_scratch_x2_s0',
    'small_MTKD_x2_s0',
}


def change_scratch(plan):
    # YAML may have given another block the same mapping.
    scratch = plan['methods']['scratch']
    scratch['train'] = {**scratch['train'], 'ema_decay': 0.5}


def change_self_ensemble(plan):
    plan['methods']['MTKD']['self_ensemble'] = False


def change_images(plan):
    block = plan['options']['datasets']['train']
    shutil.copytree(block['dataroot_gt'], 'other_images')
    block['dataroot_gt'] = 'other_images'


def change_test_sets(plan):
    plan['test'] = {'another': plan['test']['two']}


@pytest.fixture
def finished(here, version_0_1_0):
    """Names of the runs of ``plan.yml`` that are finished, after a change of it.

    What they made is in its place, as far as it is looked at: caches, and files of networks.
    """
    for name in ('teachers', 'target'):
        shutil.copytree(f'{name}.lmdb', f'compared/caches/{name}.lmdb')
    for name in RUNS:
        if not name.startswith(('cache', 'references')):
            models = Path('compared', 'experiments', name, 'models')
            models.mkdir(parents=True)
            models.joinpath('net_g_latest.pth').touch()

    def names(change=lambda plan: None):
        plan = yaml.safe_load(Path('plan.yml').read_text(encoding='utf-8'))
        change(plan)
        Path('plan.yml').write_text(yaml.safe_dump(plan, sort_keys=False), encoding='utf-8')
        listed = here('compare', '-opt', 'plan.yml', '--out', 'compared', '--list')
        return set(re.findall(r'^# finished: (\S+)', listed, re.M))

    return names


def test_nothing_is_done_again(version_0_1_0, here):
    before = {path.name: path.read_bytes() for path in Path('compared/results').iterdir()}
    assert {Path(name).stem for name in before} == RUNS
    printed = here('compare', '-opt', 'plan.yml', '--out', 'compared')
    assert f"'golden': {len(RUNS)} runs, {len(RUNS)} finished before" in printed
    assert 'NOT FINISHED' not in printed
    after = {path.name: path.read_bytes() for path in Path('compared/results').iterdir()}
    assert after == before
    assert not Path('compared/experiments').exists()
    report = Path('compared/report/report.md').read_text(encoding='utf-8')
    for row in ('scratch', 'MTKD', 'teacher edsr', 'fused teachers, self-ensemble'):
        assert f'| {row} |' in report


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (lambda plan: None, RUNS),
        (change_scratch, RUNS - {'small_scratch_x2_s0'}),
        (
            change_self_ensemble,
            RUNS - {'cache_target', 'references_x2', 'small_MTKD_x2_s0'},
        ),
        (change_images, set()),
        (
            change_test_sets,
            RUNS - {'references_x2', 'small_scratch_x2_s0', 'small_MTKD_x2_s0'},
        ),
    ],
)
def test_what_has_changed_is_not_finished(finished, change, expected):
    assert finished(change) == expected


def test_what_a_changed_method_needs_is_not_finished_where_it_is_gone(version_0_1_0, finished):
    shutil.rmtree('compared/caches/target.lmdb')
    assert finished() == RUNS
    expected = RUNS - {'small_MTKD_x2_s0', 'cache_target'}
    assert finished(lambda plan: plan['methods']['MTKD']['train'].update(ema_decay=0.5)) == expected
