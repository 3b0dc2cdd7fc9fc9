"""Checkpoints and training states that version 0.1.0 wrote are resumed and tested."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from conftest import mtkd, write_options

STAGES = ('stage_1', 'stage_2')


def psnr_in(text):
    return [float(value) for value in re.findall(r'# psnr: ([\d.]+)', text)]


def parameters_of(path):
    content = torch.load(path, weights_only=True)
    return torch.cat([p.flatten() for p in content['params'].values() if p.is_floating_point()])


@pytest.mark.parametrize('stage', STAGES)
def test_a_training_is_resumed_as_version_0_1_0_resumed_it(version_0_1_0, here, stage):
    """Two more iterations give what they gave then."""
    experiment = version_0_1_0 / 'experiments' / stage
    models = experiment / 'models'
    middle = parameters_of(models / 'net_g_2.pth')
    expected = parameters_of(models / 'net_g_4.pth')
    for path in models.glob('net_g_[!2]*'):
        path.unlink()
    printed = here('train', '-opt', f'{stage}.yml', '--auto_resume')
    assert f'Set pretrain_network_g to {models}/net_g_2.pth' in printed
    found = parameters_of(models / 'net_g_4.pth')
    # Another machine or version of PyTorch rounds in another way.
    assert (found - expected).abs().mean() < 0.02 * (expected - middle).abs().mean()


@pytest.mark.parametrize('stage', STAGES)
def test_an_old_checkpoint_is_tested(version_0_1_0, stage):
    """With the weights that the validation after two iterations had, on the same images."""
    first, _ = sorted(Path('experiments', stage).glob('train_*.log'))
    validated = psnr_in(first.read_text(encoding='utf-8'))[-1]
    _, _, text = Path(f'{stage}.yml').read_text(encoding='utf-8').partition('\n')
    opt = yaml.safe_load(text)
    opt['datasets'] = {'test_1': opt['datasets']['val']}
    opt['path'].update(
        pretrain_network_g=f'experiments/{stage}/models/net_g_2.pth', param_key_g='params_ema'
    )
    printed = mtkd('test', '-opt', write_options('test.yml', opt), cwd=version_0_1_0)
    assert psnr_in(printed) == [pytest.approx(validated, abs=0.002)]
