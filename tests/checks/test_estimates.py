"""The arithmetic of what a training costs, and its parts against what they are made of."""

import math

import numpy as np
import pytest
import torch
from conftest import parsed, with_cache
from helpers.trainings import model_of

from mtkd_basicsr.checks import bill, timings
from mtkd_basicsr.checks.bill import check_costs, measure_steps, validations
from mtkd_basicsr.checks.cost import checkpoints
from mtkd_basicsr.checks.estimates import Bill, Part, cache_bytes, duration, extrapolate, on_line
from mtkd_basicsr.checks.findings import Findings
from mtkd_basicsr.data.cache.format import array_names, bytes_needed, shape_of
from mtkd_basicsr.data.cache.inputs import CachedImage, CacheInput
from mtkd_basicsr.data.cache.key import CacheKey
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.distillers import training_config

CPU = torch.device('cpu')


def test_a_bill_is_the_sum_of_its_parts():
    steps = Part('steps', 500_000, 'iterations', 0.9)
    teachers = Part('teachers', 2267.0, 'megapixels', 12.5, extrapolated=True)
    first = Bill((steps,), (('checkpoints', 3e9),))
    whole = first + Bill((teachers,), (('cache', 27e9),))
    assert whole.seconds == 500_000 * 0.9 + 2267 * 12.5
    assert whole.bytes == 30e9
    assert str(whole) == '132.9 hours and 30.0 GB of disk'
    assert str(steps) == 'steps: 500,000 iterations of 0.9 s each are 125.0 hours'
    assert str(teachers) == (
        'teachers: 2,267 megapixels of 12.5 s each are 7.9 hours, extrapolated from less'
    )
    assert str(Part('few', 4.448, 'megapixels', 2)) == 'few: 4.45 megapixels of 2 s each are 8.9 s'
    assert duration(3599) == '60.0 minutes'


def test_a_line_is_extrapolated_exactly_and_a_budget_ends_the_measurements():
    seen = []

    def measure(size):
        seen.append(size)
        return 0.5 + 0.01 * size

    sizes = [(size, size) for size in (10, 20, 40, 80, 1000)]
    result = extrapolate(measure, sizes, budget=1.25)
    assert seen == [10, 20, 40]
    assert result.extrapolated
    assert result.measured == 40
    assert result.value == pytest.approx(10.5)
    result = extrapolate(measure, sizes, budget=math.inf)
    assert not result.extrapolated
    assert result.value == pytest.approx(10.5)
    # The first is measured whatever it takes; noise that falls makes no negative time.
    assert extrapolate(measure, sizes, budget=0).value == pytest.approx(0.6 * 100)
    assert on_line([(10, 2.0), (20, 1.9)], 200) == 19


@pytest.mark.parametrize('contents', ['target', 'teachers'])
def test_the_bytes_are_those_of_a_cache(contents, tmp_path):
    sizes = ((96, 120), (480, 320), (12, 24))
    images = tuple(CachedImage(f'{i}.png', *size) for i, size in enumerate(sizes))
    key = CacheKey(contents, 2, {'a': CacheInput({}), 'b': CacheInput({})}, None, images)
    with CacheWriter(tmp_path / 'c.lmdb', key) as writer:
        for i in range(len(images)):
            names = array_names(key)
            writer.put(i, {name: np.zeros(shape_of(key, i, name), np.uint8) for name in names})
        assert writer.finish()
    pixels = sum(h * w for h, w in sizes)
    expected = cache_bytes(pixels, len(sizes), 2, 1 if contents == 'target' else 2)
    assert expected == bytes_needed(key)
    # The file has a few pages of LMDB beside its contents, and smaller gaps than are counted.
    size = (tmp_path / 'c.lmdb' / 'data.mdb').stat().st_size
    assert abs(size - expected) < 0.05 * expected


def test_sizes_of_steps_grow_from_few_small_patches_to_the_whole_step():
    sizes = timings.step_sizes(16, 128, 4, CPU)
    assert [size for _, size in sizes] == [
        (3, 32),
        (3, 64),
        (3, 128),
        (6, 128),
        (12, 128),
        (16, 128),
    ]
    assert all(amount == count * side**2 for amount, (count, side) in sizes)
    assert timings.step_sizes(2, 16, 4, CPU) == [(512, (2, 16))]
    assert timings.step_sizes(16, 128, 4, torch.device('cuda')) == [(16 * 128**2, (16, 128))]


@pytest.mark.parametrize('model', ['MTKDModel', 'MTKDFusionModel'])
def test_steps_are_measured_with_the_outputs_of_a_cache(model, make_options, tmp_path, monkeypatch):
    opt = with_cache(make_options(model), tmp_path / 'not_yet.lmdb')
    built = model_of(opt, tmp_path)
    seen = []

    def record(model, images, device, first):
        seen.append({key: tuple(value.shape) for key, value in images.items()})
        return 1e-9 * images['gt'].numel()

    monkeypatch.setattr(bill, 'seconds_of_a_step', record)
    estimate, peak = measure_steps(built, built.config, CPU)
    entry, channels = ('target', 3) if model == 'MTKDModel' else ('teachers', 9)
    assert seen[-1][entry] == (2, channels, 32, 32)
    assert seen[-1]['lq'] == (2, 3, 16, 16)
    assert estimate.value == pytest.approx(2e-9 * 3 * 32**2)
    assert peak > 0
    monkeypatch.undo()
    if model == 'MTKDModel':  # which then needs no teacher
        monkeypatch.setattr(type(built.distiller.teachers), 'target', None)
    assert measure_steps(built, built.config, CPU)[0].value > 0


