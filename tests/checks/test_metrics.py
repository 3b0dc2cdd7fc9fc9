"""Metrics that cannot be computed, or mean something else than they seem to."""

import json

import numpy as np
import pytest
import torch
from conftest import override, write_options, write_weights
from helpers.found import GONE, changed, found_in_test, found_in_training
from helpers.trainings import train

from mtkd_basicsr.host.api import METRIC_REGISTRY

PSNR = {'type': 'calculate_psnr', 'crop_border': 2, 'test_y_channel': True}
SINGLE = {
    'name': 'v',
    'type': 'SingleImageDataset',
    'dataroot_lq': 'x',
    'io_backend': {'type': 'disk'},
}

ERRORS = [
    ({'test_y_chanel': True}, "unknown key 'test_y_chanel'; known: crop_border, input_order"),
    ({'test_y_channel': 'no'}, "test_y_channel: 'no'; known: true, false"),
    ({'test_y_channel': 1}, 'test_y_channel: 1; known: true, false'),
    ({'type': 'calculate_ssim', 'input_order': 'CHW'}, "input_order: 'CHW'; known: HWC"),
    ({'better': 'max'}, "better: 'max'; known: higher, lower"),
    ({'better': 'lower'}, 'better: lower; more is better with calculate_psnr'),
    ({'type': 'calculate_ssim', 'better': 'lower'}, 'more is better with calculate_ssim'),
    ({'type': 'calculate_psnr_pt'}, 'calculate_psnr_pt cannot be computed for an image: Index'),
    ({'type': 'calculate_ssim_pt'}, 'calculate_ssim_pt cannot be computed for an image: Index'),
    ({'type': 'calculate_niqe'}, "unknown key 'test_y_channel'; known: crop_border, input_order"),
    ({'type': 'calculate_lpips'}, "type: unknown metric 'calculate_lpips'; known: calculate_niqe"),
]


def _options(make_options, **changes):
    return make_options('KDModel', train__kd={'type': 'Scratch'}, **changes)


@pytest.fixture
def own_metric():
    """Register a metric that returns a value; give its entry in ``val.metrics``."""

    def register(value):
        METRIC_REGISTRY._obj_map['own_metric'] = lambda img, img2: value
        return {'type': 'own_metric'}

    yield register
    METRIC_REGISTRY._obj_map.pop('own_metric', None)


def _as_test(opt, **changes):
    opt['datasets'] = {'test_1': opt['datasets']['val']}
    return override(opt, changes)


@pytest.mark.parametrize(('changes', 'text'), ERRORS, ids=lambda value: str(value)[:50])
def test_a_metric_gets_the_arguments_that_it_has(changes, text, make_options):
    opt = _options(make_options, val__metrics={'m': {**PSNR, **changes}})
    for errors, _ in (found_in_training(opt), found_in_test(_as_test(opt))):
        assert len(errors) == 1
        assert errors[0].startswith('val.metrics.m')
        assert text in errors[0]


def test_less_is_better_with_niqe(make_options):
    niqe = {'type': 'calculate_niqe', 'crop_border': 2}
    errors, warnings = found_in_training(_options(make_options, val__metrics={'niqe': niqe}))
    assert not errors
    assert any('val.metrics.niqe.better: higher; less is better' in text for text in warnings)
    assert not any('test_y_channel' in text for text in warnings), 'it has no such argument'
    opt = _options(make_options, val__metrics={'niqe': {**niqe, 'better': 'lower'}})
    assert not any('better' in text for text in found_in_training(opt)[1])


@pytest.mark.parametrize(
    'value', [np.float32(0.5), np.array([0.5]), torch.tensor(0.5), torch.tensor([0.5]), 1]
)
def test_a_metric_of_ones_own_may_return_any_number(
    value, make_options, tmp_path, here, own_metric
):
    opt = _options(make_options, val__metrics={'psnr': PSNR, 'mine': own_metric(value)})
    folder = train(here, tmp_path, opt)
    best = json.loads((folder / 'training_states' / 'best.json').read_text())
    assert best['val']['mine'] == {'better': 'higher', 'val': np.asarray(value).item(), 'iter': 2}
    assert (folder / 'models' / 'net_g_best.pth').exists()


