"""What a file has of a network: wrappers, other containers, and what stays random."""

import re

import numpy as np
import pytest
import torch
from conftest import build, tiny
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from mtkd_basicsr.errors import WeightsError
from mtkd_basicsr.weights.fitting import fit_weights
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import build as build_network
from mtkd_basicsr.weights.reading import read_weights
from mtkd_basicsr.weights.state_dicts import state_dict_of

NETWORKS = {
    'EDSR': tiny('EDSR', 2),
    'RCAN': tiny('RCAN', 2),
    'SwinIR': tiny('SwinIR', 2),
    'SRVGGNetCompact': {'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 2, 'upscale': 2},
}
KEY = 'teachers.a.weights'


def renamed(rename):
    """A file with one state dict under other names."""
    return lambda state: {rename(name): value for name, value in state.items()}


def below(*containers, **beside):
    """A file with the state dict below keys, and other things beside it."""

    def write(state):
        for name in reversed(containers):
            state = {name: state, **beside}
        return state

    return write


def other_networks(state):
    """A checkpoint of Lightning: the network, and that of its loss."""
    found = {f'model.{name}': value for name, value in state.items()}
    found.update({f'loss.vgg.{name}': value + 1 for name, value in state.items()})
    return {'epoch': 3, 'state_dict': found, 'hyper_parameters': {'lr': 1e-4}}


def generator_and_discriminator(state):
    found = {f'net_g.{name}': value for name, value in state.items()}
    found.update({f'net_d.{name}': value + 1 for name, value in state.items()})
    return {'state_dict': found, 'epoch': 2}


def average_and_running(state):
    """ema-pytorch: both networks, the average of which is preferred as ``params_ema`` is."""
    found = {f'online_model.{name}': value + 1 for name, value in state.items()}
    found.update({f'ema_model.{name}': value for name, value in state.items()})
    return found


def inserted(state):
    """torch.compile of a part of a network puts its name into the middle."""
    found = {}
    for name, value in state.items():
        first, _, rest = name.partition('.')
        found[f'{first}._orig_mod.{rest}' if rest else name] = value
    return found


WRAPPED = {
    'DataParallel': renamed('module.{}'.format),
    'torch.compile': renamed('_orig_mod.{}'.format),
    'torch.compile of a part': inserted,
    'DataParallel of torch.compile': renamed('module._orig_mod.{}'.format),
    'torch.compile of DataParallel': renamed('_orig_mod.module.{}'.format),
    'FSDP': renamed('_fsdp_wrapped_module.{}'.format),
    'net_g': renamed('net_g.{}'.format),
    'model': renamed('model.{}'.format),
    'generator': renamed('generator.{}'.format),
    'netG in module': renamed('module.netG.{}'.format),
    'params of torch.compile': lambda s: {'params': renamed('_orig_mod.{}'.format)(s)},
    'state_dict': below('state_dict', epoch=1),
    'model_state_dict': below('model_state_dict', epoch=1, loss=0.5),
    'state_dict in model': below('model', optimizer={'state': {}, 'param_groups': []}),
    'Lightning': other_networks,
    'generator and discriminator': generator_and_discriminator,
    'ema-pytorch': average_and_running,
}


def equal(net, state):
    return all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize('arch', NETWORKS)
@pytest.mark.parametrize('strict', [True, False])
def test_what_wrappers_add_is_taken_off(tmp_path, arch, strict):
    state = build_network(NETWORKS[arch], 'network').state_dict()
    for what, wrap in WRAPPED.items():
        torch.save(wrap(state), tmp_path / 'wrapped.pth')
        net = build_network(NETWORKS[arch], 'network')
        loaded = load_weights(net, str(tmp_path / 'wrapped.pth'), KEY, strict)
        assert equal(net, state), what
        assert loaded.warning is None, what


def test_a_moving_average_of_torch_is_taken_off_its_wrapper(tmp_path):
    net = build(NETWORKS['EDSR'], 3)
    torch.save(AveragedModel(net).state_dict(), tmp_path / 'swa.pth')  # with n_averaged
    loaded = build(NETWORKS['EDSR'], 4)
    load_weights(loaded, str(tmp_path / 'swa.pth'), KEY)
    assert equal(loaded, net.state_dict())


def test_a_network_whose_own_names_are_those_of_a_wrapper(tmp_path):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Conv2d(3, 3, 1)

    net = Own()
    torch.save(net.state_dict(), tmp_path / 'own.pth')
    torch.save({f'model.{k}': v for k, v in net.state_dict().items()}, tmp_path / 'wrapped.pth')
    for name in ('own.pth', 'wrapped.pth'):
        loaded = Own()
        load_weights(loaded, str(tmp_path / name), KEY)
        assert equal(loaded, net.state_dict()), name


def test_two_networks_that_fit_are_refused(tmp_path):
    state = build(NETWORKS['EDSR'], 3).state_dict()
    both = {
        f'{part}.{name}': value for part in ('student', 'teacher') for name, value in state.items()
    }
    torch.save(both, tmp_path / 'both.pth')
    with pytest.raises(
        WeightsError, match=f'{KEY}: .* several networks that fit, student., teacher'
    ):
        load_weights(build(NETWORKS['EDSR']), str(tmp_path / 'both.pth'), KEY)
    torch.save({'student': state, 'teacher': state}, tmp_path / 'both.pth')
    with pytest.raises(WeightsError, match='several state dicts, student, teacher; .* param_key'):
        load_weights(build(NETWORKS['EDSR']), str(tmp_path / 'both.pth'), KEY)
    load_weights(build(NETWORKS['EDSR']), str(tmp_path / 'both.pth'), KEY, param_key='teacher')


def part_of(state, names):
    return {name: value for name, value in state.items() if name.startswith(names)}


@pytest.mark.parametrize(
    ('what', 'change', 'text'),
    [
        ('nothing', lambda s: {f'x{i}': v for i, v in enumerate(s.values())}, 'it has 0 of the 12'),
        ('one', lambda s: part_of(s, ('conv_first',)), 'it has 2 of the 12 tensors, expected at'),
        ('the upsampler', lambda s: part_of(s, ('up', 'conv_last')), 'it has 4 of the 12'),
        (
            'none',
            lambda s: {'conv_firs.weight': s['conv_first.weight']},
            'in the file: conv_firs.w',
        ),
        ('capitals', renamed(str.upper), 'missing: conv_first.weight, conv_first.bias'),
        ('a wrapper nobody knows', renamed('wrapped_by_me.{}'.format), 'it has 0 of the 12'),
        (
            'other shapes',
            lambda s: {k: v[:4] for k, v in s.items()},
            r'conv_first.weight: \(4, 3, 3',
        ),
    ],
)
def test_too_little_of_a_network_is_refused(tmp_path, what, change, text):
    torch.save(change(build(NETWORKS['EDSR'], 3).state_dict()), tmp_path / 'a.pth')
    net = build(NETWORKS['EDSR'], 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(WeightsError, match=f"{KEY}: '.*a.pth' does not fit EDSR: .*{text}"):
        load_weights(net, str(tmp_path / 'a.pth'), KEY, strict=False)
    assert equal(net, before), 'a refused file has changed the network'


@pytest.mark.parametrize(
    ('arch', 'left_out', 'random'),
    [
        ('EDSR', 'conv_last', 'conv_last.weight, conv_last.bias'),
        ('EDSR', 'body.0.conv2.bias', 'body.0.conv2.bias'),
        ('RCAN', 'upsample', 'upsample.0.weight, upsample.0.bias'),
        ('SwinIR', 'conv_after_body', 'conv_after_body.weight, conv_after_body.bias'),
    ],
)
def test_what_stays_random_is_named(tmp_path, arch, left_out, random):
    state = build(NETWORKS[arch], 3).state_dict()
    partial = {name: value for name, value in state.items() if not name.startswith(left_out)}
    torch.save({'params': partial}, tmp_path / 'a.pth')
    net = build(NETWORKS[arch], 4)
    warning = load_weights(net, str(tmp_path / 'a.pth'), KEY, strict=False).warning
    assert re.match(rf"{KEY}: '.*a.pth': \d of the \d+ tensors of {arch} \(", warning), warning
    assert warning.endswith(f'% of its weights) are not in the file and stay random: {random}')
    assert equal(net, {**net.state_dict(), **partial})
    with pytest.raises(WeightsError, match='only in the network'):
        load_weights(net, str(tmp_path / 'a.pth'), KEY)


def test_a_training_starts_from_a_network_of_another_scale():
    """BasicSR's option files start ×3 and ×4 from ×2, with ``strict_load_g: false``."""
    state = build(tiny('EDSR', 2), 3).state_dict()
    content = {'params': state}
    for scale, text in ((3, 'in the file with other shapes: upsample.0.weight'), (4, 'upsample.2')):
        net = build(tiny('EDSR', scale))
        warning = fit_weights(net, content, 'x2.pth', KEY, strict=False, initial=True)
        assert text in warning
        assert torch.equal(net.body[0].conv1.weight, state['body.0.conv1.weight'])
    with pytest.raises(WeightsError, match=r'upsample.0.weight: \(32, 8, 3, 3\) in the file'):
        fit_weights(build(tiny('EDSR', 3)), content, 'x2.pth', KEY, strict=False)
    wide = build(tiny('EDSR', 2, num_feat=12)).state_dict()
    with pytest.raises(WeightsError, match='it has 1 of the 12 tensors'):  # the last bias
        fit_weights(build(tiny('EDSR', 2)), wide, 'w.pth', KEY, strict=False, initial=True)


def test_files_of_other_kinds(tmp_path):
    net = build(NETWORKS['EDSR'], 3)
    state = net.state_dict()
    optimizer = torch.optim.Adam(net.parameters())
    training = {'epoch': 1, 'iter': 7, 'optimizers': [optimizer.state_dict()], 'schedulers': []}
    torch.save({**training, 'adapters': dict(state)}, tmp_path / '7.state')
    torch.save(optimizer.state_dict(), tmp_path / 'optimizer.pth')
    torch.save(net, tmp_path / 'whole.pth')
    torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 4, 4)), tmp_path / 'a.pt')
    np.savez(tmp_path / 'a.npz', **{name: value.numpy() for name, value in state.items()})
    np.save(tmp_path / 'a.npy', np.zeros(3))
    expected = {
        '7.state': 'is the training state of iteration 7, .*; expected .* models/net_g_7.pth',
        'optimizer.pth': 'is the state of an optimizer; expected that of a network',
        'whole.pth': r'would call basicsr.archs.edsr_arch.EDSR, .*; if it is a whole network, save',
        'a.pt': 'it is a TorchScript archive; expected a state dict',
        'a.npz': 'cannot be read as weights: .*known formats: .pth, .pt, .safetensors',
        'a.npy': 'it was not written by torch.save; known formats',
    }
    for name, text in expected.items():
        for strict in (True, False):
            with pytest.raises(WeightsError, match=f"{KEY}: '.*{name}'.*{text}"):
                load_weights(build(NETWORKS['EDSR']), str(tmp_path / name), KEY, strict)


