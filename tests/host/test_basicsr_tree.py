"""What a user of BasicSR types in their BasicSR folder, on an unmodified tree, in processes of its
own.
"""

import hashlib
import re
from pathlib import Path

import pytest
import torch
from conftest import build, stock, write_options
from helpers.distillation import EXTRA, METHODS, kd_options

pytestmark = pytest.mark.slow  # it starts many trainings


def contents(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in Path(folder).rglob('*')
        if p.is_file() and '__pycache__' not in p.parts
    }


def test_both_stages_and_testing(basicsr_tree, make_options, tmp_path):
    before = contents(basicsr_tree / 'basicsr')
    fusion = make_options('MTKDFusionModel', name='stage_1')
    printed = stock(
        basicsr_tree, 'train.py', '-opt', write_options(tmp_path / 'fusion.yml', fusion)
    )
    assert 'Model [MTKDFusionModel] is created.' in printed
    assert 'Teacher swinir: SwinIR' in printed
    assert re.search(r'mtkd_basicsr: \d+\.\d+', printed), (
        'the log does not show the version of the plug-in'
    )
    weights = basicsr_tree / 'experiments' / 'stage_1' / 'models' / 'net_g_latest.pth'
    assert torch.load(weights, weights_only=True)['mtkd']['teachers'] == ['swinir', 'edsr', 'rcan']

    # Stage 2 names the teachers in another order.
    student = make_options('MTKDModel', name='stage_2')
    student['teachers'] = {name: student['teachers'][name] for name in ('rcan', 'swinir', 'edsr')}
    student['fusion']['weights'] = 'experiments/stage_1/models/net_g_latest.pth'
    options = write_options(tmp_path / 'mtkd.yml', student)
    printed = stock(basicsr_tree, 'train.py', '-opt', options)
    assert 'over swinir, edsr, rcan' in printed
    assert re.search(r'iter: +2,.* l_pix: .* l_distill: ', printed)
    psnr = re.findall(r'# psnr: ([\d.]+)', printed)[-1]

    # Going on without a GPU, which BasicSR alone cannot.
    printed = stock(
        basicsr_tree,
        'train.py',
        '-opt',
        options,
        '--auto_resume',
        '--force_yml',
        'train:total_iter=4',
        'train:optim_g:lr=0.0001',
    )
    assert 'Resuming training from epoch: 0, iter: 2.' in printed
    assert 'train.optim_g.lr: 0.001 in the training state, 0.0001 in the option file' in printed
    assert 'iter:       4, lr:(1.000e-04,)] [eta: 0:00:00' in printed
    assert re.search(r'# psnr: [\d.]+\tBest: [\d.]+ @ [24] iter', printed)

    # The student alone: no teacher, no fusion network, no training options.
    test = make_options('MTKDModel', name='test')
    test['path']['pretrain_network_g'] = 'experiments/stage_2/models/net_g_2.pth'
    test['path']['param_key_g'] = 'params_ema'
    test['datasets'] = {'test': test['datasets']['val']}
    for key in ('teachers', 'fusion', 'train'):
        del test[key]
    printed = stock(basicsr_tree, 'test.py', '-opt', write_options(tmp_path / 'test.yml', test))
    assert re.findall(r'# psnr: ([\d.]+)', printed) == [psnr], 'tested and validated student differ'

    # The fused output of stage 1 is tested with its teachers.
    test = make_options('MTKDFusionModel', name='test_fusion')
    test['path']['pretrain_network_g'] = str(weights)
    test['datasets'] = {'test': test['datasets']['val']}
    assert '# psnr:' in stock(
        basicsr_tree, 'test.py', '-opt', write_options(tmp_path / 'test_fusion.yml', test)
    )
    assert contents(basicsr_tree / 'basicsr') == before, 'a file of BasicSR was touched'


def test_without_the_first_line_basicsr_does_not_know_us(basicsr_tree, make_options, tmp_path):
    options = write_options(tmp_path / 'plain.yml', make_options('MTKDModel'), header='')
    printed = stock(basicsr_tree, 'train.py', '-opt', options, expect=1)
    assert "No object named 'MTKDModel' found in 'model' registry" in printed


def test_teachers_can_be_forced_on_the_command_line(basicsr_tree, make_options, tmp_path):
    options = write_options(tmp_path / 'forced.yml', make_options('MTKDModel', name='forced'))
    printed = stock(
        basicsr_tree,
        'train.py',
        '-opt',
        options,
        '--force_yml',
        'teachers:edsr:weights=elsewhere.pth',
        expect=1,
    )
    assert "WeightsError: teachers.edsr.weights: no file 'elsewhere.pth'" in printed


@pytest.mark.parametrize('method', METHODS)
def test_every_method_trains(basicsr_tree, photographs, tmp_path, method):
    opt = kd_options(photographs, tmp_path, method)
    opt['name'] = f'kd_{method}'
    del opt['datasets']['val'], opt['val']
    printed = stock(basicsr_tree, 'train.py', '-opt', write_options(tmp_path / 'kd.yml', opt))
    assert 'Model [KDModel] is created.' in printed
    assert f'Method: {method}' in printed
    (line,) = re.findall(r'iter: +2,.*', printed)
    logged = {'l_pix', *EXTRA.get(method, ()), *(() if method == 'Scratch' else ('l_distill',))}
    assert set(re.findall(r'(l_\w+): [\d.e+-]+', line)) == logged
    content = torch.load(
        basicsr_tree / 'experiments' / opt['name'] / 'models' / 'net_g_2.pth', weights_only=True
    )
    student = set(build(opt['network_g']).state_dict())
    assert content.pop('mtkd')['network'] == opt['network_g']
    assert {key: set(state) for key, state in content.items()} == {
        'params': student,
        'params_ema': student,
    }
