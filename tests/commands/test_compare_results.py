"""What is read from logs and results of tests, against values worked out by hand."""

import csv
import math

import numpy as np
import pytest
import torch
from conftest import ROOT, dataset, tiny

from mtkd_basicsr.commands.compare import collection
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.precision_records import recorded
from mtkd_basicsr.commands.compare.report import tables
from mtkd_basicsr.commands.compare.report.crops import most_different_images, most_different_square
from mtkd_basicsr.commands.compare.report.differences import differences
from mtkd_basicsr.commands.compare.report.document import (
    Heading,
    Picture,
    Table,
    Text,
    markdown,
    page,
)
from mtkd_basicsr.commands.compare.report.figures import bars_caption, curves, curves_caption
from mtkd_basicsr.commands.compare.report.published import published
from mtkd_basicsr.commands.compare.report.spreadsheets import write_csv
from mtkd_basicsr.commands.compare.report.timing import Timing
from mtkd_basicsr.commands.compare.report.verdict import verdicts
from mtkd_basicsr.commands.compare.report.write import introduction
from mtkd_basicsr.commands.compare.results import Cell, Results, paired_psnr
from mtkd_basicsr.commands.compare.runs import Run
from mtkd_basicsr.config import parse_datasets
from mtkd_basicsr.errors import DataError
from mtkd_basicsr.evaluation.measure import bicubic, cost, iter_images, measure
from mtkd_basicsr.evaluation.statistics import HIGHEST_PSNR, gain
from mtkd_basicsr.weights.networks import build


def cell(psnr, seeds=(0, 1, 2), name='Set5'):
    values = np.stack([np.array(psnr, float), np.full(np.shape(psnr), 0.8)], -1)
    names = {name: [f'i{k}' for k in range(values.shape[1])]}
    return Cell(
        {name: values},
        names,
        list(seeds),
        [[(10, 1.0, 28.0), (20, 2.0, 29.0)]] * len(seeds),
        [10.0, 11.0, 12.0][: len(seeds)],
    )


def test_statistics_by_hand():
    scratch = cell([[28.0, 30.0], [29.0, 31.0], [30.0, 32.0]])
    better = cell([[28.5, 30.1], [29.1, 31.5], [30.5, 32.4]])
    mean, deviation, ssim, ssim_deviation = scratch.summary('Set5')
    assert (mean, deviation) == (30.0, 1.0)
    assert (ssim, ssim_deviation) == (
        pytest.approx(0.8),
        pytest.approx(0),
    )
    mean, deviation = gain(*paired_psnr(better, scratch, 'Set5'))
    assert mean == pytest.approx(0.35)
    assert deviation == pytest.approx(np.sqrt((0.05**2 + 0.05**2 + 0.1**2) / 2))
    better.curves[2] = [(10, 1.0, 27.0), (20, 2.0, 30.5)]
    assert better.validation() == (pytest.approx(29.5), pytest.approx(np.sqrt(0.75)))
    better.curves[1] = []
    assert better.validation() is None, 'a training without validation'
    assert cell([[28.0, 30.0]], seeds=(0,)).summary('Set5')[1] is None
    assert paired_psnr(cell([[28.0, 30.0]], seeds=(5,)), scratch, 'Set5') is None, (
        'no seed in common'
    )
    other_order = cell([[38.0, 40.0], [28.0, 30.0]], seeds=(2, 0))
    first, second = paired_psnr(other_order, scratch, 'Set5')
    assert first.tolist() == [[38.0, 40.0], [28.0, 30.0]]
    assert second.tolist() == [[30.0, 32.0], [28.0, 30.0]], 'the same seeds, in the same order'


