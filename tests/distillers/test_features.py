import pytest
import torch
from conftest import build, tiny
from torch import nn

from mtkd_basicsr.distillers.features import FeatureTap, image_range, widths
from mtkd_basicsr.distillers.positions import body_end, default_positions
from mtkd_basicsr.distillers.splice import Splice
from mtkd_basicsr.errors import OptionError

NETWORKS = {
    'EDSR': tiny('EDSR', 2, num_block=3),
    'RCAN': tiny('RCAN', 2, num_group=2, num_block=2),
    'SwinIR': tiny('SwinIR', 2, depths=[2, 2], num_heads=[2, 2]),
    'SwinIR-light': tiny(
        'SwinIR', 2, depths=[2, 2], num_heads=[2, 2], upsampler='pixelshuffledirect'
    ),
}


@pytest.fixture(params=NETWORKS)
def net(request):
    return build(NETWORKS[request.param], seed=1).eval()


def image(h=16, w=16, b=2):
    return torch.rand(b, 3, h, w, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ('network', 'expected'),
    [
        (tiny('EDSR', 4, num_block=16), ('body.4', 'body.9', 'upsample:input')),
        (tiny('EDSR', 4, num_block=32), ('body.9', 'body.20', 'upsample:input')),
        (tiny('EDSR', 4, num_block=1), ('body.0', 'body.0', 'upsample:input')),
        (tiny('RCAN', 4, num_group=10), ('body.1', 'body.5', 'upsample:input')),
        (
            tiny('SwinIR', 4, depths=[1] * 6, num_heads=[2] * 6),
            ('layers.1', 'layers.3', 'conv_before_upsample:input'),
        ),
        (
            tiny('SwinIR', 4, depths=[1] * 4, num_heads=[2] * 4, upsampler='pixelshuffledirect'),
            ('layers.0', 'layers.1', 'upsample:input'),
        ),
    ],
)
def test_default_positions_of_every_arch(network, expected):
    assert default_positions(build(network)) == expected


def test_default_positions_of_edsr_are_after_5_and_10_of_16_blocks():
    net = build(tiny('EDSR', 2, num_block=16)).eval()
    x = image()
    tap = FeatureTap(net)
    tap.add(default_positions(net))
    with torch.no_grad():
        features = tap.features(x)
        steps = [first := net.conv_first((x - net.mean) * 255)]
        for block in net.body:
            steps.append(block(steps[-1]))
        end = net.conv_after_body(steps[16]) + first
    for name, value in (('body.4', steps[5]), ('body.9', steps[10]), ('upsample:input', end)):
        assert torch.equal(features[name], value / 255), name
    assert not torch.equal(steps[5], steps[4])


def test_other_archs_have_no_default():
    with pytest.raises(OptionError, match='no default positions for Conv2d .*EDSR, RCAN, SwinIR'):
        default_positions(nn.Conv2d(3, 3, 1))


def test_tokens_become_the_maps_that_swinir_itself_makes(net):
    if type(net).__name__ != 'SwinIR':
        pytest.skip('has no tokens')
    x = image(16, 24)
    seen = {}
    tap = FeatureTap(net)
    tap.add(['layers.0', 'norm', body_end(net)])
    net.norm.register_forward_hook(lambda module, args, output: seen.update(norm=output))
    net.layers[0].register_forward_hook(
        lambda module, args, output: seen.update({'layers.0': output})
    )
    net.conv_after_body.register_forward_hook(lambda module, args, output: seen.update(end=output))
    net.conv_first.register_forward_hook(lambda module, args, output: seen.update(first=output))
    with torch.no_grad(), tap.reading((16, 24)) as features:
        net(x)
    for name in ('layers.0', 'norm'):
        assert features[name].shape == (2, 8, 16, 24)
        assert torch.equal(features[name], net.patch_unembed(seen[name], (16, 24)))
    assert torch.equal(features[body_end(net)], seen['end'] + seen['first'])