def test_steps_have_the_channels_of_the_images(make_options, tmp_path):
    opt = make_options('KDModel', train__kd={'type': 'Scratch'})
    opt['network_g'] = {'type': 'ECBSR', 'num_in_ch': 1, 'num_out_ch': 1, 'num_block': 1}
    opt['network_g'].update(num_channel=4, with_idt=False, act_type='prelu', scale=2)
    for block in opt['datasets'].values():
        block['color'] = 'y'
    findings = Findings()
    built = model_of(opt, tmp_path)
    assert measure_steps(built, built.config, CPU)[0].value > 0
    check_costs(training_config(parsed(opt, True, tmp_path)), 1000.0, CPU, findings)
    assert not findings.failed, str(findings)


def test_a_size_that_fails_is_left_out_but_not_the_last():
    def seconds(size):
        if size < least:
            raise AssertionError
        return size * 1e-3

    sizes = [(float(n), n) for n in (1, 2, 4, 8)]
    least = 3
    assert extrapolate(seconds, sizes, 10).value == pytest.approx(8e-3)
    assert extrapolate(seconds, sizes, 5e-3).measured == 4
    least = 9
    with pytest.raises(AssertionError):
        extrapolate(seconds, sizes, 10)


@pytest.mark.parametrize(('keep', 'expected'), [(None, 101), (1, 3), (200, 101)])
def test_checkpoints_are_those_that_stay(keep, expected, make_options):
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, train__total_iter=100)
    opt['logger'].update(save_checkpoint_freq=1, keep_last=keep)
    opt['is_train'] = True
    assert checkpoints(training_config(opt))[0] == expected


@pytest.mark.parametrize(
    ('total', 'freq', 'expected'), [(500_000, 5e3, 100), (7, 3, 3), (6, 3, 2), (2, 5, 1), (0, 5, 1)]
)
def test_validations_are_those_of_the_loop(total, freq, expected, make_options):
    opt = make_options('MTKDFusionModel', train__total_iter=total, val__val_freq=freq)
    opt['is_train'] = True
    assert validations(training_config(opt)) == expected


def test_networks_are_measured_on_growing_squares_and_scaled_to_the_image():
    seen = []

    def network(image):
        seen.append(tuple(image.shape))

    estimate = timings.seconds_of_networks(network, 1000.0, CPU, sides=(16, 24, 32), seconds=10)
    assert set(seen) == {(1, 3, 16, 16), (1, 3, 24, 24), (1, 3, 32, 32)}
    assert not estimate.extrapolated
    estimate = timings.seconds_of_networks(network, 1e6, CPU, sides=(16,), seconds=0)
    assert estimate.extrapolated
    assert estimate.measured == 16**2


def test_writing_leaves_nothing(tmp_path):
    assert timings.seconds_of_writing(48, 2, 3, str(tmp_path)) > 0
    assert not list(tmp_path.iterdir())


def names_of(parts):
    return [part.name for part in parts]


def test_a_check_adds_up_what_is_still_to_do(make_options, tmp_path):
    opt = with_cache(make_options('MTKDFusionModel'), tmp_path / 'c.lmdb')
    opt['train'].update(total_iter=400)
    pixels = 3 * 96 * 120

    def check(**changes):
        findings = Findings()
        opt['train'].update(changes)
        config = training_config(parsed(opt, True, tmp_path))
        result = check_costs(config, pixels, CPU, findings)
        texts = [finding.text for finding in findings]
        assert texts[-1] == f'all of it: {result}'
        assert result.seconds == sum(part.count * part.seconds for part in result.parts)
        assert not findings.failed
        return result, texts

    making = ['mtkd cache, decoding', 'mtkd cache, teachers', 'mtkd cache, writing']
    result, texts = check()
    assert names_of(result.parts) == ['steps', *making, 'validation on val']
    assert [part.count for part in result.parts] == [400, *[pixels / 1e6] * 3, 400]
    assert dict(result.disk)['cache'] == cache_bytes(pixels, 3, 2, 3)
    assert texts[0].startswith('train.total_iter: 400 iterations of ')
    assert 'with the outputs of mtkd cache' in texts[0]
    result, texts = check(total_iter=0)
    assert names_of(result.parts) == [*making, 'fit of the mix', 'validation on val']
    assert not [text for text in texts if 'train.total_iter' in text]
    opt['datasets']['train']['target_cache'] = None
    result, _ = check()
    assert names_of(result.parts) == [*making[:2], 'fit of the mix', 'validation on val']
    result, texts = check(total_iter=10)
    assert names_of(result.parts) == ['steps', 'validation on val']
    assert 'outputs of mtkd cache' not in texts[0]
