"""Weights as they are released: against outputs of the official code."""

import re

import pytest
import torch
from conftest import ROOT, build, tiny
from safetensors.torch import save_file

from mtkd_basicsr.config import TeacherOptions
from mtkd_basicsr.errors import WeightsError
from mtkd_basicsr.teachers import TeacherEnsemble
from mtkd_basicsr.weights.conversions import (
    SOURCE_FORMATS,
    SourceFormat,
    infer_arguments,
    to_basicsr,
)
from mtkd_basicsr.weights.fitting import fit_weights
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import build as build_network
from mtkd_basicsr.weights.reading import READERS

GOLDEN = ROOT / 'tests' / 'golden'
CASES = {case['file']: case for case in torch.load(GOLDEN / 'formats.pth', weights_only=True)}
RELEASED = [name for name in CASES if name.endswith('.pt')]


def state_of(name):
    content = torch.load(GOLDEN / name, weights_only=True)
    return content.get('params', content)


def loaded(network, path):
    net = build_network(network, 'network').eval()
    load_weights(net, str(path), 'teachers.t.weights')
    return net


def difference(net, case):
    with torch.no_grad():
        return max((net(x['input']) - x['output']).abs().max().item() for x in case['examples'])


def in_params(state, path):
    torch.save(
        {'params': {k: torch.zeros_like(v) for k, v in state.items()}, 'params_ema': state}, path
    )


def with_prefix(state, path):
    torch.save({f'module.{k}': v for k, v in state.items()}, path)


def safetensors(state, path):
    save_file({k: v.contiguous() for k, v in state.items()}, path)


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize(
    ('write', 'ending'),
    [
        (None, ''),
        (torch.save, '.pth'),
        (in_params, '.pth'),
        (with_prefix, '.pth'),
        (safetensors, '.safetensors'),
    ],
)
def test_outputs_are_those_of_the_official_code(tmp_path, name, write, ending):
    path = GOLDEN / name
    if write is not None:
        path = tmp_path / f'weights{ending}'
        write(state_of(name), path)
    assert difference(loaded(CASES[name]['network'], path), CASES[name]) < 1e-5


@pytest.mark.parametrize('name', RELEASED)
def test_the_colour_mean_is_that_of_the_file(tmp_path, name):
    """DF2K has another mean than DIV2K: what comes out is shifted by as much as what goes in."""
    state = state_of(name)
    case = CASES[name]
    shift = torch.tensor([0.4690, 0.4490, 0.4036]) - torch.tensor([0.4488, 0.4371, 0.4040])
    state['sub_mean.bias'] = state['sub_mean.bias'] - 255 * shift
    state['add_mean.bias'] = state['add_mean.bias'] + 255 * shift
    torch.save(state, tmp_path / 'df2k.pt')
    net = loaded(case['network'], tmp_path / 'df2k.pt')
    shift = shift.view(1, 3, 1, 1)
    moved = {
        'examples': [
            {'input': x['input'] + shift, 'output': x['output'] + shift} for x in case['examples']
        ]
    }
    assert difference(net, moved) < 1e-5
    assert difference(net, case) > 1e-3


def of_range_1(state):
    """Weights that compute the same as those for [0, 255] from images in [0, 1], as a training with
    ``--rgb_range 1`` would have them.

    Convolutions and ReLU keep a factor if their biases have it; the attention of RCAN, which ends
    in a sigmoid, gets it back in its first weights.
    """
    scaled = {}
    for name, value in state.items():
        if 'conv_du.0.weight' in name:
            value = 255 * value
        elif name.endswith('bias') and 'conv_du' not in name:
            value = value / 255
        scaled[name] = value
    return scaled


@pytest.mark.parametrize('name', RELEASED)
@pytest.mark.parametrize('write', [torch.save, with_prefix, in_params])
def test_weights_of_rgb_range_1(tmp_path, name, write):
    write(of_range_1(state_of(name)), tmp_path / 'range_1.pt')
    case = CASES[name]
    network = {**case['network'], 'img_range': 1.0}
    net = loaded(network, tmp_path / 'range_1.pt')
    assert torch.allclose(net.mean.flatten(), torch.tensor([0.4488, 0.4371, 0.4040]), atol=1e-4)
    assert difference(net, case) < 1e-5
    text = re.escape('img_range: the weights of the file are for 1., 255.0 in the network')
    with pytest.raises(WeightsError, match=f'{text}; write img_range: 1.'):
        loaded({**network, 'img_range': 255.0}, tmp_path / 'range_1.pt')


@pytest.mark.parametrize('name', RELEASED)
@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'sub_mean.weight': torch.eye(3).view(3, 3, 1, 1) / 0.25}, 'sub_mean.weight: not the id'),
        ({'add_mean.weight': torch.eye(3).view(3, 3, 1, 1) * 0.25}, 'add_mean.weight: not the id'),
        ({'sub_mean.bias': torch.tensor([114.0, 111.0, 103.0])}, 'expected the negative of a mean'),
        ({'sub_mean.bias': torch.tensor([-29000.0, -29000.0, -2e4])}, 'a mean in .0, 255. or'),
    ],
)
def test_a_colour_mean_that_cannot_be_converted_is_refused(tmp_path, name, change, text):
    torch.save({**state_of(name), **change}, tmp_path / 'a.pt')
    with pytest.raises(WeightsError, match=f'teachers.t.weights: .*{text}'):
        loaded(CASES[name]['network'], tmp_path / 'a.pt')


