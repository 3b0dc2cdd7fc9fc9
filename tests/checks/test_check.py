"""``mtkd check``: everything that is wrong, at once, before a training begins."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from conftest import mtkd, options_for, tiny, write_options, write_weights
from torch import nn

from mtkd_basicsr.checks import networks
from mtkd_basicsr.checks.preflight import check_options
from mtkd_basicsr.checks.sample_crops import center_crops
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.errors import DataError, MTKDError
from mtkd_basicsr.host.resize import resize_bicubic
from mtkd_basicsr.utils.registry import register


@register(ARCH_REGISTRY)
class Sharpened(nn.Module):
    """Bicubic of a sharpened image: better without any training; ``gain`` below zero blurs."""

    def __init__(self, upscale):
        super().__init__()
        self.upscale = upscale
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        blurred = nn.functional.avg_pool2d(
            nn.functional.pad(x, (1, 1, 1, 1), mode='replicate'), 3, 1
        )
        return resize_bicubic(x + self.gain * (x - blurred), self.upscale)


def sharpened(path, gain):
    torch.save({'params': {'gain': torch.tensor([gain])}}, path)
    return {'network': {'type': 'Sharpened', 'upscale': 2}, 'weights': str(path)}


@pytest.fixture
def good(photographs, tmp_path):
    """A training that has nothing wrong."""
    opt = options_for(photographs, tmp_path, 'MTKDModel')
    opt['teachers'] = {
        name: sharpened(tmp_path / f'{name}.pth', gain) for name, gain in (('a', 0.3), ('b', 0.2))
    }
    network = tiny('DCTSwin', 2, in_chans=6, skip='mean')
    opt['fusion'] = {
        'network': network,
        'weights': write_weights(tmp_path / 'mean.pth', network, mtkd={'teachers': ['a', 'b']}),
    }
    state = torch.load(opt['fusion']['weights'], weights_only=True)
    for name in ('conv_last.weight', 'conv_last.bias'):  # no correction: the mean of both
        state['params'][name].zero_()
    torch.save(state, opt['fusion']['weights'])
    return opt


def check(here, tmp_path, opt, expect=0, *arguments):
    path = write_options(tmp_path / 'options.yml', opt)
    if expect:
        with pytest.raises(SystemExit) as stop:
            here('check', '-opt', path, *arguments)
        assert stop.value.code == expect
        return here.printed()
    return here('check', '-opt', path, *arguments)


def lines(printed, level):
    return [line[8:] for line in printed.splitlines() if line.startswith(level)]


def test_nothing_is_found_in_good_options(here, tmp_path, good):
    before = {p.name for p in tmp_path.iterdir()}
    printed = check(here, tmp_path, good)
    fine = lines(printed, 'ok')
    assert '0 errors' in printed
    values = {
        name: float(value)
        for name, value in re.findall(
            r'teachers\.(\w): ([\d.]+) dB on the centers of 2 validation images', printed
        )
    }
    assert set(values) == {'a', 'b'}
    assert any(
        re.match(r'fusion: [\d.]+ dB on the centers of 2 validation images, best teacher', line)
        for line in fine + lines(printed, 'WARNING')
    )
    assert any(line.startswith('datasets.train: 3 pairs, sizes fit the scale, 2') for line in fine)
    assert re.search(
        r'train.total_iter: 2 iterations of [\d.]+ s each are [\d.]+ s .*; [\d.]+ GiB of memory on '
        r'cpu',
        printed,
    )
    assert {p.name for p in tmp_path.iterdir()} - before == {'options.yml'}, 'nothing is created'
    assert 'train.total_iter' not in check(here, tmp_path, good, 0, '--no-steps')


def test_few_images_are_trained_on_to_the_end_but_not_fewer_than_a_batch(here, tmp_path, good):
    good['datasets']['train'].update(dataset_enlarge_ratio=1, batch_size_per_gpu=4)
    good['train'].update(
        total_iter=30,
        scheduler={
            'type': 'CosineAnnealingRestartLR',
            'periods': [10, 18],
            'restart_weights': [1, 1],
        },
    )
    errors = '\n'.join(lines(check(here, tmp_path, good, 1), 'ERROR'))
    assert (
        'datasets.train.dataset_enlarge_ratio: 1; 3 images make 3 per epoch, fewer than a batch of '
        '4; use 2 or more' in errors
    )
    assert (
        'train.scheduler.periods: [10, 18]; together they have to last for train.total_iter, 30'
        in errors
    )
    good['datasets']['train'].update(batch_size_per_gpu=2)
    good['train']['scheduler']['periods'] = [10, 19]
    assert '0 errors' in check(here, tmp_path, good)
    here('train', '-opt', tmp_path / 'options.yml')
    assert (tmp_path / 'experiments' / good['name'] / 'training_states' / '30.state').exists()


def test_ten_mistakes_are_found_at_once(here, tmp_path, good):
    good['datasets']['train']['gt_size'] = 33
    good['datasets']['val']['dataroot_lq'] = 'nowhere'
    good['teachers']['a']['weights'] = 'gone.pth'
    good['teachers']['b']['wieghts'] = 'b.pth'
    good['fusion']['weights'] = 'gone2.pth'
    good['train'].update(
        kd={'type': 'MTKD', 'also': ['DUDK']}, distill_opt={'type': 'WaveletLos'}, amp='fp16'
    )
    good['train']['disitll_opt'] = {}
    good['val']['tile'] = -1
    good['val']['metrics']['psnr'].update(crop_border=0, test_y_channel=False)
    good['network_g']['num_feat_'] = 1
    printed = check(here, tmp_path, good, 1)
    errors = lines(printed, 'ERROR')
    for text in (
        "train.disitll_opt: unknown key 'disitll_opt' (did you mean 'distill_opt'?)",
        'val.tile: -1; expected',
        "train.kd.also[0].type: unknown method 'DUDK'",
        "train.amp: 'fp16'; known: auto, bf16, fp32 (did you mean 'bf16'?)",
        "train.distill_opt.type: unknown loss 'WaveletLos'",
        "datasets.val.dataroot_lq: no folder 'nowhere'",
        'datasets.train.gt_size: 33; expected a multiple of the scale, 2',
        "teachers.a.weights: no file 'gone.pth'",
        "teachers.b: unknown key 'wieghts'",
        "fusion.weights: no file 'gone2.pth'",
        'network_g: EDSR cannot be built',
    ):
        assert sum(error.startswith(text) for error in errors) == 1, (text, printed)
    assert len(errors) == 11
    assert [w.split(':')[0] for w in lines(printed, 'WARNING')][:2] == [
        'val.metrics.psnr.crop_border',
        'val.metrics.psnr.test_y_channel',
    ]


def test_teachers_that_are_not_worth_learning_from_are_found(here, tmp_path, good):
    sharpened(tmp_path / 'a.pth', -3.0)
    printed = check(here, tmp_path, good, 1)
    (error,) = lines(printed, 'ERROR')
    assert re.match(
        r'teachers\.a: [\d.]+ dB on the centers of 2 validation images, bicubic [\d.]+ dB: below '
        r'bicubic; the weights are wrong',
        error,
    )
    assert any(
        line.startswith('fusion: ') and 'worse than no fusion' in line
        for line in lines(printed, 'WARNING')
    )


def test_a_fusion_network_of_other_teachers_is_found(here, tmp_path, good):
    good['teachers']['c'] = good['teachers'].pop('b')
    assert any(
        'missing: b; unknown to it: c' in line
        for line in lines(check(here, tmp_path, good, 1), 'ERROR')
    )


def test_images_that_do_not_fit_are_found(here, tmp_path, good, photographs):
    for kind in ('GT', 'LRx2'):
        (tmp_path / kind).mkdir()
    sizes = {
        'fits': ((64, 64), (32, 32)),
        'unequal': ((64, 64), (32, 30)),
        'small': ((20, 64), (10, 32)),
    }
    for name, pair in sizes.items():
        for kind, size in zip(('GT', 'LRx2'), pair):
            cv2.imwrite(str(tmp_path / kind / f'{name}.png'), np.zeros((*size, 3), np.uint8))
    for kind in ('GT', 'LRx2'):
        (tmp_path / kind / 'broken.png').write_bytes(b'no image')
    good['datasets']['train'].update(
        dataroot_gt=str(tmp_path / 'GT'), dataroot_lq=str(tmp_path / 'LRx2')
    )
    errors = '\n'.join(lines(check(here, tmp_path, good, 1), 'ERROR'))
    assert 'datasets.train: 1 pairs with a file that cannot be read as an image: ' in errors
    assert 'broken.png' in errors
    assert re.search(
        r'1 ground truths are not 2 times as large as their low-resolution images: \S*unequal.png '
        r'64×64, low-resolution 32×30',
        errors,
    )
    assert re.search(
        r'datasets.train.gt_size: 1 images are smaller than a patch of 32 pixels: \S*small.png '
        r'20×64',
        errors,
    )


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (
            {'model_type': 'MTKDModle'},
            "model_type: 'MTKDModle'; known: MTKDFusionModel, MTKDModel, KDModel (did you mean "
            "'MTKDModel'?)",
        ),
        ({'scale': 0}, 'scale: 0; expected a whole number'),
        ({'teachers': None}, 'teachers: None; expected a mapping'),
        ({'fusion': None}, 'fusion: missing'),
        ({'datasets': {}}, 'datasets.train: missing'),
        ({'train': {'total_iter': 5}}, 'train.optim_g: missing'),
        ({'logger': None}, 'logger: missing'),
        (
            {'network_g': tiny('SwinIR', 2, window_size=12, img_size=24)},
            'datasets.train.gt_size: 32, which makes patches of 16 low-resolution pixels, but '
            'SwinIR has windows of 12; expected a multiple of 24',
        ),
    ],
)
def test_single_mistakes_are_found(here, tmp_path, good, change, text):
    good.update(change)
    assert any(line.startswith(text) for line in lines(check(here, tmp_path, good, 1), 'ERROR'))


@pytest.mark.slow
def test_training_does_the_fast_part_by_itself(tmp_path, good):
    good['teachers']['a']['weights'] = 'gone.pth'
    good['val']['tile'] = -1
    printed = mtkd(
        'train', '-opt', write_options(tmp_path / 'wrong.yml', good), cwd=tmp_path, expect=1
    )
    assert "teachers.a.weights: no file 'gone.pth'" in printed, 'both at once'
    assert 'val.tile: -1' in printed, 'both at once'
    assert not (tmp_path / 'experiments').exists()


def test_without_validation_images_the_teachers_are_not_measured(make_options):
    opt = make_options('MTKDModel')
    opt['datasets'] = {'train': opt['datasets']['train']}
    with pytest.raises(DataError, match='there is no validation set'):
        list(center_crops(training_config(opt)))


def test_a_stock_test_script_lists_all_errors_at_once(make_options, tmp_path):
    opt = make_options('KDModel', train__kd={'type': 'Scratch'})
    opt['is_train'] = False
    opt['val']['tile'] = -1
    opt['datasets'] = {'test': {**opt['datasets']['val'], 'dataroot_gt': str(tmp_path / 'gone')}}
    with pytest.raises(MTKDError) as error:
        check_options(opt, is_train=False)
    assert 'val.tile: -1' in str(error.value)
    assert f"datasets.test.dataroot_gt: no folder '{tmp_path / 'gone'}'" in str(error.value)
    assert 'path.pretrain_network_g: missing' in str(error.value)


def test_a_part_of_the_validation_set_is_called_that(here, tmp_path, good):
    """The PSNR of some images is not that of the set."""
    many = tmp_path / 'many'
    for kind in ('GT', 'LRx2'):
        (many / kind).mkdir(parents=True)
        for path in Path(good['datasets']['val']['dataroot_gt']).parent.joinpath(kind).iterdir():
            for i in range(2):
                shutil.copy(path, many / kind / f'{path.stem}{i}.png')
    good['datasets']['val'].update(dataroot_gt=str(many / 'GT'), dataroot_lq=str(many / 'LRx2'))
    printed = check(here, tmp_path, good, 0, '--no-steps')
    assert len(re.findall(r'dB on the centers of 3 of 4 validation images', printed)) == 3


def test_an_image_that_bicubic_reproduces_is_not_held_against_the_teachers(here, tmp_path, good):
    """Its PSNR is infinite, and so is each mean with it."""
    block = good['datasets']['val']
    for key, side in (('dataroot_gt', 64), ('dataroot_lq', 32)):
        shutil.copytree(block[key], tmp_path / key)
        block[key] = str(tmp_path / key)
        cv2.imwrite(str(tmp_path / key / 'white.png'), np.full((side, side, 3), 255, np.uint8))
        cv2.imwrite(str(tmp_path / key / 'grey.png'), nearly_uniform(side))
    printed = check(here, tmp_path, good, 0)
    assert 'inf' not in printed.replace('info', '')
    assert re.search(r'teachers.a: \d+\.\d\d dB on the centers of \d of 4 validation', printed)
    # Nothing is left to measure on.
    for key in ('dataroot_gt', 'dataroot_lq'):
        for path in (tmp_path / key).iterdir():
            if path.name != 'white.png':
                path.unlink()
    printed = check(here, tmp_path, good, 0)
    assert 'teachers.a: ' not in printed


def nearly_uniform(side):
    """A page with a smooth shade, of which bicubic leaves next to nothing to gain."""
    shade = np.linspace(250, 251, side)[:, None, None]
    return np.broadcast_to(np.round(shade), (side, side, 3)).astype(np.uint8)


@pytest.mark.parametrize('scale', [2, 4])
def test_teachers_are_not_measured_on_pairs_that_do_not_fit(here, tmp_path, good, scale):
    """The images are named; the measurement would end in an assertion of BasicSR."""
    block = good['datasets']['val']
    wrong = tmp_path / 'wrong'
    wrong.mkdir()
    for path in Path(block['dataroot_gt']).iterdir():
        image = cv2.imread(str(path))
        if scale == 4:
            image = image[: image.shape[0] // 4, : image.shape[1] // 4]
        cv2.imwrite(str(wrong / path.name), image)
    block['dataroot_lq'] = str(wrong)
    printed = check(here, tmp_path, good, 1, '--no-steps')
    (error,) = lines(printed, 'ERROR')
    assert error.startswith('datasets.val: 2 ground truths are not 2 times as large as their low')
    assert 'Traceback' not in printed
    assert 'dB' not in printed
    assert 'network_g: EDSR' in printed, 'the rest is checked'


@pytest.mark.parametrize(
    ('psnr', 'level', 'text'),
    [
        ((30.0, 60.0), 'WARNING', ': below bicubic, on 1 of these images'),
        ((28.0, 60.0), 'ERROR', ': below bicubic; the weights are wrong'),
        ((30.0, 71.0), 'ok', ''),
    ],
)
def test_a_mean_below_bicubic_is_said(here, tmp_path, good, monkeypatch, psnr, level, text):
    """Of a nearly uniform image bicubic leaves next to nothing to gain, and the mean is its."""
    values = iter([(29.0, 70.0)])
    monkeypatch.setattr(networks, 'psnr_of', lambda *_: np.array(next(values, psnr)))
    printed = check(here, tmp_path, good, int(level == 'ERROR'), '--no-steps')
    found = [line for line in lines(printed, level) if line.startswith('teachers.')]
    mean = sum(psnr) / 2
    beginning = f'{mean:.2f} dB on the centers of 2 validation images, bicubic 49.50 dB'
    assert found == [f'teachers.{name}: {beginning}{rest}' for name, rest in rests(found)]
    assert all(rest.startswith(text) for _, rest in rests(found))
    assert len(found) == 2


def rests(found):
    """Names of teachers, and what is said after their figures."""
    return [(line[9], line.partition('bicubic 49.50 dB')[2]) for line in found]