def test_a_metric_that_returns_no_number_is_named(make_options, tmp_path, here, own_metric):
    metrics = {'mine': own_metric(torch.zeros(3))}
    path = write_options(tmp_path / 'a.yml', _options(make_options, val__metrics=metrics))
    printed = here('train', '-opt', path, expect=1)
    assert 'val.metrics.mine: returns tensor([0., 0., 0.]); expected a number' in printed


@pytest.mark.parametrize('phase', ['val', 'val_2'])
def test_a_metric_needs_ground_truths_in_each_validation(phase, make_options):
    opt = _options(make_options)
    opt['datasets'][phase] = SINGLE
    errors, _ = found_in_training(opt)
    assert errors == [
        f'val.metrics: psnr compare with ground truths, but datasets.{phase} (SingleImageDataset) '
        'has none; remove val.metrics, or use PairedImageDataset'
    ]


@pytest.mark.parametrize('model', ['KDModel', 'SRModel', 'MTKDModel'])
def test_a_metric_needs_ground_truths_in_each_test(model, make_options):
    opt = _as_test(_options(make_options, model_type=model), datasets__test_2=SINGLE)
    errors, _ = found_in_test(opt)
    assert errors == [
        'val.metrics: psnr compare with ground truths, but datasets.test_2 (SingleImageDataset) '
        'has none; remove val.metrics, or use PairedImageDataset'
    ]


@pytest.mark.parametrize('save_img', [True, False])
def test_two_test_sets_of_one_name(save_img, make_options):
    """Their images would replace each other; of the figures the log has both."""
    opt = _as_test(_options(make_options))
    opt['datasets']['test_2'] = dict(next(iter(opt['datasets'].values())))
    opt['val'].update(save_img=save_img, suffix=None)
    errors, warnings = found_in_test(opt)
    first, second = opt['datasets']
    name = opt['datasets'][first]['name']
    text = f"datasets.{second}.name: '{name}' is the name of datasets.{first} too; "
    if save_img:
        assert f'{text}images would replace each other' in errors
    else:
        assert not errors
        assert f'{text}the log does not tell them apart' in warnings


@pytest.mark.parametrize(
    'metrics', [None, {'n': {'type': 'calculate_niqe', 'crop_border': 0, 'better': 'lower'}}]
)
def test_without_ground_truth_there_are_metrics_of_one_image(metrics, make_options):
    opt = _as_test(_options(make_options, val__metrics=metrics), datasets__test_1=SINGLE)
    assert found_in_test(opt) == ([], [])


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'val__suffix': GONE}, 'val.suffix: missing; expected a text for the names of images'),
        ({'val__suffix': '../x'}, "val.suffix: '../x'; expected a text without / and \\"),
        ({'val__suffix': ['x']}, "val.suffix: ['x']; expected a text without / and \\"),
        (
            {'datasets__test_2': {**SINGLE, 'name': 'val'}, 'val__metrics': None},
            "datasets.test_2.name: 'val' is the name of datasets.test_1 too",
        ),
    ],
    ids=str,
)
def test_saved_images_have_a_name_each(changes, text, make_options):
    opt = changed(_as_test(_options(make_options, val__save_img=True)), changes)
    errors, _ = found_in_test(opt)
    assert len(errors) == 1
    assert text in errors[0]


def test_a_model_of_basicsr_needs_no_scale_without_ground_truths(make_options, tmp_path, here):
    opt = _as_test(_options(make_options, model_type='SRModel', val__metrics=None))
    block = next(iter(opt['datasets'].values()))
    weights = write_weights(tmp_path / 'net_g.pth', opt['network_g'])
    opt['path'] = {'pretrain_network_g': weights, 'strict_load_g': True}
    opt['val'].update(save_img=True, suffix=None)
    opt['datasets'] = {'test': {**SINGLE, 'dataroot_lq': block['dataroot_lq'], 'name': 'single'}}
    for key in ('scale', 'train', 'logger'):
        opt.pop(key, None)
    here('test', '-opt', write_options(tmp_path / 'test.yml', opt))
    assert list((tmp_path / 'results' / opt['name']).glob('visualization/single/*.png'))
    opt['model_type'] = 'KDModel'
    printed = here('test', '-opt', write_options(tmp_path / 'test.yml', opt), expect=1)
    assert 'scale: None; expected a whole number from 1 on' in printed
