"""What no file has set is named: in ``mtkd check``, in the log, and by ``mtkd cache``."""

import logging

import pytest
import torch
from conftest import build, dataset, tiny, with_cache, write_options, write_weights
from helpers.trainings import model_of

from mtkd_basicsr.errors import OptionError, WeightsError

RANDOM = 'of its weights) are not in the file and stay random: conv_last.weight, conv_last.bias'


def without_end(path, arch, seed=3):
    """Weights of a network without its last layer."""
    state = build(tiny(arch, 2), seed).state_dict()
    state = {name: value for name, value in state.items() if not name.startswith('conv_last')}
    torch.save({'params': state}, path)
    return str(path)


@pytest.fixture
def partial(make_options, tmp_path):
    """A training whose teacher, fusion network and student take only a part from their files."""
    opt = make_options('MTKDModel')
    opt['teachers']['rcan'].update(weights=without_end(tmp_path / 'r.pth', 'RCAN'), strict=False)
    opt['fusion'].update(weights=without_end(tmp_path / 'f.pth', 'DCTSwin'), strict=False)
    opt['path'].update(
        pretrain_network_g=without_end(tmp_path / 's.pth', 'EDSR'), strict_load_g=False
    )
    return opt


KEYS = {
    'teachers.rcan.weights': 'RCAN',
    'fusion.weights': 'DCTSwin',
    'path.pretrain_network_g': 'EDSR',
}


def test_check_names_what_stays_random(here, tmp_path, partial):
    with pytest.raises(SystemExit):  # random teachers are below bicubic
        here('check', '-opt', write_options(tmp_path / 'o.yml', partial), '--no-steps')
    printed = here.printed()
    warnings = [line[8:] for line in printed.splitlines() if line.startswith('WARNING')]
    for key, arch in KEYS.items():
        found = [line for line in warnings if line.startswith(f'{key}: ') and RANDOM in line]
        assert len(found) == 1, printed
        assert f'tensors of {arch} (' in found[0]


def test_the_log_names_what_stays_random(tmp_path, partial, caplog):
    with caplog.at_level(logging.WARNING, 'basicsr'):
        model = model_of(partial, tmp_path)
    texts = [record.getMessage() for record in caplog.records if RANDOM in record.getMessage()]
    assert sorted(text.split(': ')[0] for text in texts) == sorted(KEYS)
    state = torch.load(partial['path']['pretrain_network_g'], weights_only=True)['params']
    for net in (model.net_g, model.net_g_ema):
        assert torch.equal(net.body[0].conv1.weight, state['body.0.conv1.weight'])
    # What is random in the student is not random a second time in its moving average.
    assert torch.equal(model.net_g.conv_last.weight, model.net_g_ema.conv_last.weight)


def test_stage_1_names_what_stays_random(tmp_path, make_options, caplog):
    opt = make_options('MTKDFusionModel')
    opt['teachers']['edsr'].update(weights=without_end(tmp_path / 'e.pth', 'EDSR'), strict=False)
    with caplog.at_level(logging.WARNING, 'basicsr'):
        model_of(opt, tmp_path)
    texts = [record.getMessage() for record in caplog.records]
    assert any(text.startswith('teachers.edsr.weights: ') and RANDOM in text for text in texts)


def test_the_cache_names_what_stays_random(here, tmp_path, partial):
    opt = with_cache(partial, tmp_path / 'c.lmdb')
    printed = here('cache', '-opt', write_options(tmp_path / 'o.yml', opt), '--workers', '0')
    for key in ('teachers.rcan.weights', 'fusion.weights'):
        assert f'WARNING {key}: ' in printed
    assert printed.count(RANDOM) == 2


@pytest.mark.parametrize('stage', ['MTKDModel', 'KDModel', 'MTKDFusionModel'])
def test_a_test_of_random_weights_is_refused(make_options, tmp_path, stage):
    opt = make_options(stage)
    opt['datasets'] = {'test': opt['datasets']['val']}
    with pytest.raises(OptionError, match='path.pretrain_network_g: missing; without trained'):
        model_of(opt, tmp_path, is_train=False)


def test_a_bare_state_dict_starts_a_training_with_a_moving_average(make_options, tmp_path):
    """BasicSR looks for ``params_ema`` or ``params`` whatever ``param_key_g`` says."""
    network = tiny('EDSR', 2)
    write_weights(tmp_path / 'bare.pth', network, 3, key=None)
    write_weights(tmp_path / 'lightning.ckpt', network, 3, key='state_dict')
    state = build(network, 3).state_dict()
    for name, entry in (('bare.pth', None), ('lightning.ckpt', 'state_dict')):
        opt = make_options('KDModel', train__kd={'type': 'Scratch'})
        opt['path'].update(pretrain_network_g=str(tmp_path / name), param_key_g=entry)
        model = model_of(opt, tmp_path)
        for net in (model.net_g, model.net_g_ema):
            assert torch.equal(net.conv_last.weight, state['conv_last.weight'])
    opt['path']['param_key_g'] = 'state_dct'
    with pytest.raises(WeightsError, match="has no 'state_dct'; it has state_dict"):
        model_of(opt, tmp_path)


def test_a_wrapped_student_is_tested(here, make_options, tmp_path, photographs):
    network = tiny('EDSR', 2)
    state = build(network, 3).state_dict()
    psnr = []
    for prefix in ('', '_orig_mod.', 'module._orig_mod.'):
        torch.save({'params': {prefix + k: v for k, v in state.items()}}, tmp_path / 's.pth')
        opt = make_options('KDModel', name=f'test{len(psnr)}')
        opt['datasets'] = {'test': dataset(photographs, 'val', 2)}
        opt['path'] = {'pretrain_network_g': 's.pth', 'strict_load_g': True}
        for key in ('train', 'logger', 'teachers', 'fusion'):
            opt.pop(key, None)
        printed = here('test', '-opt', write_options(tmp_path / 'o.yml', opt))
        psnr.append(printed.rpartition('psnr: ')[2].split()[0])
    assert len(set(psnr)) == 1, psnr
