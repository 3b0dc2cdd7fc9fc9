"""Weights under the names that other programs know: the way back of ``test_conversions.py``."""

import pytest
import torch
from conftest import ROOT, build, tiny

from mtkd_basicsr.errors import ExportError
from mtkd_basicsr.weights.folding import fold
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import build as build_network
from mtkd_basicsr.weights.released import released

GOLDEN = ROOT / 'tests' / 'golden'
ECBSR = {
    'type': 'ECBSR',
    'num_in_ch': 3,
    'num_out_ch': 3,
    'num_block': 2,
    'num_channel': 8,
    'with_idt': True,
    'act_type': 'prelu',
    'scale': 2,
}


def images(*size):
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize('name', ['edsr_pytorch_x3.pt', 'rcan_official_x2.pt'])
def test_the_authors_own_files_come_back_as_they_were(name):
    """The files were written by the authors' code (tests/golden/README.md)."""
    cases = torch.load(GOLDEN / 'formats.pth', weights_only=True)
    network = next(case for case in cases if case['file'] == name)['network']
    net = build(network).eval()
    load_weights(net, str(GOLDEN / name), 'weights')
    found = released(net, network)
    theirs = torch.load(GOLDEN / name, weights_only=True)
    assert found.network is None, 'a bare state dict, as the authors load it'
    assert found.state.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.allclose(found.state[key], value, rtol=1e-6, atol=1e-6), key


@pytest.mark.parametrize('changes', [{}, {'img_range': 1.0}, {'res_scale': 0.1}])
@pytest.mark.parametrize('upscale', [2, 3, 4])
def test_spandrel_computes_the_same_rcan_with_the_official_names(changes, upscale):
    """Range and scale of the residuals, which its files do not show, go into the weights."""
    spandrel = pytest.importorskip('spandrel')
    network = tiny('RCAN', upscale, num_group=2, num_block=2, rgb_mean=[0.5, 0.4, 0.3], **changes)
    net = build(network, 4).eval()
    state = released(net, network).state
    model = spandrel.ModelLoader().load_from_state_dict(state).model.eval()
    lq = images(20, 31)
    with torch.no_grad():
        expected = net(lq)
        assert (model(lq.clone()) - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


def test_the_scale_of_residuals_of_edsr_is_said():
    network = tiny('EDSR', 2, res_scale=0.1)
    assert '0.1' in released(build(network).eval(), network).hint
    network = tiny('EDSR', 2)
    assert released(build(network).eval(), network).hint == ''


@pytest.mark.parametrize('with_idt', [False, True])
def test_a_folded_ecbsr_is_a_compact_network(with_idt):
    network = {**ECBSR, 'with_idt': with_idt}
    net = build(network, 5).eval()
    found = released(net, network)
    assert found.network == {
        'type': 'SRVGGNetCompact',
        'num_feat': 8,
        'num_conv': 2,
        'upscale': 2,
    }
    compact = build_network(found.network, 'network').eval()
    compact.load_state_dict(found.state)
    lq = images(17, 22)
    with torch.no_grad():
        assert (compact(lq) - net(lq)).abs().max() < 1e-5
        # The network that was trained, with all of its branches.
        assert (compact(lq) - net.train()(lq)).abs().max() < 1e-5


def test_an_ecbsr_whose_activation_no_weights_show_is_refused():
    network = {**ECBSR, 'act_type': 'relu'}
    with pytest.raises(ExportError, match="network_g.act_type: 'relu'; expected prelu"):
        released(build(network).eval(), network)


SPAN = {
    'type': 'Spandrel',
    'arch': 'SPAN',
    'num_in_ch': 3,
    'num_out_ch': 3,
    'feature_channels': 12,
    'upscale': 2,
}


@pytest.mark.parametrize('network', [SPAN, ECBSR, {**ECBSR, 'act_type': 'relu'}])
def test_folded_networks_compute_what_was_trained(network):
    net = build(network, 6)
    if network is SPAN:
        with torch.no_grad():
            net.model.upsampler[0].weight *= 0.02  # to the range of an image
    count = sum(p.numel() for p in net.parameters())
    lq = images(19, 24)
    with torch.no_grad():
        trained = net.train()(lq)
        folded = fold(net.eval())
        found = folded(lq)
    assert 0.5 < trained.abs().max() < 3
    assert (found - trained).abs().max() < 1e-5
    assert 2.5 * sum(p.numel() for p in folded.parameters()) < count
    names = {type(module).__name__ for module in folded.modules()}
    assert not names & {'ECB', 'SeqConv3x3', 'Conv3XC'}
    # What is folded has nothing left to compute: another run with other weights of the branches.
    assert torch.equal(fold(folded)(lq), found)


def test_other_networks_are_not_folded():
    net = build(tiny('RCAN', 2)).eval()
    before = [type(module) for module in net.modules()]
    assert [type(module) for module in fold(net).modules()] == before
