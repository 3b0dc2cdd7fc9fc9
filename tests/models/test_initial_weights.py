"""Random weights of students other than their own."""

import pytest
import torch
from basicsr.archs.srvgg_arch import SRVGGNetCompact
from helpers.trainings import batch_of, model_of
from skimage import data

from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.models.initial_weights import he_initialise

COMPACT = {'type': 'SRVGGNetCompact', 'num_feat': 16, 'num_conv': 16, 'upscale': 2}


def sizes_of_signals(net):
    """How much the outputs of each convolution vary over a photograph, away from its edges."""
    found = []

    def measure(module, inputs, output):
        found.append(output[..., 20:44, 20:44].std((2, 3)).mean())

    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(measure)
    pixels = torch.from_numpy(data.astronaut()[:64, 100:164].copy())
    with torch.no_grad():
        net(pixels.permute(2, 0, 1)[None].float() / 255)
    return [size.item() for size in found]


def test_a_chain_of_convolutions_keeps_the_size_of_its_signal():
    torch.manual_seed(0)
    net = SRVGGNetCompact(num_feat=64, num_conv=16, upscale=4)
    first, *_, last = sizes_of_signals(net)
    assert last < 1e-4 * first  # the usual weights of torch
    he_initialise(net)
    first, *others, last = sizes_of_signals(net)
    assert all(0.2 * first < size < 5 * first for size in others)
    assert 0.02 * first < last < 0.5 * first


def test_a_student_begins_with_the_weights_that_were_asked_for(make_options, tmp_path):
    weights = {}
    for init in (None, 'he'):
        opt = make_options('MTKDModel', network_g=COMPACT, train__init=init)
        model = model_of(opt, tmp_path)
        weights[init] = {k: v.clone() for k, v in model.net_g.state_dict().items()}
        # The moving average begins where the student does.
        assert all(
            torch.equal(v, weights[init][k]) for k, v in model.net_g_ema.state_dict().items()
        )
        model.feed_data(batch_of(opt, tmp_path))
        model.optimize_parameters(1)
    key = 'body.4.weight'
    assert weights['he'][key].std() > 1.5 * weights[None][key].std()
    assert not weights['he']['body.4.bias'].any()
    path = tmp_path / 'start.pth'
    torch.save({'params': weights[None]}, path)
    opt = make_options(
        'MTKDModel', network_g=COMPACT, train__init='he', path__pretrain_network_g=str(path)
    )
    loaded = model_of(opt, tmp_path).net_g.state_dict()
    assert all(torch.equal(v, weights[None][k]) for k, v in loaded.items())


@pytest.mark.parametrize('model', ['MTKDModel', 'MTKDFusionModel'])
def test_other_values_and_stage_1_are_refused(make_options, tmp_path, model):
    value, text = ('kaiming', 'expected he') if model == 'MTKDModel' else ('he', 'for students')
    with pytest.raises(OptionError, match=f"train.init: '{value}'; .*{text}"):
        model_of(make_options(model, train__init=value), tmp_path)
