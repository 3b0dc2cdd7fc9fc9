"""Networks of spandrel as students: what is built is what spandrel opens, or it is refused."""

import re
import sys

import pytest
import torch
from basicsr.archs import build_network
from conftest import dataset, options_for, override, run, write_options

from mtkd_basicsr.archs import Spandrel, SpandrelNetwork
from mtkd_basicsr.archs.spandrel_arch import architectures
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.teachers.spandrel import read_spandrel
from mtkd_basicsr.weights.networks import build, size_multiple

spandrel = pytest.importorskip('spandrel')

SPAN = {'arch': 'SPAN', 'num_in_ch': 3, 'num_out_ch': 3, 'feature_channels': 8, 'upscale': 2}
WINDOWS = {'upscale': 2, 'img_size': 16, 'embed_dim': 16, 'window_size': 8, 'mlp_ratio': 2}
LAYERS = {'depths': [2], 'num_heads': [2]}
ATTENTION = {**WINDOWS, **LAYERS}
# Small networks, and the multiple of which their inputs have to be.
NETWORKS = [
    (SPAN, 1),
    ({'arch': 'Compact', 'num_feat': 8, 'num_conv': 3, 'upscale': 2}, 1),
    ({'arch': 'RealPLKSR', 'dim': 8, 'n_blocks': 2, 'kernel_size': 5, 'upscaling_factor': 2}, 1),
    ({'arch': 'PLKSR', 'dim': 8, 'n_blocks': 2, 'kernel_size': 5, 'upscaling_factor': 2}, 1),
    ({'arch': 'ESRGAN', 'num_filters': 8, 'num_blocks': 2, 'scale': 4}, 1),
    ({'arch': 'RCAN', 'n_resgroups': 2, 'n_resblocks': 1, 'n_feats': 8, 'reduction': 2}, 1),
    ({'arch': 'SwinIR', **ATTENTION, 'upsampler': 'pixelshuffledirect'}, 8),
    ({'arch': 'Swin2SR', **ATTENTION, 'upsampler': 'pixelshuffledirect'}, 8),
    ({'arch': 'HAT', **ATTENTION, 'embed_dim': 32, 'upsampler': 'pixelshuffle'}, 8),
    ({'arch': 'ATD', **ATTENTION, 'upsampler': 'pixelshuffledirect'}, 8),
    ({'arch': 'DRCT', **ATTENTION, 'upsampler': 'pixelshuffle', 'gc': 8}, 16),
    ({'arch': 'OmniSR', 'num_feat': 16, 'res_num': 1, 'up_scale': 2}, 8),
    ({'arch': 'SAFMN', 'dim': 8, 'n_blocks': 2, 'upscaling_factor': 2}, 8),
    ({'arch': 'DITN', 'dim': 12, 'ITL_blocks': 1, 'SAL_blocks': 1, 'UFONE_blocks': 1}, 8),
    ({'arch': 'MoSR', 'dim': 16, 'n_block': 2, 'upscale': 2}, 1),
    ({'arch': 'SeemoRe', 'scale': 2, 'num_layers': 2, 'embedding_dim': 12}, 1),
    ({'arch': 'SwiftSRGAN', 'num_channels': 8, 'num_blocks': 2, 'upscale_factor': 2}, 1),
    ({'arch': 'UpCunet2x'}, 1),
]


def net_of(arguments, seed=0):
    torch.manual_seed(seed)
    return build({'type': 'Spandrel', **arguments}, 'network_g')


@pytest.mark.parametrize(('arguments', 'multiple'), NETWORKS, ids=lambda value: str(value)[:24])
def test_what_is_trained_is_what_spandrel_opens(tmp_path, arguments, multiple):
    net = net_of(arguments)
    assert net.training
    assert isinstance(net, Spandrel)
    assert size_multiple(net) == multiple
    scale = net.scale
    lq = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    before = lq.clone()
    output = net(lq)
    assert output.shape == (2, 3, 32 * scale, 48 * scale)
    assert torch.equal(lq, before), 'the input is as it was'
    output.square().mean().backward()
    assert any(p.grad is not None and p.grad.any() for p in net.parameters())
    torch.save({'params': net.state_dict()}, tmp_path / 'net.pth')
    found = spandrel.ModelLoader().load_from_file(tmp_path / 'net.pth')
    assert found.scale == scale
    with torch.no_grad():
        # One image, because spandrel's SeemoRe takes no batch here. Not found(lq), which cuts the
        # output to the range of an image.
        lq = lq[:1]
        expected = found.model.eval()(lq.clone())
        assert (net.eval()(lq) - expected).abs().max() <= 1e-4 * max(1, expected.abs().max())
    other = net_of(arguments, seed=7)
    other.load_state_dict(torch.load(tmp_path / 'net.pth', weights_only=True)['params'])
    with torch.no_grad():
        assert torch.equal(other.eval()(lq), net(lq))


def test_all_names_are_spandrels_own():
    names = architectures()
    assert {'SPAN', 'Compact', 'RealPLKSR', 'RCAN', 'SwinIR', 'HAT', 'DAT', 'ESRGAN'} <= set(names)
    assert not {'GFPGAN', 'SCUNet', 'NAFNet', 'LaMa', 'IPT'} & set(names)
    for network in names.values():
        assert network.__module__.startswith('spandrel.')