def test_weights_of_grey_images_are_refused(tmp_path):
    """EDSR-PyTorch with ``--n_colors 1``."""
    state = state_of('edsr_pytorch_x3.pt')
    for name in ('head.0.weight', 'sub_mean.weight', 'add_mean.weight'):
        state[name] = state[name][:, :1]
    for name in ('tail.1.weight', 'tail.1.bias', 'sub_mean.weight', 'sub_mean.bias'):
        state[name] = state[name][:1]
    torch.save(state, tmp_path / 'grey.pt')
    with pytest.raises(
        WeightsError, match=r'conv_first.weight: \(16, 1, 3, 3\) in the file, \(16, 3'
    ):
        loaded(CASES['edsr_pytorch_x3.pt']['network'], tmp_path / 'grey.pt')


@pytest.mark.parametrize('name', RELEASED)
def test_another_colour_mean_than_in_the_options_is_said(tmp_path, name):
    """It is that of the weights which is used; the checkpoints of a training do not hold it."""
    mean = [0.4690, 0.4490, 0.4036]
    network = {**CASES[name]['network'], 'rgb_mean': mean}
    teachers = TeacherEnsemble(
        {'t': TeacherOptions(str(GOLDEN / name), network)}, network['upscale']
    )
    assert teachers.warnings == [
        f'teachers.t.network.rgb_mean: {mean}; that of the weights is used instead, '
        '[0.4488, 0.4371, 0.404]'
    ]
    content = torch.load(GOLDEN / name, weights_only=True)
    with pytest.raises(WeightsError, match=r'write rgb_mean: \[0.4488, 0.4371, 0.404\]'):
        fit_weights(build_network(network, 'n'), content, name, 'key', initial=True)
    fit_weights(build_network(CASES[name]['network'], 'n'), content, name, 'key', initial=True)


def test_a_network_of_ones_own_with_the_names_of_a_release(tmp_path):
    """A port of EDSR-PyTorch that is registered in BasicSR keeps its names."""

    class Port(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.sub_mean = torch.nn.Conv2d(3, 3, 1)
            self.head = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3))
            self.tail = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Conv2d(8, 3, 3))

    port = Port()
    torch.save({'params': port.state_dict()}, tmp_path / 'port.pth')
    other = Port()
    load_weights(other, str(tmp_path / 'port.pth'), 'teachers.t.weights')
    assert torch.equal(other.sub_mean.bias, port.sub_mean.bias)


def test_a_teacher_of_a_released_file(tmp_path):
    case = CASES['rcan_official_x2.pt']
    teachers = TeacherEnsemble(
        {'rcan': TeacherOptions(str(GOLDEN / case['file']), case['network'])}, 2
    )
    example = case['examples'][0]
    assert (teachers(example['input']) - example['output'].clamp(0, 1)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ('name', 'change', 'text'),
    [
        (
            'rcan_official_x2.pt',
            {'num_feat': 8},
            'does not fit RCAN: num_feat: 16 in the file, 8 in the network; conv_first.weight: ',
        ),
        ('rcan_official_x2.pt', {'num_group': 2}, 'num_group: 3 in the file, 2 in the network'),
        ('rcan_official_x2.pt', {'num_block': 1}, 'num_block: 2 in the file, 1 in the network'),
        (
            'rcan_official_x2.pt',
            {'squeeze_factor': 8},
            'squeeze_factor: 4 in the file, 8 in the network',
        ),
        ('rcan_official_x2.pt', {'upscale': 4}, 'upscale: 2 in the file, 4 in the network'),
        (
            'rcan_official_x2.pt',
            {'img_range': 1.0},
            'img_range: the weights of the file are for 255., 1.0 in the network',
        ),
        ('edsr_pytorch_x3.pt', {'num_block': 5}, 'num_block: 4 in the file, 5 in the network'),
        ('edsr_pytorch_x3.pt', {'upscale': 2}, 'upscale: 3 in the file, 2 in the network'),
        ('swinir_official_x4.pth', {'embed_dim': 8}, 'embed_dim: 24 in the file, 8 in the network'),
        (
            'swinir_official_x4.pth',
            {'depths': [2], 'num_heads': [4]},
            r'depths: \[2, 2\] in the file, \[2\] in the network',
        ),
        (
            'swinir_official_x4.pth',
            {'num_heads': [2, 2]},
            r'num_heads: \[4, 4\] in the file, \[2, 2\] in the network',
        ),
        (
            'swinir_official_x4.pth',
            {'window_size': 4},
            'window_size: 8 in the file, 4 in the network',
        ),
        (
            'swinir_official_x4.pth',
            {'upsampler': 'pixelshuffle'},
            'upsampler: pixelshuffledirect in the file, pixelshuffle in the network',
        ),
        ('swinir_official_x4.pth', {'upscale': 2}, 'upscale: 4 in the file, 2 in the network'),
    ],
)
def test_settings_of_the_option_file_that_the_weights_contradict_are_refused(name, change, text):
    with pytest.raises(WeightsError, match=f'teachers.t.weights: .*{text}'):
        loaded({**CASES[name]['network'], **change}, GOLDEN / name)