def test_differences_by_hand():
    base = np.arange(28.0, 36.0)
    cells = {
        'scratch': cell([base, base], (0, 1)),
        'AT': cell([base + np.arange(1, 9) / 10, base + np.arange(1, 9) / 20], (0, 1)),
        'MTKD': cell([base + np.arange(1, 9), base + np.arange(1, 9)], (0, 1)),
    }
    rows = tables.significance(results_of(cells), cells, 'Set5').rows
    assert rows[1] == ['AT', '+0.338 ± 0.159 (p 0.023)', '–', '-4.162 ± 0.159 (p 0.023)'], (
        'three comparisons of p 2 / 2^8 each'
    )
    assert rows[2][1:] == ['+4.500 ± 0.000 (p 0.023)', '+4.162 ± 0.159 (p 0.023)', '–']
    found = differences(cells, 'scratch', 'Set5')
    assert list(found) == [('AT', 'scratch'), ('MTKD', 'scratch'), ('MTKD', 'AT')], (
        'each comparison once'
    )
    assert found['AT', 'scratch'].mean == pytest.approx(0.3375)
    assert found['AT', 'scratch'].p == pytest.approx(3 * 2 / 2**8)
    cells['FAKD'] = cell([base], (7,))
    assert list(differences(cells, 'scratch', 'Set5')) == list(found), 'no seed in common'
    assert differences({'AT': cells['AT']}, 'scratch', 'Set5') == {}, 'nothing to compare with'


def results_of(cells, **changes):
    plan = read_plan(ROOT / 'options' / 'compare' / 'small.yml')
    object.__setattr__(plan, 'test', {'Set5': {}})
    return Results(
        plan,
        {('EDSR', 4, m): c for m, c in cells.items()},
        {4: {'bicubic': {'Set5': (28.42, 0.81)}}},
        {},
        [],
        {},
        **changes,
    )


def test_tables(tmp_path):
    results = results_of(
        {
            'scratch': cell([[28.0, 30.0], [29.0, 31.0], [30.0, 32.0]]),
            'MTKD': cell([[27.0, 29.0], [28.0, 30.0], [29.0, 31.0]]),
            'AT': cell([[28.0, 31.0]], seeds=(1,)),
        }
    )
    ((student, scale, cells),) = results.groups()
    assert list(cells) == ['scratch', 'AT', 'MTKD'], 'the order of the plan'
    table = tables.quality(results, student, scale, cells)
    rows = {row[0]: row for row in table.rows}
    assert rows['bicubic'][1] == '28.42 / 0.8100'
    assert rows['scratch'][1] == '30.00 ± 1.00 / 0.8000 ± 0.0000'
    assert rows['MTKD'][2] == '-1.000 ± 0.000', 'seed by seed: AT has seed 1 alone'
    assert rows['AT'][2] == '-0.500', 'seed by seed: AT has seed 1 alone'
    assert [rows[m][-3] for m in ('bicubic', 'scratch', 'AT')] == [
        '–',
        '29.000 ± 0.000',
        '29.000',
    ], 'the last point of the curves'
    assert table.best == {(1, 1)}, 'losers are in the table, the best is marked'
    short = tables.summary(results, 4)
    assert short.header == ['×4: PSNR, dB', 'EDSR, Set5']
    assert short.best == {(1, 1)}
    assert short.rows == [
        ['bicubic', '28.42'],
        ['scratch', '30.00 ± 1.00'],
        ['AT', '29.50 (1 of 3 seeds)'],
        ['MTKD', '29.00 ± 1.00'],
    ]
    timed = tables.summary(results, 4, seconds=True)
    assert timed.header == ['×4: PSNR, dB', 'EDSR, Set5', 'EDSR, training, s']
    assert timed.best == {(1, 1)}
    assert [row[2] for row in timed.rows] == ['–', '11', '10', '11']
    assert tables.significance(results, cells, 'Set5').rows[2][1] == '-1.000 ± 0.000 (p –)'
    cells['AT'] = cell([[38.0, 41.0]], seeds=(1,))
    ahead = results_of(cells)
    assert (
        tables.quality(ahead, student, scale, cells).best == tables.summary(ahead, 4).best == set()
    ), 'one seed against three'
    many = {**cells, **{f'm{i}': cells['AT'] for i in range(8)}}
    wide = tables.significance(results, many, 'Set5')
    assert len(wide.rows) == 11
    assert wide.header == ['', '− scratch']
    assert wide.rows[2][1] == '-1.000 ± 0.000 (p –)'
    summary, images = write_csv(results, tmp_path)
    lines = list(csv.DictReader(summary.open()))
    found = [(line['method'], float(line['psnr']), line['seeds']) for line in lines]
    assert lines[1]['validation_psnr'] == '29.0'
    assert lines[1]['validation_psnr_std'] == ''
    assert found == [('scratch', 30.0, '3'), ('AT', 29.5, '1'), ('MTKD', 29.0, '3')]
    assert len(list(csv.DictReader(images.open()))) == 3 * 2 + 2 + 3 * 2