def test_architectures_of_other_packages_are_left_out(monkeypatch):
    """Their licences are others."""
    registry = spandrel.MAIN_REGISTRY.copy()

    class Foreign(spandrel.Architecture):
        def __init__(self):
            super().__init__(id='Foreign', detect=lambda state: False)

        def load(self, state_dict):
            raise NotImplementedError

    registry.add(spandrel.ArchSupport.from_architecture(Foreign()))
    monkeypatch.setattr(spandrel, 'MAIN_REGISTRY', registry)
    # What such a package exports beside its class for the registry.
    monkeypatch.setattr(sys.modules[__name__], '__all__', ['SpandrelNetwork'], raising=False)
    assert 'Foreign' in registry
    assert 'SpandrelNetwork' not in architectures()


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ({}, 'arch: missing; expected one of ATD, CRAFT, Compact, '),
        ({'arch': 'SPANN'}, r"arch: unknown arch 'SPANN'; known: .* \(did you mean 'SPAN'\?\)"),
        ({'arch': 'NAFNet'}, "arch: unknown arch 'NAFNet'"),
        (
            {**SPAN, 'feature_chanels': 8},
            r"unknown argument 'feature_chanels' of SPAN; known: .*mean 'feature_channels'\?\)",
        ),
        ({'arch': 'SPAN', 'upscale': 2}, 'num_in_ch: missing; SPAN needs it'),
        ({**SPAN, 'upscale': 1}, 'SPAN, Restoration at ×1, 3 to 3 channels; expected super-res'),
        ({**SPAN, 'num_in_ch': 1, 'norm': False}, r'1 to \d channels; expected super-resolution'),
        ({**SPAN, 'img_range': 1.0}, 'img_range: 1.0 here, 255.0 there'),
        (
            {'arch': 'RealPLKSR', 'dim': 8, 'n_blocks': 2, 'norm_groups': 2},
            'norm_groups: 2 here, 4 there',
        ),
        (
            {'arch': 'Compact', 'num_feat': 8, 'num_conv': 2, 'act_type': 'relu'},
            'spandrel does not recognise the weights of Compact with these arguments',
        ),
    ],
)
def test_what_spandrel_would_not_open_is_refused(arguments, text):
    with pytest.raises(OptionError, match=f'^network_g: Spandrel cannot be built: .*{text}'):
        net_of(arguments)


def test_a_missing_spandrel_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'spandrel', None)
    text = "Spandrel needs an extra: pip install 'mtkd_basicsr[spandrel]'"
    with pytest.raises(OptionError, match=re.escape(text)):
        net_of(SPAN)


def test_the_random_numbers_are_those_of_the_network_alone():
    torch.manual_seed(3)
    net = build_network({'type': 'Spandrel', **SPAN})
    after = torch.rand(1)
    torch.manual_seed(3)
    arguments = {name: value for name, value in SPAN.items() if name != 'arch'}
    theirs = architectures()['SPAN'](**arguments)
    assert torch.equal(after, torch.rand(1))
    state = theirs.state_dict()
    assert list(net.state_dict()) == list(state)
    # Of a training only: eval() computes the folded convolutions anew.
    for name, value in net.state_dict().items():
        assert 'eval_conv' in name or torch.equal(value, state[name]), name


def test_the_convolutions_that_are_computed_are_not_trained():
    net = net_of(SPAN)
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in net.named_parameters() if '.eval_conv.' in name}
    assert len(frozen) == 2 * 20
    lq = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        training = net(lq)
        # SPAN trains unfolded: its output in eval() is that of the folded convolutions.
        folded = net.eval()(lq)
    assert not torch.equal(training, folded)
    assert (training - folded).abs().max() <= 1e-5 * training.abs().max()


def test_a_teacher_leaves_the_image_as_it_was(tmp_path):
    """Spandrel's RCAN multiplies its input in place, which the next teacher would get."""
    net = net_of({'arch': 'RCAN', 'n_resgroups': 1, 'n_resblocks': 1, 'n_feats': 8, 'reduction': 2})
    torch.save(net.state_dict(), tmp_path / 'rcan.pth')
    teacher = read_spandrel(str(tmp_path / 'rcan.pth'), 'weights', 'network').eval()
    assert isinstance(teacher, SpandrelNetwork)
    lq = torch.rand(1, 3, 16, 16)
    before = lq.clone()
    with torch.no_grad():
        teacher(lq)
    assert torch.equal(lq, before)


@pytest.mark.slow
def test_the_loops_of_basicsr_train_and_test_it(basicsr_tree, photographs, tmp_path):
    """Its own script and its own model, in which nothing is ours but the network."""
    opt = options_for(photographs, tmp_path, 'KDModel', name='span', model_type='SRModel')
    opt['network_g'] = {'type': 'Spandrel', **SPAN}
    opt['train']['total_iter'] = 2
    path = write_options(tmp_path / 'train.yml', opt)
    script = basicsr_tree / 'basicsr'
    environment = {'PYTHONPATH': str(basicsr_tree)}
    run([sys.executable, script / 'train.py', '-opt', path], tmp_path, **environment)
    (weights,) = (basicsr_tree / 'experiments' / 'span' / 'models').glob('net_g_latest.pth')
    found = spandrel.ModelLoader().load_from_file(weights)
    assert found.architecture.id == 'SPAN'
    opt = override(opt, {'path__pretrain_network_g': str(weights), 'name': 'test_span'})
    opt['datasets'] = {'test_1': dataset(photographs, 'val', 2)}
    path = write_options(tmp_path / 'test.yml', opt)
    printed = run([sys.executable, script / 'test.py', '-opt', path], tmp_path, **environment)
    assert '# psnr: ' in printed
