"""Default positions of features in networks that nobody has listed."""

import re

import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from conftest import options_for, parsed, tiny
from torch import nn

from mtkd_basicsr.distillers import Distiller, TeacherProvider, training_config
from mtkd_basicsr.distillers.features import FeatureTap, widths
from mtkd_basicsr.distillers.positions import body_end, default_cut, default_positions
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.utils.registry import register
from mtkd_basicsr.weights.networks import build


@register(ARCH_REGISTRY)
class Branches(nn.Module):
    """A network whose blocks give several outputs, and one that runs twice."""

    def __init__(self, upscale):
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, 1, 1)
        self.shared = nn.Conv2d(8, 8, 3, 1, 1)
        self.stage_1 = _Pair()
        self.stage_2 = _Pair()
        self.stage_3 = _Pair()
        self.tail = nn.Sequential(nn.Conv2d(8, 3 * upscale**2, 3, 1, 1), nn.PixelShuffle(upscale))

    def forward(self, x):
        x = self.shared(self.shared(self.head(x)))
        for stage in (self.stage_2, self.stage_1, self.stage_3):  # not in the order of their names
            x, _ = stage(x)
        return self.tail(x)


class _Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, 1, 1)

    def forward(self, x):
        return x + self.conv(x), x.mean()


@register(ARCH_REGISTRY)
class Plain(nn.Module):
    """A network without blocks."""

    def __init__(self, upscale):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU())
        self.upsample = nn.Sequential(
            nn.Conv2d(8, 3 * upscale**2, 3, 1, 1), nn.PixelShuffle(upscale)
        )

    def forward(self, x):
        return self.upsample(self.body(x))