@pytest.mark.parametrize('arch', NETWORKS)
def test_what_a_file_is_decides_and_not_its_ending(tmp_path, arch):
    state = build_network(NETWORKS[arch], 'network').state_dict()
    torch.save(state, tmp_path / 'torch.safetensors')
    torch.save(state, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    # The length of the header decides the first byte, which may be that of a pickle.
    for length in range(0, 256, 8):
        save_file(state, tmp_path / 'a.pth', {'note': 'x' * length})
        assert list(read_weights(str(tmp_path / 'a.pth'), KEY)) == sorted(state)
    for name in ('torch.safetensors', 'a.pth', 'old.pth'):
        net = build_network(NETWORKS[arch], 'network')
        load_weights(net, str(tmp_path / name), KEY)
        assert equal(net, state), name


def test_weights_of_other_precisions_are_loaded(tmp_path):
    state = build(NETWORKS['EDSR'], 3).state_dict()
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        torch.save({name: value.to(dtype) for name, value in state.items()}, tmp_path / 'a.pth')
        net = build(NETWORKS['EDSR'], 4)
        load_weights(net, str(tmp_path / 'a.pth'), KEY)
        assert net.conv_last.weight.dtype == torch.float32
        assert equal(net, {name: value.to(dtype).float() for name, value in state.items()})


def test_buffers_of_swinir_that_depend_on_img_size_are_left_out(tmp_path):
    """``attn_mask`` of the official files has the size of their training."""
    trained = build(tiny('SwinIR', 2, img_size=32), 3)
    official = trained.state_dict()
    for name in list(official):
        if name.endswith('relative_position_index'):
            official[name.replace('relative_position_index', 'attn_mask')] = torch.zeros(4, 64, 64)
    for entry in ('params', 'params_ema'):
        torch.save({entry: official}, tmp_path / 'swinir.pth')
        for strict in (True, False):
            net = build(tiny('SwinIR', 2, img_size=16), 4)
            assert load_weights(net, str(tmp_path / 'swinir.pth'), KEY, strict).warning is None
            lq = torch.rand(1, 3, 16, 24)
            with torch.no_grad():
                assert torch.equal(net.eval()(lq), trained.eval()(lq))
    with pytest.raises(WeightsError, match='window_size: 8 in the file, 4 in the network'):
        load_weights(build(tiny('SwinIR', 2, window_size=4)), str(tmp_path / 'swinir.pth'), KEY)


@pytest.mark.parametrize(
    ('arch', 'change', 'text'),
    [
        ('EDSR', {'img_range': 1.0}, 'img_range: 255.0 in the file, 1.0 in the network'),
        ('EDSR', {'res_scale': 0.1}, 'res_scale: 1 in the file, 0.1 in the network'),
        ('EDSR', {'rgb_mean': [0.4690, 0.4490, 0.4036]}, 'rgb_mean: .* in the file'),
        ('RCAN', {'res_scale': 0.5}, 'res_scale: 1 in the file, 0.5 in the network'),
        ('SwinIR', {'img_range': 255.0}, r'img_range: 1.0 in the file, 255.0 in the network'),
    ],
)
def test_arguments_that_a_checkpoint_records_are_compared(tmp_path, arch, change, text):
    network = NETWORKS[arch]
    content = {
        'params': build(network, 3).state_dict(),
        'mtkd': {'network': network, 'scale': 2, 'version': '0.1.0'},
    }
    fit_weights(build(network), content, 'a.pth', KEY)
    for strict in (True, False):
        with pytest.raises(WeightsError, match=text):
            fit_weights(build({**network, **change}), content, 'a.pth', KEY, strict)


@pytest.mark.parametrize(
    ('name', 'value', 'is_refused'),
    [
        ('attn.causal_bias', float('-inf'), False),  # a buffer
        ('attn_mask', float('-inf'), False),
        ('attn.causal_bias', float('inf'), True),
        ('conv.bias', float('-inf'), True),
        ('conv.weight', float('-inf'), True),
        ('attn.causal_bias', float('nan'), True),
    ],
)
def test_only_buffers_may_hold_minus_infinity(tmp_path, name, value, is_refused):
    path = str(tmp_path / 'net.pth')
    torch.save({'params': {name: torch.tensor([0.0, value])}}, path)
    if not is_refused:
        state_dict_of(read_weights(path, 'key'), None, 'key')
        return
    with pytest.raises(WeightsError, match=f'{name} contains (Inf|NaN)'):
        state_dict_of(read_weights(path, 'key'), None, 'key')
