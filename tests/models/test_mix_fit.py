"""Stage 1 with ``total_iter: 0``: the mix of the teachers, fitted to all images."""

import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import mtkd, run, stock, tiny, with_cache, write_options
from helpers.trainings import model_of

from mtkd_basicsr.archs import DCTSwin
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.models.mix_fit import FITTED, MEAN
from mtkd_basicsr.utils.images import psnr_y

LATEST = 'models/net_g_latest.pth'


@pytest.fixture
def fit_options(cached):
    """Options of a fit over the finished cache of stage 1."""
    opt = cached['MTKDFusionModel']
    opt['name'] = 'fit'
    opt['train']['total_iter'] = 0
    opt['network_g']['skip'] = 'adaptive'
    return opt


def weights_of(path):
    return torch.load(path, weights_only=True)


def least_squares(opt):
    """The mix, and the PSNR on Y of teachers, mean and mix, computed with NumPy and OpenCV."""
    reader = CacheReader(opt['datasets']['train']['target_cache'])
    columns = []
    truths = []
    images = []
    for i in range(len(reader.key.images)):
        gt = reader.array(i, 'gt')
        outputs = [reader.array(i, f'teacher/{name}') for name in opt['teachers']]
        images.append((gt, outputs))
        columns.append(np.concatenate([o[..., ::-1].reshape(-1, 3) for o in outputs], 1))
        truths.append(gt[..., ::-1].reshape(-1, 3))
    x = np.concatenate(columns).astype(np.float64)
    y = np.concatenate(truths).astype(np.float64)
    # The ridge of ``solve_mix`` as rows of its own, which draw to the mean of the teachers.
    ridge = np.sqrt(1e-6 * np.square(x).sum(0).mean())
    mean = np.tile(np.eye(3), (1, 3)) / 3
    x = np.concatenate([x, ridge * np.eye(9)])
    y = np.concatenate([y, ridge * mean.T])
    mix = np.linalg.lstsq(x, y, rcond=None)[0].T
    rows = {name: np.eye(3, 9, 3 * i) for i, name in enumerate(opt['teachers'])}
    rows.update({MEAN: mean, FITTED: mix})
    psnr = {}
    for name, matrix in rows.items():
        values = []
        for gt, outputs in images:
            stacked = np.concatenate([o[..., ::-1] for o in outputs], 2).astype(np.float64)
            values.append(psnr_y((stacked @ matrix.T)[..., ::-1], gt, opt['scale']))
        psnr[name] = np.mean(values)
    return mix, psnr


def fitted(opt, folder, **changes):
    """Fit as at the end of BasicSR's loop; gives the model."""
    model = model_of({**opt, **changes}, folder)
    model.save(-1, -1)
    return model


def test_the_mix_is_the_one_with_the_least_error_on_all_images(fit_options, tmp_path, caplog):
    caplog.set_level('INFO', 'basicsr')
    model = fitted(fit_options, tmp_path)
    mix, psnr = least_squares(fit_options)
    saved = weights_of(tmp_path / 'experiments' / 'fit' / LATEST)
    for key in ('params', 'params_ema'):
        assert np.abs(saved[key]['mix.weight'][:, :, 0, 0].numpy() - mix).max() < 1e-5
        assert not saved[key]['conv_last.weight'].any()
    assert saved['mtkd']['teachers'] == model.names == ['swinir', 'edsr', 'rcan']
    printed = [f'{name} {value:.2f} dB' for name, value in psnr.items()]
    assert f'PSNR on Y of these images: {", ".join(printed)}' in caplog.text
    assert psnr[FITTED] == max(psnr.values())


