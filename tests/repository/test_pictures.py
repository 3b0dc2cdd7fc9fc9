"""The pictures of README.md and docs/results.md: what they show, and how their parts are chosen."""

import copy
import csv
import importlib
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import ROOT

from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.utils.images import psnr_y
from mtkd_basicsr.utils.resources import weights_file

ELSEWHERE = 'CPU, 1 threads, AVX2; torch 2.9.0, Python 3.12.1, mtkd_basicsr 0.1.0'


@pytest.fixture(scope='module')
def scripts():
    """Import a script of benchmarks/ by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'benchmarks'))
        yield importlib.import_module


@pytest.fixture(scope='module')
def equal_seconds(scripts):
    return scripts('equal_seconds')


@pytest.fixture(scope='module')
def first_screen(scripts):
    return scripts('first_screen')


@pytest.fixture(scope='module')
def measured(scripts):
    """What is finished of the plan that is drawn."""
    return scripts('tables').results_of('long')


@pytest.fixture
def results(measured):
    """A fresh copy of it."""
    return copy.deepcopy(measured)


@pytest.fixture(scope='module')
def costs(scripts):
    """The cost of a step as it is on record."""
    return scripts('headline').read_costs()


def prepared_seconds():
    with open(ROOT / 'docs' / 'results' / 'preparation.csv', newline='') as file:
        rows = [row for row in csv.DictReader(file) if row['plan'] == 'long']
    return {row['done_once']: float(row['seconds']) for row in rows}


def moved(cell):
    """A cell that was measured on another machine, which takes three times as long."""
    curves = [[(i, 3 * seconds, psnr) for i, seconds, psnr in curve] for curve in cell.curves]
    return replace(cell, curves=curves, machines=[ELSEWHERE] * len(cell.machines))


def courses(panels, student):
    (found,) = (panel.courses for panel in panels if panel.student == student)
    return found


def test_a_curve_begins_where_the_caches_of_its_method_are_done(equal_seconds, results, costs):
    panels = equal_seconds.panels_of(results, costs)
    found = courses(panels, 'SwinIR')
    once = prepared_seconds()
    assert set(once) == {'cache_teachers_x4', 'fusion_x4', 'cache_target_x4'}
    assert found['scratch+3.5x'].preparation == 0
    for method in ('MTKD+3.5x', 'MTKD+FAKD'):
        assert found[method].preparation == pytest.approx(sum(once.values()), abs=2)
        assert found[method].fused
    for method in ('FAKD', 'DUKD', 'LogitKD+3.5x'):
        assert found[method].preparation == pytest.approx(once['cache_teachers_x4'] / 3, abs=1)
        assert not found[method].fused
    assert f'{found["MTKD+3.5x"].preparation:,.0f} s' in equal_seconds.caption(results, panels)


def test_a_step_of_a_variant_costs_what_one_of_its_method_does(equal_seconds):
    ratios = {'LogitKD': 1.05, 'MTKD': 1.07, 'MTKD+FAKD': 3.1}
    costs = [equal_seconds.cost_of(name, ratios) for name in ('LogitKD-edsr+3.5x', 'MTKD+FAKD')]
    assert costs == [1.05, 3.1]
    assert equal_seconds.cost_of('AT-edsr', ratios) is None


def test_seconds_are_those_of_the_baseline_times_the_cost_of_a_step(equal_seconds, results, costs):
    found = courses(equal_seconds.panels_of(results, costs), 'RCAN')
    alone = results.cells['RCAN', 4, 'scratch+3.5x'].mean_seconds()
    assert found['scratch+3.5x'].seconds[-1] == pytest.approx(alone, rel=0.01)
    ratios = costs['RCAN']['ratios']
    for method, share in (('MTKD+3.5x', ratios['MTKD']), ('FAKD', ratios['FAKD'] * 4 / 14)):
        assert found[method].seconds[-1] == pytest.approx(alone * share, rel=0.01)
    # Whatever machine a method was trained on.
    key = 'RCAN', 4, 'MTKD+3.5x'
    results.cells[key] = moved(results.cells[key])
    there = courses(equal_seconds.panels_of(results, costs), 'RCAN')['MTKD+3.5x']
    assert list(there.seconds) == pytest.approx(list(found['MTKD+3.5x'].seconds))
    assert list(there.mean) == list(found['MTKD+3.5x'].mean)


def test_what_does_not_compare_is_left_out_and_named(equal_seconds, results, costs, tmp_path):
    known = copy.deepcopy(costs)
    del known['RCAN']['ratios']['MTKD']
    panels = equal_seconds.panels_of(results, known)
    assert courses(panels, 'RCAN')['MTKD+3.5x'] is None
    assert courses(panels, 'EDSR')['MTKD+3.5x'] is not None
    text = equal_seconds.caption(results, panels)
    assert re.search(r'Without .*RCAN MTKD\+3\.5x.*, whose cost was not measured', text)
    # Nor is anything known of the seconds here of a cache from there.
    results.prepared_machines['fusion_x4'] = ELSEWHERE
    panels = equal_seconds.panels_of(results, costs)
    assert courses(panels, 'EDSR')['MTKD+3.5x'] is None
    assert courses(panels, 'EDSR')['scratch+3.5x'] is not None
    equal_seconds.draw(results, panels, tmp_path / 'a.png')
    assert cv2.imread(str(tmp_path / 'a.png')) is not None


def test_seconds_of_other_seeds_are_not_mixed_in(equal_seconds, results, costs):
    key = 'SwinIR', 4, 'scratch+3.5x'
    cell = results.cells[key]
    curves = [moved(cell).curves[0], *cell.curves[1:]]
    machines = [ELSEWHERE, *cell.machines[1:]]
    results.cells[key] = replace(cell, curves=curves, machines=machines)
    found = courses(equal_seconds.panels_of(results, costs), 'SwinIR')['scratch+3.5x']
    ends = [curve[-1][1] for curve in cell.curves[1:]]
    assert found.seconds[-1] == pytest.approx(np.mean(ends))
    assert found.mean[-1] == pytest.approx(np.mean([curve[-1][2] for curve in cell.curves]))


def test_what_is_finished_is_drawn_the_same_each_time(equal_seconds, results, costs, tmp_path):
    for key in list(results.cells):
        if key[0] == 'RCAN' or key[2] == 'scratch+3.5x':
            del results.cells[key]
    pictures = []
    for name in ('a.png', 'b.png'):
        panels = equal_seconds.panels_of(results, costs)
        equal_seconds.draw(results, panels, tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert [panel.student for panel in panels] == ['EDSR', 'SwinIR']
    assert pictures[0] == pictures[1]


def test_the_square_is_where_the_ground_truth_is_sharpest(first_screen):
    photo = first_screen.photograph('coffee')
    blurred = cv2.GaussianBlur(photo, (0, 0), 6)
    blurred[240:304, 320:384] = photo[240:304, 320:384]
    _, y, x = first_screen.sharpest_square(blurred)
    assert abs(y - 240) <= 4
    assert abs(x - 320) <= 4
    # Edges of clipped pixels are stronger than any others, and do not count.
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = 255
    blurred[:64, :64] = stripes
    assert first_screen.sharpest_square(blurred)[1:] == (y, x)


def test_the_photographs_are_chosen_by_their_ground_truths_alone(first_screen):
    photographs = {name: first_screen.photograph(name) for name in first_screen.PHOTOGRAPHS}
    chosen = first_screen.choose(photographs)
    strengths = {name: first_screen.sharpest_square(p)[0] for name, p in photographs.items()}
    least = min(strengths[name] for name in chosen)
    assert all(least >= strengths[name] for name in strengths if name not in chosen)
    assert len(chosen) == 2
    # One without its edges is passed over, and nothing else changes.
    first, second = chosen
    photographs[first] = cv2.GaussianBlur(photographs[first], (0, 0), 6)
    changed = first_screen.choose(photographs)
    assert first not in changed
    assert changed[second] == chosen[second]


def test_a_missing_file_with_weights_is_named(first_screen, tmp_path, monkeypatch, capsys):
    shutil.copy(
        weights_file('reference:student_swinir_x4', 'weights'),
        tmp_path / 'SwinIR_scratch_32000_x4.safetensors',
    )
    out = tmp_path / 'picture.png'
    arguments = ['first_screen.py', '--weights', str(tmp_path), '--out', str(out)]
    monkeypatch.setattr('sys.argv', arguments)
    assert first_screen.main() == 1
    said = capsys.readouterr().err
    assert str(tmp_path / 'SwinIR_LogitKD_32000_x4.safetensors') in said
    assert 'scratch' not in said
    assert not out.exists()


def test_each_column_says_whose_output_it_shows(first_screen, tmp_path):
    student = weights_file('reference:student_swinir_x4', 'weights')
    for method in ('scratch', 'LogitKD'):
        shutil.copy(student, tmp_path / f'SwinIR_{method}_32000_x4.safetensors')
    truth = np.ascontiguousarray(load('chelsea')[80:176, 120:216, ::-1])
    columns = first_screen.columns_of({'chelsea': truth}, tmp_path)
    assert [column.name for column in columns] == [
        'ground truth',
        'bicubic',
        'from scratch',
        'Basic KD',
        'MTKD',
        'EDSR',
    ]
    assert columns[4].note == '79 k parameters'
    assert columns[5].note == '1.22 M parameters'
    quality = [psnr_y(column.outputs['chelsea'], truth, 4) for column in columns[1:]]
    assert all(value > quality[0] + 0.5 for value in quality[1:])
    assert quality[1] == quality[3], 'the same weights in the place of all students'


def test_crops_are_shown_pixel_by_pixel(first_screen, tmp_path):
    truth = first_screen.photograph('coffee')
    outputs = {'coffee': cv2.GaussianBlur(truth, (0, 0), 2)}
    columns = [
        first_screen.Column('', 'ground truth', '', '#000000', {'coffee': truth}),
        first_screen.Column('', 'blurred', '', '#000000', outputs),
    ]
    first_screen.draw(columns, {'coffee': (100, 200)}, tmp_path / 'a.png')
    picture = cv2.imread(str(tmp_path / 'a.png'))
    zoom, size = first_screen.ZOOM, first_screen.SIZE
    for j, image in enumerate((truth, outputs['coffee'])):
        left = first_screen.MARGIN + j * (size * zoom + first_screen.GAP)
        top = first_screen.HEAD
        shown = picture[top : top + size * zoom, left : left + size * zoom]
        pixels = shown[zoom // 2 :: zoom, zoom // 2 :: zoom]
        crop = image[100 : 100 + size, 200 : 200 + size]
        # The frame covers the outermost pixels.
        assert np.array_equal(pixels[1:-1, 1:-1], crop[1:-1, 1:-1])
    assert tuple(picture[0, 0]) == (255, 255, 255), 'not transparent, for dark pages'


def test_the_diagram_is_drawn_the_same_each_time(scripts, tmp_path):
    stages = scripts('stages')
    for name in ('a.png', 'b.png'):
        stages.draw(tmp_path / name)
    assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()
    picture = cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED)
    assert picture.shape[:2] == (2 * stages.HEIGHT, 2 * stages.WIDTH)
    assert (picture[0, 0] == 255).all(), 'neither transparent nor dark, for dark pages'
