"""Files of ``mtkd export`` that other programs open: released names, folded graphs, 16 bits."""

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import build, tiny
from helpers.students import STUDENTS, opened, output, photograph
from safetensors import safe_open

from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.utils.image_tensors import to_array
from mtkd_basicsr.utils.version import __version__
from mtkd_basicsr.weights.networks import build as build_network


@pytest.fixture
def weights(tmp_path):
    """Writes a student's checkpoint as ``mtkd train`` does; gives the network in ``eval()``."""

    def write(network):
        net = build(network, 3).eval()
        if network.get('arch') == 'SPAN':
            with torch.no_grad():
                net.model.upsampler[0].weight *= 0.02  # to the range of an image
        mtkd = {'network': network, 'scale': 2, 'version': __version__}
        torch.save({'params': net.state_dict(), 'mtkd': mtkd}, tmp_path / 'student.pth')
        return net

    return write


@pytest.mark.parametrize(
    ('student', 'half'),
    [*((name, False) for name in (*STUDENTS, 'EDSR')), ('RCAN', True), ('ECBSR', True)],
)
def test_weights_open_elsewhere(here, tmp_path, weights, student, half):
    network = STUDENTS.get(student) or tiny('EDSR', 2)
    net = weights(network)
    arguments = ['--half'] if half else []
    printed = here('export', '--weights', 'student.pth', '--out', 'mine.pth', *arguments)
    found, name = opened(tmp_path / 'mine.pth', network)
    known = {'Compact': 'RealESRGAN Compact', 'ECBSR': 'RealESRGAN Compact', 'RealPLKSR': 'PLKSR'}
    assert name == (None if student in ('EDSR', 'MSRResNet') else known.get(student, student))
    assert (f'opened as {name} (spandrel)' in printed) == (name is not None)
    lq = photograph()
    difference = (output(found, lq.clone()) - output(net, lq)).abs().max()
    assert difference < (1e-2 if half else 1e-5)
    content = torch.load(tmp_path / 'mine.pth', weights_only=True)
    is_bare = student in ('EDSR', 'RCAN')
    state = content if is_bare else content['params']
    dtypes = {
        value.dtype
        for key, value in state.items()
        if value.is_floating_point() and not key.startswith(('sub_mean', 'add_mean'))
    }
    assert dtypes == {torch.float16 if half else torch.float32}
    if not is_bare:
        mtkd = content['mtkd']
        assert (mtkd['scale'], mtkd['color_order'], mtkd['value_range']) == (2, 'RGB', '[0, 1]')


@pytest.mark.parametrize('student', ['SPAN', 'ECBSR', 'RCAN'])
def test_upscale_takes_what_was_exported(here, tmp_path, weights, student):
    """Without an option file: the file names its network, or spandrel knows it."""
    net = weights(STUDENTS[student])
    image = np.ascontiguousarray(load('chelsea')[100:160, 120:196, ::-1])
    cv2.imwrite(str(tmp_path / 'cat.png'), image)
    expected = to_array(output(net, photograph()))
    here('export', '--weights', 'student.pth', '--out', 'mine.pth')
    here('export', '--weights', 'student.pth', '--out', 'mine.safetensors')
    for name in ('mine.pth', 'mine.safetensors'):
        here('upscale', 'cat.png', '--weights', name, '--out', name.partition('.')[2])
        result = cv2.imread(str(tmp_path / name.partition('.')[2] / 'cat_x2.png'))
        assert np.abs(result.astype(int) - expected).max() <= 1


def test_spandrel_opens_the_safetensors_file_of_its_own_networks(here, tmp_path, weights):
    net = weights(STUDENTS['SPAN'])
    here('export', '--weights', 'student.pth', '--out', 'mine.safetensors')
    found, name = opened(tmp_path / 'mine.safetensors', STUDENTS['SPAN'])
    assert name == 'SPAN'
    lq = photograph()
    assert (output(found, lq) - output(net, lq)).abs().max() < 1e-5
    with safe_open(tmp_path / 'mine.safetensors', framework='pt') as file:
        texts = file.metadata()
        # Programs that read the folded convolutions and nothing else get those of the weights.
        stored = file.get_tensor('block_1.c1_r.eval_conv.weight')
    assert (texts['color_order'], texts['value_range'], texts['scale']) == ('RGB', '[0, 1]', '2')
    assert torch.equal(stored, net.model.block_1.c1_r.eval_conv.weight)


def test_a_network_that_spandrel_reads_as_another_one_is_not_kept(here, tmp_path, weights):
    weights({**tiny('SwinIR', 2), 'img_range': 255.0})
    printed = here('export', '--weights', 'student.pth', '--out', 'mine.pth', expect=1)
    assert "'mine.pth': differs from PyTorch by" in printed
    assert not (tmp_path / 'mine.pth').exists()


def test_without_spandrel_the_file_is_opened_as_basicsr_does(here, tmp_path, weights, monkeypatch):
    import sys

    weights(STUDENTS['RCAN'])
    monkeypatch.setitem(sys.modules, 'spandrel', None)
    printed = here('export', '--weights', 'student.pth', '--out', 'mine.pth')
    assert 'names of the weights: the official RCAN' in printed
    assert 'spandrel is not installed, or knows no such network: opened as BasicSR' in printed


def test_an_activation_that_compact_has_not_is_refused(here, tmp_path, weights):
    weights({**STUDENTS['ECBSR'], 'act_type': 'relu'})
    printed = here('export', '--weights', 'student.pth', '--out', 'mine.pth', expect=1)
    assert "network_g.act_type: 'relu'; expected prelu" in printed
    assert [path.name for path in tmp_path.iterdir()] == ['student.pth']