def images(*gains, count=8):
    """A cell for each seed whose images are better than 28 to 35 dB by a gain, growing a little."""
    base = np.arange(28.0, 28.0 + count)
    return cell([base + gain + np.arange(count) / 1000 for gain in gains], range(len(gains)))


@pytest.mark.parametrize(
    ('cells', 'expected'),
    [
        (
            {'scratch': images(0, 0), 'AT': images(0.1, 0.1), 'MTKD': images(0.5, 0.5)},
            [
                'EDSR ×4: MTKD is best on Set5, 0.500 dB over scratch (significant, p 0.023) and '
                '0.400 dB over AT (significant, p 0.023), the second.'
            ],
        ),
        (
            {
                'scratch': images(0, 0),
                'MTKD': cell([np.arange(28.0, 36) + [3, -1] * 4] * 2, (0, 1)),
            },
            ['EDSR ×4: MTKD is best on Set5, 0.997 dB over scratch (not significant, p 0.31).'],
        ),
        (
            {'scratch': images(0.5, count=5), 'AT': images(0.1, count=5)},
            [
                'EDSR ×4: no method gains on Set5: scratch, the baseline, is best, 0.400 dB '
                'over AT (5 images are too few for a test).',
                'One seed of each method: ',
            ],
        ),
        (
            {'scratch': images(0, 0), 'AT': images(0.1, 0.1), 'MTKD': images(0.5)},
            ['EDSR ×4: MTKD leads on Set5 with 1 of 2 seeds, too few to tell.'],
        ),
        ({'MTKD': images(0.5, 0.5)}, ['EDSR ×4: only MTKD is finished.']),
        (
            {'AT': images(0.1, 0.1), 'MTKD': images(0.5, 0.5)},
            [
                'EDSR ×4: MTKD is best on Set5, 0.400 dB over AT (significant, p '
                '0.0078), the second.'
            ],
        ),
    ],
)
def test_the_first_sentence_says_who_is_best(cells, expected):
    results = results_of(cells)
    found = list(verdicts(results))
    assert len(found) == len(expected)
    for text, beginning in zip(found, expected, strict=True):
        assert text.startswith(beginning)
    title, first, *_ = introduction(results)
    assert first.text == found[0]


@pytest.mark.parametrize(('psnr', 'is_said'), [(99.0, True), (1.0, False)])
def test_students_below_bicubic_are_no_comparison(psnr, is_said):
    results = results_of({'scratch': images(0, 0), 'AT': images(0.1, 0.1)})
    results.references[4] = {'bicubic': {'Set5': (psnr, 1.0)}}
    said = [text for text in verdicts(results) if 'below bicubic enlargement on Set5' in text]
    assert bool(said) == is_said


def test_methods_with_different_seeds_are_not_ranked():
    cells = {'scratch': images(2), 'LogitKD': images(0, 3), 'AT': images(0, 0)}
    first = next(verdicts(results_of(cells)))
    assert first == 'EDSR ×4: scratch leads on Set5 with 1 of 2 seeds, too few to tell.'
    cells['LogitKD'] = images(2, 3)
    first = next(verdicts(results_of(cells)))
    assert first == (
        'EDSR ×4: LogitKD leads on Set5, but not all methods have its seeds, too few to tell.'
    )