@pytest.mark.parametrize('arch', ['EDSR', 'RCAN', 'SwinIR'])
@pytest.mark.parametrize('scale', [2, 3, 4])
def test_arguments_are_inferred_from_the_shapes(arch, scale):
    for changes in [{}] + (
        [{'upsampler': 'pixelshuffledirect'}] if arch == 'SwinIR' else [{'num_feat': 12}]
    ):
        network = tiny(arch, scale, **changes)
        found = infer_arguments(build(network).state_dict())
        assert found, (arch, changes)
        assert found == {k: network[k] for k in found}, (arch, changes)


def test_a_file_of_another_network_lists_what_differs(tmp_path):
    state = {'features.0.weight': torch.zeros(1), **{f'layer{i}': torch.zeros(1) for i in range(9)}}
    torch.save(state, tmp_path / 'vgg.pth')
    with pytest.raises(
        WeightsError, match=re.escape('does not fit EDSR: conv_first.weight: only in the network')
    ):
        loaded(tiny('EDSR', 2), tmp_path / 'vgg.pth')
    assert to_basicsr(state) == (state, None)
    assert infer_arguments(state) == {}


@pytest.mark.parametrize('name', CASES)
def test_each_released_file_is_of_one_format(name):
    detected = [source.name for source in SOURCE_FORMATS if source.detect(state_of(name))]
    expected = {
        'edsr_pytorch_x3.pt': ['EDSR-PyTorch'],
        'rcan_official_x2.pt': ['official RCAN'],
        'swinir_official_x4.pth': [],
    }
    assert detected == expected[name]


def test_a_further_format_is_one_entry(tmp_path, monkeypatch):
    """Names as a made-up release has them: those of BasicSR in capitals."""
    network = tiny('EDSR', 2)
    state = build(network, 3).state_dict()
    torch.save({name.upper(): value for name, value in state.items()}, tmp_path / 'capitals.pth')
    with pytest.raises(WeightsError, match='does not fit EDSR'):
        loaded(network, tmp_path / 'capitals.pth')
    capitals = SourceFormat(
        'in capitals',
        lambda weights: all(name.isupper() for name in weights),
        lambda weights: ({name.lower(): value for name, value in weights.items()}, None),
    )
    monkeypatch.setattr(
        'mtkd_basicsr.weights.conversions.SOURCE_FORMATS', (*SOURCE_FORMATS, capitals)
    )
    net = loaded(network, tmp_path / 'capitals.pth')
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_formats_are_documented():
    page = (ROOT / 'docs' / 'data_and_weights.md').read_text(encoding='utf-8')
    for name in (*(source.name for source in SOURCE_FORMATS), *READERS):
        assert name in page, name


def test_an_unknown_ending_is_read_as_a_file_of_torch_save(tmp_path):
    state = build(tiny('EDSR', 2), 3).state_dict()
    torch.save(state, tmp_path / 'a.ckpt')
    assert torch.equal(
        loaded(tiny('EDSR', 2), tmp_path / 'a.ckpt').conv_last.weight, state['conv_last.weight']
    )
    (tmp_path / 'a.onnx').write_bytes(b'onnx')
    with pytest.raises(WeightsError, match=r'known formats: \.pth, \.pt, \.safetensors$'):
        loaded(tiny('EDSR', 2), tmp_path / 'a.onnx')
    (tmp_path / 'a.pth').write_bytes(b'pth')
    with pytest.raises(WeightsError) as caught:
        loaded(tiny('EDSR', 2), tmp_path / 'a.pth')
    assert 'known formats' not in str(caught.value)


def test_metadata_of_other_programs_are_left_alone(tmp_path):
    state = build(tiny('EDSR', 2), 3).state_dict()
    save_file(
        state, tmp_path / 'a.safetensors', {'format': 'pt', 'network': 'EDSR', 'scale': 'two'}
    )
    assert torch.equal(
        loaded(tiny('EDSR', 2), tmp_path / 'a.safetensors').conv_last.weight,
        state['conv_last.weight'],
    )


def test_a_broken_safetensors_file_is_refused(tmp_path):
    (tmp_path / 'a.safetensors').write_bytes(b'\x08\x00\x00\x00\x00\x00\x00\x00garbage')
    with pytest.raises(
        WeightsError, match="teachers.t.weights: '.*a.safetensors' cannot be read as weights"
    ):
        loaded(tiny('EDSR', 2), tmp_path / 'a.safetensors')
