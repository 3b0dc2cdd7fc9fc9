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
    return Cell(values=values, seeds=list(seeds), precisions=[{'student': 'fp32'}] * len(seeds))


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
    verdicts = {rival: matches[rival, 'iterations'].verdict for rival, _ in matches}
    assert verdicts == {'scratch': 'won', 'LogitKD': 'level', 'AT': 'lost'}
    assert matches['scratch', 'iterations'].gains['B100'][0] == pytest.approx(0.1, abs=0.01)
    assert matches['LogitKD', 'iterations'].p == 1


def test_the_other_method_gets_as_many_seconds(headline):
    """A step of AT takes 3.0 times as long, one of DUKD 6.3 times, by what is on record."""
    reference = {'AT': cell(26.5), 'DUKD': cell(26.6), 'LogitKD': cell(26.8)}
    long = {'MTKD+3.5x': cell(27.0), 'AT+3.5x': cell(27.1)}
    matches = headline.matches(found(long, reference), 'EDSR', 4)
    costs = headline.costs_of('EDSR')
    assert set(matches) == {('AT', 'iterations'), ('AT', 'seconds'), ('DUKD', 'seconds')}
    own = 14000 * costs['MTKD']
    # 14,000 iterations of AT take three times as long.
    assert matches['AT', 'iterations'].verdict == 'lost'
    assert matches['AT', 'seconds'].time == pytest.approx(4000 * costs['AT'] / own)
    assert 0.8 < matches['AT', 'seconds'].time < 1
    assert matches['AT', 'seconds'].verdict == 'won'
    assert matches['DUKD', 'seconds'].time == pytest.approx(4000 * costs['DUKD'] / own)
    assert matches['DUKD', 'seconds'].time > 1
    assert matches['DUKD', 'seconds'].verdict == 'won'


def test_a_training_that_is_far_too_short_is_not_compared(headline):
    pairs = [(4000, 'short'), (14000, 'long')]
    assert headline.as_long(pairs[:1], 14000, 1.0) is None
    assert headline.as_long(pairs, 14000, 1.0) == (1.0, 'long')
    assert headline.as_long(pairs[:1], 14000, 3.0)[1] == 'short'
    assert headline.as_long([], 14000, 1.0) is None


def test_only_common_seeds_are_compared_and_few_are_said(headline):
    long = {'MTKD+3.5x': cell(27.0), 'scratch+3.5x': cell(26.9, seeds=(1,))}
    matches = headline.matches(found(long, {}), 'EDSR', 4)
    match = matches['scratch', 'iterations']
    assert match.seeds == 1
    assert headline.in_a_cell(match, 3).endswith(', 1 of 3 seeds')
    assert headline.in_a_cell(None, 3) == '–'


def test_other_precisions_are_marked(headline):
    other = cell(26.9)
    other.precisions = [{'student': 'bf16'}] * 3
    long = {'MTKD+3.5x': cell(27.0), 'scratch+3.5x': other}
    match = headline.matches(found(long, {}), 'EDSR', 4)['scratch', 'iterations']
    assert headline.in_a_cell(match, 3).endswith(' †')


def test_what_is_missing_is_a_dash(headline):
    table, note = headline.headline(found({'MTKD+3.5x': cell(27.0)}, {'DUKD': cell(26.6)}))
    rows = {row[0]: row[1] for row in table.rows}
    assert rows['no teacher'] == rows['Basic KD'] == '–'
    assert rows['DUKD'].startswith('iterations: –<br>seconds: **won**')
    assert '–: not trained yet' in note.text