def test_with_and_without_a_cache_the_mix_has_the_same_bits(fit_options, tmp_path):
    cached = fitted(fit_options, tmp_path).net_g.mix.weight
    fit_options['datasets']['train']['target_cache'] = None
    computed = fitted(fit_options, tmp_path).net_g.mix.weight
    assert torch.equal(cached, computed)
    fit_options['datasets']['train']['type'] = 'PairedImageDataset'
    fit_options['datasets']['train']['num_worker_per_gpu'] = 1
    assert torch.equal(cached, fitted(fit_options, tmp_path).net_g.mix.weight)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        (
            {'network_g': tiny('DCTSwin', 2, skip='mean')},
            "train.total_iter: 0 only fits the mix of the teachers, but network_g.skip is 'mean'",
        ),
        ({'network_g': tiny('DCTSwin', 2, skip='none')}, "network_g.skip is 'none'"),
        (
            {'path': {'pretrain_network_g': 'net_g_5000.pth', 'resume_state': None}},
            "path.pretrain_network_g: 'net_g_5000.pth', but train.total_iter: 0 only fits",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(fit_options, tmp_path, changes, text):
    with pytest.raises(OptionError, match=text):
        model_of({**fit_options, **changes}, tmp_path)


def test_other_datasets_are_refused(fit_options, tmp_path):
    fit_options['datasets']['train']['type'] = 'RealESRGANDataset'
    with pytest.raises(OptionError, match="datasets.train.type: 'RealESRGANDataset', but"):
        model_of(fit_options, tmp_path)


@pytest.mark.slow
def test_the_command_the_script_and_two_processes_fit_the_same(fit_options, tmp_path, basicsr_tree):
    expected = fitted(fit_options, tmp_path).net_g.mix.weight
    options = write_options(tmp_path / 'fit.yml', fit_options)
    shutil.rmtree(tmp_path / 'experiments')
    printed = mtkd('train', '-opt', options, cwd=tmp_path)
    assert 'the mix of the teachers is fitted to 3 images' in printed
    assert '# psnr:' in printed
    experiments = tmp_path / 'experiments'
    mixes = [weights_of(experiments / 'fit' / LATEST)['params_ema']['mix.weight']]
    stock(basicsr_tree, 'train.py', '-opt', options)
    theirs = basicsr_tree / 'experiments' / 'fit'
    mixes.append(weights_of(theirs / LATEST)['params_ema']['mix.weight'])
    shutil.rmtree(theirs)
    # What was there is kept under another name.
    run(
        [
            *[sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2'],
            *['-m', 'mtkd_basicsr', 'train', '-opt', options, '--launcher', 'pytorch'],
            '--auto_resume',
        ],
        tmp_path,
        CUDA_VISIBLE_DEVICES='',
    )
    mixes.append(weights_of(experiments / 'fit' / LATEST)['params_ema']['mix.weight'])
    assert len(list(experiments.glob('fit_archived_*'))) == 1
    for mix in mixes:
        assert torch.equal(mix, expected)


@pytest.mark.slow
def test_stage_2_a_cache_and_a_test_take_it(fit_options, cached, tmp_path):
    model = fitted(fit_options, tmp_path)
    weights = str(tmp_path / 'experiments' / 'fit' / LATEST)
    opt = with_cache(cached['MTKDModel'], tmp_path / 'fitted.lmdb')
    opt['fusion'] = {'network': fit_options['network_g'], 'weights': weights}
    options = write_options(tmp_path / 'stage_2.yml', opt)
    outputs = fit_options['datasets']['train']['target_cache']
    mtkd('cache', '-opt', options, '--from', outputs, cwd=tmp_path)
    target = CacheReader(tmp_path / 'fitted.lmdb').array(0, 'target')
    teachers = CacheReader(outputs)
    mix = model.net_g.mix.weight[:, :, 0, 0].detach().double().numpy()
    stacked = [teachers.array(0, f'teacher/{name}')[..., ::-1] for name in model.names]
    expected = (np.concatenate(stacked, 2) @ mix.T).clip(0, 255)[..., ::-1]
    assert np.abs(target - expected).max() < 0.51
    assert 'l_distill' in mtkd('train', '-opt', options, cwd=tmp_path)
    test = {**fit_options, 'name': 'tested'}
    test['datasets'] = {'test_1': {**fit_options['datasets']['val']}}
    test['path'] = {'pretrain_network_g': weights, 'param_key_g': 'params_ema'}
    printed = mtkd('test', '-opt', write_options(tmp_path / 'test.yml', test), cwd=tmp_path)
    assert '# psnr:' in printed


def test_a_network_that_is_only_a_mix_computes_nothing_else(monkeypatch):
    for skip in ('learned', 'adaptive'):
        net = DCTSwin(upscale=2, in_chans=6, depths=[1], embed_dim=4, num_heads=[1], skip=skip)
        torch.nn.init.normal_(net.mix.weight)
        images = torch.rand(2, 6, 20, 12)
        whole = net.eval()(images)
        assert whole.requires_grad
        with torch.no_grad(), monkeypatch.context() as patch:
            patch.setattr(net, '_correction', None)
            assert torch.equal(net(images), whole)
            torch.nn.init.constant_(net.conv_last.bias, 0.5)
            with pytest.raises(TypeError):
                net(images)
