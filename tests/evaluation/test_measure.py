import pytest
import torch
from conftest import tiny, write_weights

from mtkd_basicsr.archs.dctswin_arch import DCTSwin
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.evaluation import measure
from mtkd_basicsr.teachers import ensemble
from mtkd_basicsr.weights.networks import build


def test_all_references_are_measured_in_one_precision(make_options, monkeypatch):
    """On a GPU teachers run in bfloat16 by default; a table must not mix it with fp32."""
    asked = []
    decide = ensemble.teacher_precision

    def as_on_a_gpu(precision, device):
        asked.append(precision)
        return decide(precision or 'bf16', device)

    monkeypatch.setattr(ensemble, 'teacher_precision', as_on_a_gpu)
    config = training_config(make_options('MTKDModel'))
    functions, precisions = measure.references(config, 'cpu')
    assert asked == ['fp32']
    assert precisions == {'teachers': 'fp32', 'target': 'fp32'}
    lq = torch.rand(1, 3, 12, 16)
    outputs = torch.stack([functions[f'teacher {name}'](lq) for name in config.teachers])
    mean = functions['mean of teachers'](lq)
    torch.testing.assert_close(mean, outputs.clamp(0, 1).mean(0), rtol=0, atol=1e-6)


def test_everything_of_a_table_is_measured_in_full_fp32(make_options, tmp_path, monkeypatch):
    """On a GPU convolutions round to TF32 by default."""
    opt = make_options('MTKDModel')
    config = training_config(opt)
    functions, _ = measure.references(config, 'cpu', self_ensemble=True)
    (tmp_path / 'models').mkdir()
    write_weights(tmp_path / 'models' / 'net_g_latest.pth', opt['network_g'])
    functions['student'] = measure.load_trained(config, tmp_path, 'cpu')
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    convolve = torch.nn.Conv2d._conv_forward
    allowed = set()

    def conv_forward(*args):
        allowed.add(torch.backends.cudnn.allow_tf32)
        return convolve(*args)

    monkeypatch.setattr(torch.nn.Conv2d, '_conv_forward', conv_forward)
    assert len(functions) == 8
    for name, function in functions.items():
        allowed.clear()
        function(torch.rand(1, 3, 12, 16))
        assert allowed == (set() if name == 'bicubic' else {False}), name


@pytest.mark.parametrize('skip', ['none', 'mean', 'learned', 'adaptive'])
def test_a_fusion_network_is_timed_as_after_its_training(skip, monkeypatch):
    """Before, its last weights are zero, and on a CPU it does nothing but mix the teachers."""
    net = build(tiny('DCTSwin', 2, skip=skip), 'network')
    weights = {name: p.clone() for name, p in net.state_dict().items()}
    calls = []
    correct = DCTSwin._correction

    def correction(self, x):
        calls.append(x)
        return correct(self, x)

    monkeypatch.setattr(DCTSwin, '_correction', correction)
    state = torch.get_rng_state()
    lq = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = measure.cost(net, 2, lq, 'cpu')
    assert len(calls) == 6 + 1, 'timed, and counted'
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, weights[name]) for name, p in net.state_dict().items())
    torch.nn.init.normal_(net.conv_last.weight)
    assert measure.cost(net, 2, lq, 'cpu')['macs'] == found['macs'] > 0
