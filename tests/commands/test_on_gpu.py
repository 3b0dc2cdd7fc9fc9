"""What a user runs on a GPU, from start to end. The same commands run on a CPU elsewhere."""

import re

import cv2
import numpy as np
import pytest
import torch
import yaml
from commands.test_compare import tiny_plan
from conftest import mtkd, with_cache, write_options

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

DEVICE = 'cuda'
NUM_GPU = 1


@pytest.fixture
def option_file(make_options, tmp_path):
    """Write the options of a training on the GPU, with a target cache; returns the path."""

    def write(**changes):
        opt = make_options('MTKDModel', name='on_gpu', num_gpu=NUM_GPU, **changes)
        with_cache(opt, tmp_path / 'target.lmdb')
        return write_options(tmp_path / 'options.yml', opt)

    return write


def losses(printed):
    """The iterations and losses that a training printed."""
    return re.findall(r'iter:\s*(\d+).*?(l_pix: \S+ l_distill: \S+)', printed)


def test_cache_train_and_resume(option_file, tmp_path):
    file = option_file()
    assert 'is complete' in mtkd('cache', '-opt', file, '--device', DEVICE, cwd=tmp_path)
    printed = mtkd('train', '-opt', file, cwd=tmp_path)
    assert [iteration for iteration, _ in losses(printed)] == ['1', '2']
    longer = option_file(train__total_iter=4)
    printed = mtkd('train', '-opt', longer, '--auto_resume', cwd=tmp_path)
    assert [iteration for iteration, _ in losses(printed)] == ['3', '4']
    state = torch.load(tmp_path / 'experiments/on_gpu/training_states/4.state', map_location='cpu')
    assert state['iter'] == 4


def test_check_measures_on_the_gpu(make_options, tmp_path):
    # Random teachers would be errors, without an estimate.
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, num_gpu=NUM_GPU)
    printed = mtkd('check', '-opt', write_options(tmp_path / 'o.yml', opt), cwd=tmp_path)
    assert re.search(rf'iterations of \S+ s are .* of memory on {DEVICE}', printed)


def test_upscale_and_export(option_file, tmp_path):
    file = option_file()
    mtkd('cache', '-opt', file, '--device', DEVICE, cwd=tmp_path)
    mtkd('train', '-opt', file, cwd=tmp_path)
    weights = tmp_path / 'experiments/on_gpu/models/net_g_latest.pth'
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'picture.png'), picture)
    arguments = ('upscale', tmp_path / 'picture.png', '--weights', weights)
    outputs = []
    for name, device in (('here', DEVICE), ('cpu', 'cpu')):
        mtkd(*arguments, '--out', name, '--device', device, cwd=tmp_path)
        outputs.append(cv2.imread(str(tmp_path / name / 'picture_x2.png')).astype(int))
    assert outputs[0].shape == (40, 60, 3)
    assert np.abs(outputs[0] - outputs[1]).max() <= 1
    mtkd('export', '--weights', weights, '--format', 'torchscript', '--out', 'net.pt', cwd=tmp_path)
    net = torch.jit.load(str(tmp_path / 'net.pt'), map_location=DEVICE)
    lq = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    result = net(lq.to(DEVICE)).clamp(0, 1).mul(255).round()[0].permute(1, 2, 0).cpu().numpy()
    assert np.abs(result[..., ::-1] - outputs[0]).max() <= 1


def test_compare_two_runs_on_one_gpu(photographs, tmp_path):
    plan = tiny_plan(photographs, tmp_path)
    plan['options']['num_gpu'] = NUM_GPU
    (tmp_path / 'plan.yml').write_text(yaml.safe_dump(plan, sort_keys=False))
    printed = mtkd('compare', '-opt', 'plan.yml', '--out', 'out', '--jobs', '2', cwd=tmp_path)
    assert 'report' in printed
    assert (tmp_path / 'out' / 'report' / 'report.md').exists()