SRVGG = {'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 5, 'upscale': 2}
MSR = {'type': 'MSRResNet', 'num_feat': 8, 'num_block': 6, 'upscale': 2}
ECBSR = {
    'type': 'ECBSR',
    'num_in_ch': 3,
    'num_out_ch': 3,
    'num_block': 4,
    'num_channel': 8,
    'with_idt': False,
    'act_type': 'prelu',
    'scale': 2,
}
RRDB = {
    'type': 'RRDBNet',
    'num_in_ch': 3,
    'num_out_ch': 3,
    'num_feat': 8,
    'num_block': 3,
    'num_grow_ch': 4,
    'scale': 4,
}
# Network, positions, channels. The convolutions of SRVGGNetCompact are read after their activation.
FOUND = [
    (SRVGG, ('body.3', 'body.7', 'body.11'), 8),
    ({**SRVGG, 'type': 'SRVGGNetCompact_basicsr'}, ('body.3', 'body.7', 'body.11'), 8),
    ({**SRVGG, 'act_type': 'relu'}, ('body.3', 'body.7', 'body.11'), 8),
    (MSR, ('body.1', 'body.3', 'body.5'), 8),
    (ECBSR, ('backbone.0', 'backbone.2', 'backbone.4'), 8),
    (RRDB, ('body.0', 'body.1', 'body.2'), 8),
    ({'type': 'Branches', 'upscale': 2}, ('stage_2', 'stage_1', 'stage_3'), 8),
]


def built(network):
    torch.manual_seed(1)
    return build(network, 'network_g')


@pytest.mark.parametrize(
    ('network', 'expected', 'channels'), FOUND, ids=lambda value: str(value)[:40]
)
def test_a_body_of_equal_blocks_is_found(network, expected, channels):
    net = built(network).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert default_positions(net) == expected
    assert body_end(net) == expected[-1]
    tap = FeatureTap(net)
    tap.add(expected)
    assert widths(tap, 'cpu') == dict.fromkeys(expected, channels)
    assert net.training
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    hooks = [len(module._forward_hooks) for name, module in net.named_modules()]
    assert sum(hooks) == len(set(expected)), 'hooks of the trial are left'


def test_positions_of_activations_are_what_the_next_convolution_gets():
    net = built(SRVGG).eval()
    tap = FeatureTap(net)
    tap.add(['body.3', 'body.4:input'])
    with torch.no_grad():
        features = tap.features(torch.rand(1, 3, 9, 12))
    assert torch.equal(features['body.3'], features['body.4:input'])


def distiller(tmp_path, photographs, student, teacher, kd):
    opt = options_for(photographs, tmp_path, 'MTKDModel')
    opt.update(model_type='KDModel', network_g=student)
    torch.manual_seed(2)
    torch.save({'params': build(teacher, 't').state_dict()}, tmp_path / 't.pth')
    opt['teachers'] = {'t': {'network': teacher, 'weights': str(tmp_path / 't.pth')}}
    del opt['fusion']
    opt['train'].update(
        kd=kd, distill_opt={'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'}
    )
    opt['datasets']['train']['batch_size_per_gpu'] = 3
    config = training_config(parsed(opt))
    return Distiller(config, TeacherProvider(config, 'cpu', built(student)))


@pytest.mark.parametrize('kd', ['FAKD', 'FitNet', 'AT', 'RKD'])
@pytest.mark.parametrize(
    ('student', 'teacher', 'lines'),
    [
        (SRVGG, tiny('EDSR', 2, num_block=3), 1),
        (tiny('EDSR', 2, num_block=3), {**MSR, 'num_feat': 12}, 1),
        (ECBSR, SRVGG, 2),
        (tiny('EDSR', 2, num_block=3), tiny('RCAN', 2), 0),
    ],
)
def test_methods_train_with_positions_that_were_found(
    tmp_path, photographs, kd, student, teacher, lines
):
    found = distiller(tmp_path, photographs, student, teacher, {'type': kd})
    said = [line for line in found.describe() if line.startswith('train.kd.')]
    assert len(said) == lines
    if student is SRVGG and kd == 'FAKD':
        assert said == ['train.kd.student_features: body.3, body.7, body.11 of SRVGGNetCompact']
    from mtkd_basicsr.distillers import Batch

    net = found.teachers.student_tap.net
    generator = torch.Generator().manual_seed(0)
    batch = Batch(torch.rand(3, 3, 8, 8, generator=generator), torch.rand(3, 3, 16, 16))
    losses = found.losses(net, batch)
    own = [value for name, value in losses.items() if name not in ('l_pix', 'l_distill')]
    assert len(own) == 1
    own[0].backward()
    assert any(p.grad is not None and p.grad.any() for p in net.parameters())


PLAIN = {'type': 'Plain', 'upscale': 2}


@pytest.mark.parametrize(
    ('student', 'teacher', 'kd', 'text'),
    [
        (
            PLAIN,
            tiny('EDSR', 2),
            'FAKD',
            'train.kd.student_features: no default positions for Plai',
        ),
        (tiny('EDSR', 2), PLAIN, 'FAKD', 'train.kd.teacher_features: no default positions for Pla'),
        (PLAIN, tiny('EDSR', 2), 'RKD', 'train.kd.student_features: no default positions for Pl'),
        (PLAIN, tiny('EDSR', 2), 'CrossKD', 'train.kd.student_cut: no default positions for Plai'),
        (tiny('EDSR', 2), PLAIN, 'CrossKD', 'train.kd.teacher_cut: no default positions for Plai'),
    ],
)
def test_modules_to_choose_from_are_listed(tmp_path, photographs, student, teacher, kd, text):
    with pytest.raises(OptionError, match=re.escape(text)) as error:
        distiller(tmp_path, photographs, student, teacher, {'type': kd})
    assert (
        "have features of the image's size: body (Sequential, 8 channels), body.0 (Conv2d, "
        '8 channels), body.1 (ReLU, 8 channels), upsample.0 (Conv2d, 12 channels)'
    ) in str(error.value)


def test_cross_kd_gets_the_last_block_of_a_student(tmp_path, photographs):
    found = distiller(tmp_path, photographs, MSR, tiny('EDSR', 2), {'type': 'CrossKD'})
    assert found.methods[0].position == 'body.5'
    assert found.describe()[-1] == 'train.kd.student_cut: body.5 of MSRResNet'
    cut = {'type': 'CrossKD', 'teacher_cut': 'upconv1'}
    found = distiller(tmp_path, photographs, tiny('EDSR', 2), {**MSR, 'num_feat': 12}, cut)
    assert found.methods[0].adapter.out_channels == 12


# The module that the output of the last block is handed to.
CUTS = [
    (SRVGG, 'body.12'),
    (MSR, 'upconv1'),
    (ECBSR, 'backbone.5'),
    (RRDB, 'conv_body'),
    ({'type': 'Branches', 'upscale': 2}, 'tail'),
    (tiny('EDSR', 2), 'upsample:input'),
]


@pytest.mark.parametrize(('teacher', 'cut'), CUTS, ids=lambda value: str(value)[:30])
def test_cross_kd_cuts_a_teacher_after_its_last_block(tmp_path, photographs, teacher, cut):
    net = built(teacher)
    assert default_cut(net) == cut
    assert not any(module._forward_hooks for module in net.modules()), 'hooks are left'
    if teacher is RRDB:
        return  # its features at x2 are half as large as the image
    wide = {**MSR, 'num_feat': 12}
    found = distiller(tmp_path, photographs, wide, teacher, {'type': 'CrossKD'})
    said = f'train.kd.teacher_cut: {cut} of {teacher["type"]}'
    assert (said in found.describe()) == (teacher['type'] != 'EDSR')
    splice = found.methods[0].splice
    assert found.methods[0].adapter.weight.shape == (8, 12, 1, 1)
    # With its own feature the teacher gives its own output.
    lq = torch.rand(1, 3, 12, 16)
    net = found.teachers.network('t')
    tap = FeatureTap(net)
    tap.add([cut if ':' in cut else f'{cut}:input'])
    with torch.no_grad(), tap.reading((12, 16)) as features:
        expected = net(lq)
    (feature,) = features.values()
    with torch.no_grad():
        assert (splice(lq, feature) - expected).abs().max() < 1e-5


def test_a_body_whose_end_no_module_gets_has_no_cut():
    class Sums(Branches):
        def forward(self, x):
            x = self.head(x)
            for stage in (self.stage_1, self.stage_2, self.stage_3):
                y, _ = stage(x)
            return self.tail(x + y)

    with pytest.raises(OptionError, match='no module gets the output of stage_3 alone; set it to'):
        default_cut(Sums(2))


def test_containers_with_other_layers_are_no_blocks():
    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1))
            self.body = nn.Sequential(*[_Pair() for _ in range(3)])

        def forward(self, x):
            x = self.head(x)
            for block in self.body:
                x, _ = block(x)
            return x

    assert default_positions(Parts()) == ('body.0', 'body.1', 'body.2')


def test_networks_that_fail_are_named():
    class Fails(nn.Module):
        def forward(self, x):
            return x.view(7)

    with pytest.raises(OptionError, match=r'Fails fails for input \(1, 3, 16, 17\): '):
        default_positions(Fails())