@pytest.mark.parametrize('student', ['SPAN', 'ECBSR'])
def test_torchscript_files_are_folded(here, tmp_path, weights, student):
    net = weights(STUDENTS[student])
    here('export', '--weights', 'student.pth', '--out', 'mine.pt')
    graph = torch.jit.load(tmp_path / 'mine.pt')
    lq = photograph()
    with torch.no_grad():
        assert (graph(lq) - output(net, lq)).abs().max() < 1e-5
        trained = net.train()(lq).clamp(0, 1)
    assert (graph(lq) - trained).abs().max() < 1e-5
    assert 2.5 * sum(p.numel() for p in graph.parameters()) < sum(
        p.numel() for p in net.parameters()
    )


def run_onnx(path, lq):
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    assert {value.type for value in (*session.get_inputs(), *session.get_outputs())} == {
        'tensor(float)'
    }
    texts = session.get_modelmeta().custom_metadata_map
    return torch.from_numpy(session.run(None, {'lq': lq.numpy()})[0]), texts


# Convolutions that are left: SPAN has 20 folded ones, one behind the concatenation, and one before
# the upsampler; ECBSR one for each of its blocks.
CONVOLUTIONS = {'SPAN': 22, 'ECBSR': 6}


@pytest.mark.slow
@pytest.mark.parametrize('student', ['SPAN', 'ECBSR'])
def test_onnx_files_are_folded(here, tmp_path, weights, student):
    net = weights(STUDENTS[student])
    here('export', '--weights', 'student.pth', '--out', 'mine.onnx')
    lq = photograph()
    found, texts = run_onnx(tmp_path / 'mine.onnx', lq)
    assert (found - output(net, lq)).abs().max() < 1e-5
    with torch.no_grad():
        assert (found - net.train()(lq).clamp(0, 1)).abs().max() < 1e-5
    graph = onnx.load(tmp_path / 'mine.onnx').graph
    assert sum(node.op_type == 'Conv' for node in graph.node) == CONVOLUTIONS[student]
    assert texts['precision'] == 'fp32'
    assert (texts['color_order'], texts['value_range'], texts['scale']) == ('RGB', '[0, 1]', '2')


@pytest.mark.slow
def test_onnx_files_of_other_networks_of_spandrel(here, tmp_path, weights):
    net = weights(STUDENTS['RealPLKSR'])
    here('export', '--weights', 'student.pth', '--out', 'mine.onnx')
    lq = photograph()
    assert (run_onnx(tmp_path / 'mine.onnx', lq)[0] - output(net, lq)).abs().max() < 1e-5


@pytest.mark.slow
def test_onnx_files_of_16_bits(here, tmp_path, weights):
    net = weights(tiny('EDSR', 2))
    printed = here('export', '--weights', 'student.pth', '--out', 'half.onnx', '--half')
    assert '16-bit weights change a photograph by at most' in printed
    lq = photograph()
    found, texts = run_onnx(tmp_path / 'half.onnx', lq)
    assert texts['precision'] == 'fp16'
    assert 0 < (found - output(net, lq)).abs().max() < 5e-3
    graph = onnx.load(tmp_path / 'half.onnx').graph
    kinds = {value.data_type for value in graph.initializer if len(value.dims) == 4}
    assert kinds == {onnx.TensorProto.FLOAT16}
    stored = sum(len(value.raw_data) for value in graph.initializer)
    assert stored < 0.6 * 4 * sum(p.numel() for p in net.parameters())


def test_numbers_that_16_bits_cannot_hold_are_refused(here, tmp_path, weights):
    net = weights(tiny('EDSR', 2))
    content = torch.load(tmp_path / 'student.pth', weights_only=True)
    content['params']['conv_first.weight'] *= 1e6
    torch.save(content, tmp_path / 'student.pth')
    for name in ('mine.onnx', 'mine.pth'):
        printed = here('export', '--weights', 'student.pth', '--out', name, '--half', expect=1)
        assert '--half: the weights are too large for 16 bits' in printed
    assert net is not None
    assert [path.name for path in tmp_path.iterdir()] == ['student.pth']


def test_a_student_of_spandrel_reads_its_checkpoint_again(weights, tmp_path):
    net = weights(STUDENTS['RealPLKSR'])
    again = build_network(STUDENTS['RealPLKSR'], 'network').eval()
    again.load_state_dict(torch.load(tmp_path / 'student.pth', weights_only=True)['params'])
    assert torch.equal(output(again, photograph()), output(net, photograph()))


def test_16_bits_hold_small_whole_numbers_in_few_bits(here, tmp_path, weights):
    """The masks and indices of a small SwinIR take more than its weights."""
    net = weights(tiny('SwinIR', 2))
    here(
        'export',
        '--weights',
        'student.pth',
        '--format',
        'safetensors',
        '--half',
        '--out',
        'a.safetensors',
    )
    found = {}
    with safe_open(tmp_path / 'a.safetensors', framework='pt') as file:
        for name in file.keys():
            found[name] = file.get_tensor(name)
    few = {}
    for name, value in net.state_dict().items():
        if name.endswith(('relative_position_index', 'attn_mask')):
            few[name.rsplit('.', 1)[-1]] = found[name].dtype
            assert torch.equal(found[name].to(value.dtype), value), name
        else:
            assert found[name].dtype == torch.float16, name
    assert few == {'relative_position_index': torch.uint8, 'attn_mask': torch.int8}