@pytest.fixture
def assembled(monkeypatch):
    """Combine results of a student with several methods and seeds: (method, seed) -> images."""
    monkeypatch.setattr(collection, 'has_all_sets', lambda *_: True)
    monkeypatch.setattr(collection, 'evaluation_sets', lambda test, *_: test)

    def assemble(values, curve=((10, 1.0, 28.0), (20, 2.0, 29.0)), bicubic_psnr=None):
        plan = results_of({}).plan
        found = []
        for (method, seed), psnr in values.items():
            run = Run(f'{method}_s{seed}', 'student', 4, {}, 'EDSR', method, seed)
            tested = {
                'machine': 'CPU',
                'training_seconds': 1.0,
                'curve': [list(point) for point in curve],
                'precision': {'student': 'fp32'},
                'results': {method: {'Set5': {name: [v, 0.9] for name, v in psnr.items()}}},
            }
            found.append((run, tested))
        if bicubic_psnr is not None:
            results = {'bicubic': {'Set5': {name: [v, 0.9] for name, v in bicubic_psnr.items()}}}
            tested = {'machine': 'CPU', 'results': results}
            found.append((Run('references_x4', 'references', 4, {}), tested))
        return collection.assemble(plan, found, None)

    return assemble


def test_equal_images_have_a_finite_psnr(assembled, tmp_path):
    names = 'abcdefgh'
    values = {
        (method, seed): {name: 28.0 + i + gain for i, name in enumerate(names)}
        for method, gain in (('scratch', 0.0), ('AT', 0.5))
        for seed in (0, 1)
    }
    for psnr in values.values():
        psnr['white'] = math.inf
    curve = [(10, 1.0, 28.0), (20, 2.0, math.inf)]
    results = assembled(values, curve, {**values['scratch', 0], 'a': 1.0})
    ((_, _, cells),) = results.groups()
    assert cells['AT'].values['Set5'][:, -1, 0].tolist() == [HIGHEST_PSNR] * 2
    assert cells['AT'].validation() == (HIGHEST_PSNR, 0)
    said = list(verdicts(results))
    assert said[0].startswith('EDSR ×4: AT is best on Set5, 0.444 dB over scratch (significant, p')
    assert not any('below bicubic' in text for text in said)
    table = tables.significance(results, cells, 'Set5')
    assert 'nan' not in str(table.rows)
    assert 'inf' not in str([*table.rows, *tables.quality(results, 'EDSR', 4, cells).rows])
    curves(results, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').stat().st_size


def test_images_are_compared_by_their_names(assembled):
    values = {
        ('scratch', 0): {'a': 28.0, 'b': 30.0},
        ('scratch', 1): {'b': 31.0, 'a': 29.0},
        ('AT', 0): {'b': 30.5, 'a': 28.5},
    }
    ((_, _, cells),) = assembled(values).groups()
    assert cells['scratch'].values['Set5'][..., 0].tolist() == [[28.0, 30.0], [29.0, 31.0]]
    assert cells['AT'].values['Set5'][..., 0].tolist() == [[28.5, 30.5]]
    assert {tuple(cell.names['Set5']) for cell in cells.values()} == {('a', 'b')}
    for other in ({'a': 1.0, 'c': 2.0}, {'a': 1.0}, {'a': 1.0, 'b': 2.0, 'c': 3.0}):
        with pytest.raises(DataError, match=r'test.Set5: scratch_s0 and AT_s0 were measured on'):
            assembled({**values, ('AT', 0): other})


def test_an_image_that_is_reproduced_counts_with_a_finite_psnr(photographs):
    val = parse_datasets(
        {'datasets': {'val': {**dataset(photographs, 'val', 2), 'phase': 'val', 'scale': 2}}}
    )
    measured = measure(lambda lq: bicubic(lq, 2), val['val'], 2, 'cpu')
    assert all(0 < psnr < 50 for psnr, _ in measured.values())
    truths = iter([gt for _, _, gt in iter_images(val['val'])])
    measured = measure(lambda lq: next(truths), val['val'], 2, 'cpu')
    assert [psnr for psnr, _ in measured.values()] == [HIGHEST_PSNR] * len(measured)


def test_results_of_a_test_set_that_the_plan_no_longer_has_are_left_out():
    results = results_of({'scratch': images(0, 0), 'AT': images(0.1, 0.1)})
    before = list(verdicts(results))
    results.references[4] = {'bicubic': {'Set5': (1.0, 1.0), 'B100': (99.0, 1.0)}}
    assert list(verdicts(results)) == before


def test_seeds_are_spoken_of_where_there_are_several():
    several = results_of({'scratch': images(0, 0), 'AT': images(0.1, 0.1)})
    single = results_of({'scratch': images(0), 'AT': images(0.1)})
    for results, expected in ((several, True), (single, False)):
        texts = [block.text for block in introduction(results) if isinstance(block, Text)]
        captions = bars_caption(results), curves_caption(results)
        for text in (*captions, next(text for text in texts if text.startswith('Scales'))):
            assert ('over seeds' in text) == expected
        assert any(text.startswith('One seed of each') for text in texts) != expected


@pytest.mark.parametrize(('count', 'methods', 'p'), [(5, 2, '–'), (6, 2, '0.031'), (6, 3, '–')])
def test_a_p_that_cannot_be_significant_is_not_given(count, methods, p):
    names = ('scratch', 'AT', 'MTKD')[:methods]
    cells = {name: images(i / 10, count=count) for i, name in enumerate(names)}
    results = results_of(cells)
    assert tables.significance(results, cells, 'Set5').rows[1][1] == f'+0.100 (p {p})'
    reason = tables.too_few_images(results, cells)
    if p == '–':
        comparisons = {2: 1, 3: 3}[methods]
        least = f'{comparisons * 2 / 2**count:.2g}'
        assert reason == (
            f'No p for too few images: Set5 has {count}: with {comparisons} comparisons, p cannot '
            f'be below {least}.'
        )
    else:
        assert reason == ''


def test_images_on_which_methods_are_equal_are_not_counted():
    """Five images that differ never give a p below 0.06, however many others there are."""
    base = np.arange(28.0, 43.0)
    five = np.where(np.arange(15) < 5, 0.1 + np.arange(15) / 100, 0)
    cells = {'scratch': cell([base], (0,)), 'AT': cell([base + five], (0,))}
    results = results_of(cells)
    found = differences(cells, 'scratch', 'Set5')['AT', 'scratch']
    assert found.images == 5
    assert found.p == found.smallest == pytest.approx(0.0625)
    assert not found.is_testable
    assert tables.significance(results, cells, 'Set5').rows[1][1] == '+0.040 (p –)'
    assert tables.too_few_images(results, cells) == (
        'No p for too few images: of the 15 of Set5, AT and scratch differ on 5.'
    )
    first = next(iter(verdicts(results)))
    assert 'over scratch (only 5 of 15 images differ, too few for a test)' in first
    # The others of a table are tested.
    cells['MTKD'] = cell([base + 0.5 + np.arange(15) / 1000], (0,))
    found = differences(cells, 'scratch', 'Set5')
    testable = {pair: difference.is_testable for pair, difference in found.items()}
    assert testable == {
        ('AT', 'scratch'): False,
        ('MTKD', 'scratch'): True,
        ('MTKD', 'AT'): True,
    }
    assert found['MTKD', 'scratch'].smallest == pytest.approx(3 * 2 / 2**15)
    assert found['AT', 'scratch'].smallest == pytest.approx(0.0625)


ONE = 'CPU, 1 threads, AVX2; torch 2.14.1, Python 3.11.7, mtkd_basicsr 0.1.0'
NEWER = 'CPU, 1 threads, AVX2; torch 2.14.1, Python 3.12.1, mtkd_basicsr 0.2.0'
TWO = 'CPU, 2 threads, AVX2; torch 2.14.1, Python 3.11.7, mtkd_basicsr 0.1.0'
GPU = 'NVIDIA H100, native bfloat16; torch 2.14.1, Python 3.11.7, mtkd_basicsr 0.1.0'


def timed(*machines, precision='fp32'):
    made = images(*[0.0] * len(machines))
    made.machines = list(machines)
    made.precisions = [{'student': precision}] * len(machines)
    return made


@pytest.mark.parametrize(
    ('cells', 'marks', 'said'),
    [
        ([timed(ONE, ONE), timed(NEWER, ONE), timed(ONE)], ['', '', ''], ''),
        (
            [timed(ONE), timed(ONE), timed(TWO)],
            ['', '', ' (a)'],
            'Seconds are on CPU, 1 thread, AVX2, torch 2.14.1; (a) on CPU, 2 threads, AVX2, torch '
            '2.14.1. ',
        ),
        (
            [timed(TWO), timed(GPU), timed(TWO, GPU)],
            ['', ' (a)', ' (b)'],
            'Seconds are on CPU, 2 threads, AVX2, torch 2.14.1; (a) on NVIDIA H100, native '
            'bfloat16, torch 2.14.1; (b) on CPU, 2 threads, AVX2, torch 2.14.1 and NVIDIA H100, '
            'native bfloat16, torch 2.14.1. ',
        ),
        (
            [timed(ONE), timed(ONE), timed(ONE, precision='bf16')],
            ['', '', ' (a)'],
            'Seconds are on CPU, 1 thread, AVX2, torch 2.14.1, fp32; (a) on CPU, 1 thread, AVX2, '
            'torch 2.14.1, bf16. ',
        ),
    ],
)
def test_seconds_that_do_not_compare_are_marked(cells, marks, said):
    results = results_of(dict(zip(('scratch', 'AT', 'MTKD'), cells, strict=True)))
    ((student, scale, found),) = results.groups()
    quality = tables.quality(results, student, scale, found)
    seconds = [row[-2] for row in quality.rows[1:]]
    assert [text.partition(' ')[1] + text.partition(' ')[2] for text in seconds] == marks
    summary = tables.summary(results, 4, seconds=True)
    assert [row[2] for row in summary.rows[1:]] == seconds
    note = Timing.of(results).note
    assert note.startswith(said) if said else note == ''
    assert ('do not all compare' in curves_caption(results)) == bool(said)
    (total,) = tables.preparation(results).rows
    assert total[1].endswith(' (mixed)') == bool(said)


def test_seconds_of_caches_are_marked_too():
    results = results_of({'scratch': timed(ONE)})
    results.prepared.update(cache_a=3.0, cache_b=4.0)
    results.prepared_machines.update(cache_a=ONE, cache_b=TWO)
    rows = tables.preparation(results).rows
    assert [row[1] for row in rows[:2]] == ['3', '4 (a)']
    assert '(a) on CPU, 2 threads' in Timing.of(results).note


def with_precisions(values, *precisions):
    made = cell(values, seeds=range(len(values)))
    made.precisions = list(precisions)
    return made


BF16 = {'student': 'bf16'}
FP32 = {'student': 'fp32'}


def test_rows_of_mixed_precisions_are_marked_and_named(tmp_path):
    three = [[28.0, 30.0], [29.0, 31.0], [30.0, 32.0]]
    scratch = with_precisions(three, FP32, FP32, FP32)
    results = results_of(
        {
            'scratch': scratch,
            'AT': with_precisions(
                three,
                {**FP32, 'teachers': 'bf16', 'features': 'fp32'},
                {**FP32, 'teachers': 'bf16'},
                FP32,
            ),
            'FAKD': with_precisions(three, FP32, BF16, FP32),
            'DUKD': with_precisions(three, BF16, BF16, BF16),
            'MTKD': with_precisions(
                three,
                {**FP32, 'teachers': 'fp32'},
                {**FP32, 'teachers': 'fp32'},
                {**FP32, 'teachers': 'bf16'},
            ),
        }
    )
    assert results.mixed() == {
        ('EDSR', 4, 'FAKD'): 'student fp32 (seed 0, 2); student bf16 (seed 1)',
        ('EDSR', 4, 'DUKD'): 'student bf16, the baseline student fp32',
        (
            'EDSR',
            4,
            'MTKD',
        ): 'student fp32, teachers fp32 (seed 0, 1); student fp32, teachers bf16 (seed 2)',
    }
    ((student, scale, cells),) = results.groups()
    expected = ['bicubic', 'scratch', 'AT', 'FAKD †', 'DUKD †', 'MTKD †']
    assert [row[0] for row in tables.quality(results, student, scale, cells).rows] == expected
    assert [row[0] for row in tables.summary(results, 4).rows] == expected
    said = [block.text for block in introduction(results) if 'PRECISIONS' in block.text]
    assert len(said) == 1
    assert said[0].startswith(
        'MIXED PRECISIONS, marked †: EDSR ×4, FAKD: student fp32 (seed 0, 2); student bf16'
    )
    assert 'EDSR ×4, DUKD: student bf16, the baseline student fp32' in said[0]
    assert ' AT: ' not in said[0]
    lines = {
        line['method']: line for line in csv.DictReader(write_csv(results, tmp_path)[0].open())
    }
    assert lines['FAKD']['precision'] == 'student fp32 | student bf16', (
        'a file for programs has no marks'
    )


def test_rows_of_one_precision_are_not():
    results = results_of(
        {name: with_precisions([[28.0, 30.0]], BF16) for name in ('scratch', 'AT')}
    )
    assert results.mixed() == {}
    assert not any('PRECISIONS' in block.text for block in introduction(results))
    alone = results_of({'AT': with_precisions([[28.0, 30.0]], BF16)})
    assert alone.mixed() == {}, 'no baseline, and nothing that differs'


@pytest.mark.parametrize(
    ('train', 'machine', 'cache', 'expected'),
    [
        (
            {'amp': 'bf16', 'teacher_precision': 'bf16'},
            'CPU, 1 threads',
            None,
            {'student': 'bf16', 'teachers': 'bf16'},
        ),
        (
            {'amp': 'auto', 'teacher_precision': 'auto'},
            'CPU, 1 threads',
            None,
            {'student': 'bf16', 'teachers': 'bf16'},
        ),
        ({}, 'CPU, 1 threads', None, {'student': 'fp32', 'teachers': 'fp32'}),
        ({}, 'NVIDIA H100', None, {'student': 'fp32', 'teachers': 'bf16'}),
        (
            {'teacher_precision': 'fp32'},
            'NVIDIA H100',
            None,
            {'student': 'fp32', 'teachers': 'fp32'},
        ),
        (
            {'amp': 'bf16', 'teacher_precision': 'bf16'},
            'CPU, 1 threads',
            'targets.lmdb',
            {'student': 'bf16', 'teachers': 'fp32'},
        ),
    ],
)
def test_results_without_a_record(train, machine, cache, expected):
    """Those of version 0.1.0: what their option file meant then."""
    options = {
        'model_type': 'MTKDModel',
        'train': train,
        'datasets': {'train': {'target_cache': cache}},
    }
    result = {'kind': 'student', 'machine': machine, 'options': options}
    assert recorded(result) == expected
    scratch = {**options, 'train': {**train, 'kd': {'type': 'Scratch'}}}
    assert recorded({**result, 'options': scratch}) == {'student': expected['student']}
    assert recorded({**result, 'precision': FP32}) == FP32, 'a record is what was'
    assert recorded({**result, 'kind': 'references'}) == {}


def test_published_figures_only_where_student_scale_and_test_set_are_the_same():
    swinir = {
        'type': 'SwinIR',
        'embed_dim': 60,
        'depths': [6, 6, 6, 6],
        'upsampler': 'pixelshuffle',
    }
    sets = {'Set5': 5, 'B100': 100, 'Manga109': 109}
    found = published(swinir, 4, sets)
    assert found['FAKD'] == {'Set5': 32.22, 'B100': 27.61}, 'DUKD is published on Urban100 alone'
    assert 'DUKD' not in found, 'DUKD is published on Urban100 alone'
    assert published(swinir, 4, {'urban100': 100})['DUKD'] == {'urban100': 26.43}
    assert published(swinir, 2, sets) == {} == published({**swinir, 'embed_dim': 32}, 4, sets)
    assert published(swinir, 4, {'Set5': 3}) == {}, 'another set of the same name'
    assert published({'type': 'EDSR', 'num_feat': 64, 'num_block': 16}, 4, {'Set14': 14}) == {
        'scratch': {'Set14': 28.58}
    }


def test_multiply_adds_by_hand():
    found = cost(
        build(tiny('EDSR', 2, num_feat=8, num_block=1), 'x'), 2, torch.rand(1, 3, 12, 16), 'cpu'
    )
    pixels = 640 * 360
    by_hand = 9 * pixels * (3 * 8 + 3 * 8 * 8 + 8 * 32) + 9 * 4 * pixels * 8 * 3
    assert found['macs'] == by_hand
    assert found['parameters'] == sum(
        9 * i * o + o for i, o in ((3, 8), *[(8, 8)] * 3, (8, 32), (8, 3))
    )
    assert 0 < found['milliseconds'] < 1e4
    literature = {
        'type': 'EDSR',
        'num_in_ch': 3,
        'num_out_ch': 3,
        'num_feat': 64,
        'num_block': 16,
        'upscale': 4,
    }
    assert cost(build(literature, 'x'), 4, torch.rand(1, 3, 8, 8), 'cpu')['macs'] == pytest.approx(
        114.2e9, rel=1e-3
    )
    assert cost(build(tiny('DCTSwin', 2), 'x'), 2, torch.rand(1, 3, 16, 16), 'cpu')['macs'] > 1e8


def test_places_where_methods_differ():
    columns = {m: np.zeros((100, 120, 3), np.float32) for m in 'abc'}
    columns['b'][30:50, 70:90] = 9.0
    y, x, size = most_different_square(columns, 'abc')
    assert size == 64
    assert y <= 30
    assert y + 64 >= 50
    assert x <= 70
    assert x + 64 >= 90
    assert most_different_square({m: c[:40, :50] for m, c in columns.items()}, 'abc') == (0, 0, 40)
    cells = {'a': cell([[28.0, 28.0, 28.0]], (0,)), 'b': cell([[28.5, 30.0, 28.1]], (0,))}
    assert most_different_images(cells, 2) == [('Set5', 'i1'), ('Set5', 'i0')]


def test_document(tmp_path):
    from PIL import Image

    Image.new('RGB', (4, 4)).save(tmp_path / 'a.png')
    blocks = [
        Heading('T <1>', 1),
        Text('a & b'),
        Table(['m', 'v'], [['x|y', '1'], ['z', '2']], frozenset({(1, 1)})),
        Picture(tmp_path / 'a.png', 'caption'),
    ]
    text = markdown(blocks)
    html = page(blocks)
    assert '# T <1>\n' in text
    assert '| x\\|y | 1 |\n| z | **2** |' in text
    assert '![caption](a.png)' in text
    assert '<h1>T &lt;1&gt;</h1>' in html
    assert 'a &amp; b' in html
    assert '<td class=best>2</td>' in html
    assert 'src="data:image/png;base64,' in html, 'opens without a server'
    assert 'http' not in html, 'opens without a server'