def test_features_are_divided_by_the_image_range(net):
    x = image()
    seen = []
    first = next(iter(default_positions(net)))
    net.get_submodule(first).register_forward_hook(lambda module, args, output: seen.append(output))
    tap = FeatureTap(net)
    tap.add([first])
    with torch.no_grad():
        feature = tap.features(x)[first]
    raw = seen[0] if seen[0].ndim == 4 else net.patch_unembed(seen[0], (16, 16))
    expected = {'EDSR': 255.0, 'RCAN': 255.0, 'SwinIR': 1.0}[type(net).__name__]
    assert image_range(net) == expected
    assert torch.equal(feature, raw / expected)
    assert image_range(nn.Identity()) == 1.0


def test_padding_is_cut_off(net):
    x = image(13, 18)
    name = default_positions(net)[0]
    tap = FeatureTap(net)
    tap.add([name, body_end(net)])
    multiple = 8 if type(net).__name__ == 'SwinIR' else 1
    padded = nn.functional.pad(x, (0, -18 % multiple, 0, -13 % multiple), 'reflect')
    with torch.no_grad():
        features = tap.features(x)
        of_padded = tap.features(padded)
        for position, feature in features.items():
            assert feature.shape[-2:] == (13, 18)
            assert of_padded[position].shape[-2:] == padded.shape[-2:]
            assert torch.equal(feature, of_padded[position][..., :13, :18])


def test_stops_after_the_last_position(net):
    x = image()
    name = default_positions(net)[1]
    tap = FeatureTap(net)
    ran = []
    tap.add([name])
    for path, module in net.named_modules():
        module.register_forward_pre_hook(lambda m, args, p=path: ran.append(p))
    with torch.no_grad():
        tap.features(x)
        assert 'conv_after_body' in ran, 'all of it, to see whether the feature changes later'
        ran.clear()
        stopped = tap.features(x)[name]
        assert name in ran
        assert not {'conv_after_body', 'upsample', 'conv_last', 'norm'} & set(ran)
        assert 'body.2' not in ran, 'the next block'
        with tap.reading((16, 16)) as features:
            whole = net(x)
        assert 'conv_after_body' in ran
        assert whole.shape == (2, 3, 32, 32)
    assert torch.equal(stopped, features[name])


def both_ways(net, positions, inputs=None):
    """Features of a whole pass, and those of passes that may stop early, the first and the next."""
    tap = FeatureTap(net)
    tap.add(positions)
    x = image() if inputs is None else inputs
    with torch.no_grad():
        with tap.reading(x.shape[-2:]) as whole:
            net(x)
        return whole, tap.features(x), tap.features(x)


@pytest.mark.parametrize('name', ['EDSR', 'RCAN'])
def test_a_feature_that_is_modified_in_place_is_the_same_with_and_without_a_cache(name):
    """EDSR and RCAN add their head to the output of conv_after_body."""
    net = build(NETWORKS[name], seed=1).eval()
    whole, first, second = both_ways(net, ['body.0', 'conv_after_body'])
    for position, feature in whole.items():
        assert torch.equal(first[position], feature)
        assert torch.equal(second[position], feature)


