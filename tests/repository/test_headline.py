"""The table of the README compares what it says."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

from mtkd_basicsr.commands.compare.results import Cell, Results


@pytest.fixture
def headline(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    return importlib.import_module('headline')


def cell(level, seeds=(0, 1, 2), images=30, spread=0.01):
    noise = np.random.default_rng(0)
    values = {}
    for name in ('Set5', 'B100'):
        psnr = level + spread * noise.standard_normal((len(seeds), images))
        values[name] = np.stack([psnr, np.full_like(psnr, 0.8)], -1)
    return Cell(
        values=values,
        seeds=list(seeds),
        precisions=[{'student': 'fp32'}] * len(seeds),
        seconds=[100.0] * len(seeds),
        machines=['CPU; torch 2'] * len(seeds),
    )


def results(cells, iterations):
    """Results of a plan with one student: method -> cell, method -> iterations."""
    plan = SimpleNamespace(
        scales=[4], students={'EDSR': {}}, methods=dict.fromkeys(cells), seeds=[0, 1, 2]
    )
    runs = {}
    for method, number in iterations.items():
        options = {'train': {'total_iter': number}}
        runs[method] = SimpleNamespace(student='EDSR', scale=4, method=method, options=options)
    return Results(plan, {('EDSR', 4, name): c for name, c in cells.items()}, {}, runs, [], {})


def found(long, reference):
    return {
        'long': results(long, dict.fromkeys(long, 14000)),
        'reference': results(reference, dict.fromkeys(reference, 4000)),
    }


def test_won_level_and_lost(headline):
    long = {
        'MTKD+3.5x': cell(27.0),
        'scratch+3.5x': cell(26.9),
        'LogitKD+3.5x': cell(27.0),
        'AT+3.5x': cell(27.2),
    }
    matches = headline.matches(found(long, {}), 'EDSR', 4)
    verdicts = {rival: matches[rival, '14,000'].verdict for rival, _ in matches}
    assert verdicts == {'scratch': 'won', 'LogitKD': 'level', 'AT': 'lost'}
    assert matches['scratch', '14,000'].gains['B100'][0] == pytest.approx(0.1, abs=0.01)
    assert matches['LogitKD', '14,000'].p == 1


def test_what_another_seed_may_turn_around_is_level(headline):
    images = [27.0 + i / 10 for i in range(30)]
    other = cell(26.9)
    ours = cell(27.0)
    for seed, shift in enumerate((-0.1, 0.0, 0.11)):
        for name in ('Set5', 'B100'):
            other.values[name][seed, :, 0] = images
            ours.values[name][seed, :, 0] = [psnr + shift for psnr in images]
    long = {'MTKD+3.5x': ours, 'scratch+3.5x': other}
    match = headline.matches(found(long, {}), 'EDSR', 4)['scratch', '14,000']
    assert match.p < 1e-5
    assert match.verdict == 'level'


def test_the_other_method_gets_about_as_much_time(headline):
    reference = {'AT': cell(26.5), 'DUKD': cell(26.6)}
    long = {'MTKD+3.5x': cell(27.0), 'AT+3.5x': cell(27.1)}
    matches = headline.matches(found(long, reference), 'EDSR', 4)
    costs = headline.costs_of('EDSR')
    assert set(matches) == {('AT', '14,000'), ('AT', 'time'), ('DUKD', 'time')}
    # After 4,000 iterations AT has had too little time.
    assert matches['AT', 'time'].iterations == 14000
    assert matches['AT', 'time'].time == pytest.approx(costs['AT'] / costs['MTKD'])
    assert matches['AT', 'time'].verdict == 'lost'
    assert matches['DUKD', 'time'].time == pytest.approx(costs['DUKD'] / costs['MTKD'] / 3.5)
    assert matches['DUKD', 'time'].verdict == 'won'
    lines = {rival: headline.lines_of(matches, rival, 3) for rival in ('AT', 'DUKD', 'FAKD')}
    assert lines['AT'].startswith('14,000 (×1.8): **lost** -0.10')
    assert '<br>' not in lines['AT']
    assert lines['DUKD'].startswith('14,000: –<br>4,000 (×0.9): **won** +0.40')
    assert lines['FAKD'] == '–'


def test_a_training_that_is_far_too_short_is_not_compared(headline):
    assert headline.as_long([(0.79, 'short')]) is None
    assert headline.as_long([(0.3, 'short'), (1.1, 'long'), (3.0, 'longest')]) == (1.1, 'long')
    assert headline.as_long([]) is None


def test_both_plans_are_compared(headline, page_tables):
    long = {'MTKD+3.5x': cell(27.0), 'DUKD+3.5x': cell(26.9)}
    reference = {'MTKD': cell(26.5), 'DUKD': cell(26.7)}
    both = found(long, reference)
    matches = headline.matches(both, 'EDSR', 4)
    assert {key: match.verdict for key, match in matches.items()} == {
        ('DUKD', '4,000'): 'lost',
        ('DUKD', '14,000'): 'won',
        ('DUKD', 'time'): 'won',
    }
    lines = headline.lines_of(matches, 'DUKD', 3).split('<br>')
    assert [line.partition(' ')[0] for line in lines] == ['14,000', '4,000']
    table = page_tables.early(both)[0]
    assert {row[0]: row[1] for row in table.rows}['DUKD'].startswith('**lost** -0.20 ± ')


def test_the_same_trainings_are_tested_once(headline):
    """Basic KD has as much time as MTKD after as many iterations."""
    long = {'MTKD+3.5x': cell(27.0), 'LogitKD+3.5x': cell(26.99, spread=0.02)}
    matches = headline.matches(found(long, {}), 'EDSR', 4)
    ours, theirs = (long[f'{name}+3.5x'].values['B100'][..., 0] for name in ('MTKD', 'LogitKD'))
    alone = headline.signed_rank_test(ours.mean(0) - theirs.mean(0))
    assert [matches['LogitKD', how].p for how in ('14,000', 'time')] == [alone, alone]
    assert 0 < alone < 1


def test_only_common_seeds_are_compared_and_few_are_said(headline):
    long = {'MTKD+3.5x': cell(27.0), 'scratch+3.5x': cell(26.9, seeds=(1,))}
    matches = headline.matches(found(long, {}), 'EDSR', 4)
    match = matches['scratch', '14,000']
    assert match.seeds == 1
    assert match.verdict == 'ahead'
    assert headline.in_a_cell(match, 3).endswith(', 1 of 3 seeds')
    assert headline.in_a_cell(None, 3) == '–'


@pytest.mark.parametrize('seeds', [(0,), (0, 2)])
@pytest.mark.parametrize(
    ('level', 'verdict'), [(27.1, 'behind'), (27.015, 'level'), (27.0, 'level')]
)
def test_few_seeds_neither_win_nor_lose(headline, level, verdict, seeds):
    long = {'MTKD+3.5x': cell(27.0), 'AT+3.5x': cell(level, seeds=seeds)}
    matches = headline.matches(found(long, {}), 'EDSR', 4)
    assert matches['AT', '14,000'].verdict == verdict


def test_other_precisions_are_marked(headline):
    other = cell(26.9)
    other.precisions = [{'student': 'bf16'}] * 3
    long = {'MTKD+3.5x': cell(27.0), 'scratch+3.5x': other}
    match = headline.matches(found(long, {}), 'EDSR', 4)['scratch', '14,000']
    assert headline.in_a_cell(match, 3).endswith(' †')


def test_what_is_missing_is_a_dash(headline):
    table, note = headline.headline(found({'MTKD+3.5x': cell(27.0)}, {'DUKD': cell(26.6)}))
    rows = {row[0]: row[1] for row in table.rows}
    assert rows['no teacher'] == rows['Basic KD'] == '–'
    assert rows['DUKD'].startswith('14,000: –<br>4,000 (×0.9): **won**')
    assert '–: not trained yet' in note.text


@pytest.fixture
def page_tables(headline):
    return importlib.import_module('page_tables')


def test_a_long_training_stands_beside_its_references(page_tables):
    long = {'scratch+3.5x': cell(26.9), 'MTKD+3.5x': cell(27.0, spread=0)}
    long |= {'LogitKD-edsr+3.5x': cell(26.96, seeds=(0,)), 'LogitKD+3.5x': cell(26.98, (0, 2))}
    both = found({'FAKD': cell(26.0), **long}, {})
    images = {'bicubic': 25.0, 'teacher edsr': 27.5, 'teacher rcan': 27.6, 'fused teachers': 27.7}
    both['reference'].references[4] = {
        name: {'Set5': (psnr + 2, 0.8), 'B100': (psnr, 0.8)} for name, psnr in images.items()
    }
    table, note = page_tables.converged(both)
    rows = dict(table.rows)
    assert list(rows) == [
        *('bicubic', 'its teacher', 'target of MTKD', 'no teacher', 'MTKD'),
        *('Basic KD', 'Basic KD from EDSR'),
    ]
    assert rows['its teacher'] == '29.50 / 27.50'
    assert rows['MTKD'] == '27.00 ± 0.00 / 27.00 ± 0.00'
    assert rows['Basic KD'].count('±') == 2
    assert rows['Basic KD'].endswith(' (2)')
    assert rows['Basic KD from EDSR'].endswith(' (1)')
    assert 'Set5 / B100' in note.text