class Twice(nn.Module):
    """Its module runs twice, the second time on what the first has made."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.end = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.end(self.layer(torch.relu(self.layer(x))))


def test_the_last_run_of_a_module_is_read_with_and_without_a_cache():
    torch.manual_seed(0)
    whole, first, second = both_ways(Twice().eval(), ['layer'])
    assert torch.equal(first['layer'], whole['layer'])
    assert torch.equal(second['layer'], whole['layer'])


def test_gradient_goes_through_features(net):
    tap = FeatureTap(net)
    tap.add([default_positions(net)[0]])
    with tap.reading((16, 16)) as features:
        net(image())
    features[default_positions(net)[0]].square().sum().backward()
    assert net.conv_first.weight.grad.any()


def test_a_closed_tap_records_nothing():
    net = build(NETWORKS['EDSR'])
    tap = FeatureTap(net)
    tap.add(['body.0', 'body.0'])
    assert tap.positions == ['body.0']
    net(image())
    assert tap.recorded == (), 'would keep memory, and graphs'
    with tap.reading((16, 16)) as features:
        net(image())
        net(2 * image())
    assert torch.equal(features['body.0'], tap.features(2 * image())['body.0']), (
        'the last run counts'
    )
    assert tap.recorded == ()
    with pytest.raises(ZeroDivisionError), tap.reading((16, 16)):
        raise ZeroDivisionError
    net(image())
    assert tap.recorded == (), 'open for ever after an error'


@pytest.mark.parametrize(
    ('position', 'text'),
    [
        ('body.7', r"key.features: EDSR has no module 'body.7'; known: .*body.0"),
        ('bdy.0', r"key.features: EDSR has no module 'bdy.0'.*did you mean 'body.0'"),
        ('upsampel:input', r"EDSR has no module 'upsampel'.*did you mean 'upsample'"),
        (':input', "EDSR has no module ''"),
        ('body.0:in', "key.features: 'body.0:in'; expected PATH, PATH:input or PATH:output"),
    ],
)
def test_unknown_positions_are_refused(position, text):
    with pytest.raises(OptionError, match=text):
        FeatureTap(build(NETWORKS['EDSR'])).add([position], 'key.features')


@pytest.mark.parametrize(
    ('arch', 'position'),
    [
        ('EDSR', 'conv_last:input'),
        ('SwinIR', 'conv_last:input'),
        ('RCAN', 'body.0.residual_group.0.rcab.3.attention.0'),
    ],
)
def test_features_of_another_size_are_refused(arch, position):
    tap = FeatureTap(build(NETWORKS[arch]).eval())
    tap.add([position])
    # Cutting a feature after the upsampler to the size of the input would leave its corner, without
    # a word.
    with pytest.raises(
        OptionError,
        match=rf"features: '{position}' of {arch} has the shape .*; expected \(b, c, 16, 16\)",
    ):
        tap.features(image())


def test_widths_leave_the_mode_alone(net):
    wide = build({**NETWORKS['EDSR'], 'num_feat': 12})
    for network, width in ((wide, 12), (net, 8)):
        tap = FeatureTap(network.train())
        tap.add([*default_positions(network), 'conv_first:input'])
        assert widths(tap, 'cpu') == {
            **dict.fromkeys(default_positions(network), width),
            'conv_first:input': 3,
        }
        assert network.training
        assert all(m.training for m in network.modules())


CUTS = [
    (name, cut)
    for name, cuts in {
        'EDSR': (
            'upsample:input',
            'upsample',
            'body.1',
            'body.2:input',
            'body.1.conv2',
            'conv_after_body',
            'body',
        ),
        'RCAN': (
            'upsample:input',
            'body.1',
            'body.1.residual_group.1',
            'body.1.conv',
            'body.1.residual_group.1.rcab.2',
        ),
        'SwinIR': (
            'conv_before_upsample:input',
            'layers.1',
            'layers.1.residual_group.blocks.1',
            'layers.1.conv',
            'norm',
        ),
        'SwinIR-light': ('upsample:input', 'layers.1'),
    }.items()
    for cut in cuts
]


@pytest.mark.parametrize(('name', 'cut'), CUTS)
def test_a_network_goes_on_from_its_own_feature(name, cut):
    net = build(NETWORKS[name], seed=1).eval()
    x = image()
    position = cut if ':' in cut else f'{cut}:input'
    tap = FeatureTap(net)
    tap.add([position])
    splice = Splice(net, cut)
    with torch.no_grad():
        feature = tap.features(x)[position]
        expected = net(x)
        assert (splice(x, feature) - expected).abs().max() < 1e-5
        # What is given is used: nothing of the body goes into the output but through the feature.
        assert (splice(x, torch.rand_like(feature)) - expected).abs().max() > 1e-4
        if cut in ('upsample:input', 'conv_before_upsample:input'):
            assert torch.equal(splice(torch.zeros_like(x), feature), splice(x, feature))
    assert splice.width == 8


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('inside', [False, True])
def test_what_comes_before_the_cut_is_not_run(name, inside):
    net = build(NETWORKS[name], seed=1).eval()
    ran = []
    body = 'layers' if name.startswith('SwinIR') else 'body'
    for path, module in net.named_modules():
        module.register_forward_hook(lambda m, args, output, p=path: ran.append(p))
    splice = Splice(net, f'{body}.1' if inside else body_end(net))
    ran.clear()  # of the trial that finds the shape of the input
    with torch.no_grad():
        splice(image(), torch.rand(2, 8, 16, 16))
    in_body = {p for p in ran if p.startswith(f'{body}.')}
    assert not {p for p in in_body if p.startswith(f'{body}.0')}
    assert 'upsample.0' in ran
    assert bool(in_body) is inside, 'after a cut inside the body the rest of it is run'


def test_the_network_is_left_as_it_is(net):
    x = image()
    with torch.no_grad():
        expected = net(x)
        hooks = {
            path: (
                len(m._forward_hooks),
                len(m._forward_pre_hooks),
                list(m._modules.values()),
                type(m),
            )
            for path, m in net.named_modules()
        }
        inside = 'layers.1.residual_group' if hasattr(net, 'layers') else 'body.1'
        for cut in (body_end(net), inside):
            splice = Splice(net, cut)
            assert splice.width == 8
            splice(x, torch.zeros(2, 8, 16, 16))
            assert torch.equal(net(x), expected)
        assert hooks == {
            path: (
                len(m._forward_hooks),
                len(m._forward_pre_hooks),
                list(m._modules.values()),
                type(m),
            )
            for path, m in net.named_modules()
        }
        # It shares the weights: another file loaded into the network is seen.
        before = splice(x, torch.zeros(2, 8, 16, 16))
        net.conv_after_body.weight += 1
        assert not torch.equal(splice(x, torch.zeros(2, 8, 16, 16)), before)


def test_taps_of_the_network_do_not_see_the_splice(net):
    tap = FeatureTap(net)
    name = body_end(net)
    tap.add([name])
    x = image()
    splice = Splice(net, name)
    with torch.no_grad(), tap.reading((16, 16)) as features:
        net(x)
        splice(x, torch.zeros(2, 8, 16, 16))
    assert features[name].any()


@pytest.mark.parametrize('inside', [False, True])
def test_gradient_goes_to_the_feature_alone(net, inside):
    net.requires_grad_(False)
    cut = ('layers.1' if hasattr(net, 'layers') else 'body.1') if inside else body_end(net)
    feature = torch.rand(2, 8, 16, 16, requires_grad=True)
    Splice(net, cut)(image(), feature).square().mean().backward()
    assert (feature.grad != 0).float().mean() > 0.9
    assert all(p.grad is None for p in net.parameters())


def test_a_splice_pads_and_crops():
    net = build(NETWORKS['SwinIR']).eval()
    x = image(13, 18)
    output = Splice(net, body_end(net))(x, torch.rand(2, 8, 13, 18))
    assert output.shape == (2, 3, 26, 36)


@pytest.mark.parametrize('channels', [7, 9])
def test_a_feature_of_another_width_is_refused(net, channels):
    for cut in (body_end(net), 'layers.1' if hasattr(net, 'layers') else 'body.1'):
        splice = Splice(net, cut, 'train.kd.teacher_cut')
        with pytest.raises(
            OptionError,
            match=rf'train.kd.teacher_cut: the feature of the student is .*\b{channels}\b.*as the '
            rf'teacher has',
        ):
            splice(image(), torch.rand(2, channels, 16, 16))
        assert splice(image(), torch.rand(2, 8, 16, 16)).shape == (2, 3, 32, 32), (
            'the refused feature is forgotten'
        )


@pytest.mark.parametrize(
    ('cut', 'text'),
    [
        ('body.0:output', "kd.cut: 'body.0:output'; expected PATH or PATH:input"),
        ('bdy', "kd.cut: EDSR has no module 'bdy'.*did you mean 'body'"),
    ],
)
def test_unknown_cuts_are_refused(cut, text):
    with pytest.raises(OptionError, match=text):
        Splice(build(NETWORKS['EDSR']), cut, 'kd.cut')
