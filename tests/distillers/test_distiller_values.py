"""The losses of each method, computed once more with hooks and formulas of this file alone."""

from contextlib import ExitStack

import pytest
import torch
from basicsr.utils.matlab_functions import imresize
from conftest import build
from helpers.distillation import batch_of, kd_options, losses, model_of, step, teacher_net
from torch.nn.functional import conv2d, cosine_similarity, smooth_l1_loss

from mtkd_basicsr.distillers import check_method
from mtkd_basicsr.errors import OptionError

# Student and teacher: features in [0, 255] and in [0, 1], maps and tokens, all widths 8 and 12.
PAIRS = [('EDSR', 'SwinIR'), ('SwinIR', 'EDSR'), ('RCAN', 'RCAN')]
# After a third and two thirds of three blocks or layers; after a fifth and three fifths of three
# groups.
BLOCKS = {
    'EDSR': ('body.0', 'body.1'),
    'RCAN': ('body.0', 'body.0'),
    'SwinIR': ('layers.0', 'layers.1'),
}


@pytest.fixture
def make(photographs, tmp_path):
    def make(kd, student='EDSR', teachers=('SwinIR',), **changes):
        return kd_options(photographs, tmp_path, kd, student, teachers, **changes)

    return make


def run(net, x):
    """Output and the three features of a network, in units of its image range."""
    seen = {}
    with ExitStack() as stack, torch.no_grad():
        for path in (*BLOCKS[type(net).__name__], 'conv_first', 'conv_after_body'):
            hook = net.get_submodule(path).register_forward_hook(
                lambda m, args, output, p=path: seen.__setitem__(p, output.clone())
            )
            stack.callback(hook.remove)
        output = net(x)
    features = [seen[p] for p in BLOCKS[type(net).__name__]]
    features = [
        f if f.ndim == 4 else f.transpose(1, 2).reshape(len(x), -1, *x.shape[2:]) for f in features
    ]
    features.append(seen['conv_after_body'] + seen['conv_first'])
    return output, [f.double() / net.img_range for f in features]


def everything(opt, tmp_path):
    """Model, batch, and output and features of student and teacher."""
    model = model_of(opt, tmp_path)
    batch = batch_of()
    teacher = teacher_net(opt, next(iter(opt['teachers'])))
    (s, own), (t, other) = run(model.net_g, batch['lq']), run(teacher, batch['lq'])
    return model, batch, s, t.clamp(0, 1), own, other


def expect(model, batch, **expected):
    log = step(model, batch)
    assert set(log) == set(expected)
    for name, value in expected.items():
        assert value > 1e-7
        assert log[name] == pytest.approx(float(value), rel=2e-4), name


def mean(pairs, distance):
    values = [distance(a, b) for a, b in pairs]
    return sum(values) / len(values)


def l1(a, b):
    return (a - b).abs().mean()


def test_logit_kd_is_the_distance_of_the_outputs(make, tmp_path):
    opt = make(
        'LogitKD',
        train__pixel_opt={'type': 'L1Loss', 'loss_weight': 0.3},
        train__distill_opt={'type': 'MSELoss', 'loss_weight': 2.0},
    )
    model, batch, s, t, *_ = everything(opt, tmp_path)
    expect(model, batch, l_pix=0.3 * l1(s, batch['gt']), l_distill=2 * (s - t).square().mean())


def test_the_teacher_is_cut_to_the_range_of_images(make, tmp_path):
    opt = make('LogitKD')
    model, batch, s, t, *_ = everything(opt, tmp_path)
    for net in (model.distiller.teachers.network('swinir'), teacher := teacher_net(opt, 'swinir')):
        net.conv_last.weight.data *= 20
    with torch.no_grad():
        raw = teacher(batch['lq'])
    assert raw.min() < -0.1
    assert raw.max() > 1.1
    expect(model, batch, l_pix=l1(s, batch['gt']), l_distill=l1(s, raw.clamp(0, 1)))


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize('form', [None, 'mean_l1', 'paper', 'authors'])
def test_at_is_its_formula(make, tmp_path, student, teacher, form):
    kd = {'type': 'AT', **({'form': form, 'weight': 50.0} if form else {})}
    model, batch, s, t, own, other = everything(make(kd, student, (teacher,)), tmp_path)

    def q(f):
        power = (f * f).sum(1).flatten(1)
        return power / (power * power).sum(1, keepdim=True).sqrt()

    distance = {
        'paper': lambda a, b: (q(a) - q(b)).square().sum(1).sqrt().mean(),
        'authors': lambda a, b: (q(a) - q(b)).square().mean(),
    }.get(form, lambda a, b: l1(q(a), q(b)))
    weight = 50 if form else 10
    expect(
        model,
        batch,
        l_pix=l1(s, batch['gt']),
        l_distill=l1(s, t),
        l_at=weight * mean(zip(own, other), distance),
    )


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize('weight', [None, 2.0])
def test_fakd_is_its_formula(make, tmp_path, student, teacher, weight):
    kd = {'type': 'FAKD', **({'weight': weight} if weight else {})}
    model, batch, s, t, own, other = everything(make(kd, student, (teacher,)), tmp_path)

    def a(f):
        unit = (f / f.norm(dim=1, keepdim=True)).flatten(2)
        return torch.einsum('bcp,bcq->bpq', unit, unit)

    expect(
        model,
        batch,
        l_pix=l1(s, batch['gt']),
        l_distill=l1(s, t),
        l_fakd=(weight or 10 / 255) * sum(l1(a(f), a(g)) for f, g in zip(own, other)),
    )


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize('form', [None, 'l1', 'paper', 'channel_mean'])
def test_fitnet_is_its_formula(make, tmp_path, student, teacher, form):
    kd = {'type': 'FitNet', **({'form': form, 'weight': 3.0} if form else {})}
    model, batch, s, t, own, other = everything(make(kd, student, (teacher,)), tmp_path)
    if form == 'channel_mean':
        assert not model.adapters
        hint = mean(zip(own, other), lambda f, g: l1(f.mean(1), g.mean(1)))
    else:
        hints = list(model.adapters.values())
        assert [tuple(p.shape) for p in hints] == [(12, 8, 1, 1), (12,)] * 3
        own = [
            conv2d(f, w.detach().double(), b.detach().double())
            for f, w, b in zip(own, hints[::2], hints[1::2])
        ]
        hint = mean(
            zip(own, other), (lambda f, g: (f - g).square().mean() / 2) if form == 'paper' else l1
        )
    expect(
        model,
        batch,
        l_pix=l1(s, batch['gt']),
        l_distill=l1(s, t),
        l_fitnet=(3 if form else 1) * hint,
    )


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize('weights', [None, (0.5, 3.0)])
def test_rkd_is_its_formula(make, tmp_path, student, teacher, weights):
    kd = {
        'type': 'RKD',
        **(
            {'weight': 0.7, 'distance_weight': weights[0], 'angle_weight': weights[1]}
            if weights
            else {}
        ),
    }
    model, batch, s, t, own, other = everything(make(kd, student, (teacher,)), tmp_path)

    def relations(f):
        e = f.flatten(1)
        distances = torch.stack([torch.stack([(a - b).norm() for a in e]) for b in e])
        angles = torch.stack(
            [
                torch.stack(
                    [torch.stack([cosine_similarity(a - b, c - b, dim=0) for a in e]) for c in e]
                )
                for b in e
            ]
        )
        return distances / (distances.sum() / 6), angles

    (d_s, a_s), (d_t, a_t) = relations(own[-1]), relations(other[-1])
    w, w_d, w_a = (0.7, *weights) if weights else (1.0, 1.0, 2.0)
    expect(
        model,
        batch,
        l_pix=l1(s, batch['gt']),
        l_distill=l1(s, t),
        l_rkd=w * (w_d * smooth_l1_loss(d_s, d_t) + w_a * smooth_l1_loss(a_s, a_t)),
    )


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize('weight', [None, 0.4])
def test_cross_kd_is_its_formula(make, tmp_path, student, teacher, weight):
    kd = {'type': 'CrossKD', **({'weight': weight} if weight else {})}
    opt = make(kd, student, (teacher,))
    model, batch, s, t, own, _ = everything(opt, tmp_path)
    w, b = model.adapters.values()
    net = teacher_net(opt, teacher.lower())
    with torch.no_grad():
        x = conv2d(own[-1], w.double(), b.double()).float() * net.img_range
        if teacher == 'SwinIR':
            x = net.conv_before_upsample(x)
        image = net.conv_last(net.upsample(x)) / net.img_range + net.mean
    expect(
        model,
        batch,
        l_pix=l1(s, batch['gt']),
        l_distill=l1(s, t),
        l_cross=(weight or 1) * (l1(image, batch['gt']) + l1(image, t)),
    )


def test_cross_kd_can_be_cut_inside_the_body(make, tmp_path):
    opt = make(
        {'type': 'CrossKD', 'student_cut': 'body.0', 'teacher_cut': 'body.1'}, 'RCAN', ('EDSR',)
    )
    model, batch, s, t, own, _ = everything(opt, tmp_path)
    w, b = model.adapters.values()
    net = teacher_net(opt, 'edsr')
    with torch.no_grad():
        x = net.body[2](net.body[1](conv2d(own[0], w.double(), b.double()).float() * 255))
        first = net.conv_first((batch['lq'] - net.mean) * 255)
        image = net.conv_last(net.upsample(net.conv_after_body(x) + first)) / 255 + net.mean
    expect(
        model,
        batch,
        l_pix=l1(s, batch['gt']),
        l_distill=l1(s, t),
        l_cross=l1(image, batch['gt']) + l1(image, t),
    )


def turned(image, flags, backwards=False):
    """DUKD's F for one image, or what undoes it."""
    steps = [
        lambda x: 1 - x,
        lambda x: torch.flip(x, [2]),
        lambda x: torch.flip(x, [1]),
        lambda x: torch.swapaxes(x, 1, 2),
    ]
    chosen = [f for f, flag in zip(steps, flags.tolist()) if flag]
    for f in reversed(chosen) if backwards else chosen:
        image = f(image)
    return image


def drawn(generator, b, probability):
    return torch.randint(4, (b,), generator=generator), torch.rand(
        b, 4, generator=generator
    ) < probability


def zoom_in(model, teacher, gt, probability, backwards=True):
    tiles, flags = drawn(model.generator(1), len(gt), probability)
    u = torch.stack(
        [image[:, 8 * (n // 2) :, 8 * (n % 2) :][:, :8, :8] for image, n in zip(gt, tiles.tolist())]
    )
    with torch.no_grad():
        output = model.net_g(torch.stack([turned(*pair) for pair in zip(u, flags)]))
        restored = torch.stack([turned(*pair, backwards=backwards) for pair in zip(output, flags)])
        return l1(restored, teacher(u).clamp(0, 1)), flags


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
@pytest.mark.parametrize('inverse', [None, 'authors'])
def test_dukd_is_its_formula(make, tmp_path, student, teacher, inverse):
    kd = {
        'type': 'DUKD',
        **({'inverse': inverse, 'probability': 0.6, 'weight': 0.25} if inverse else {}),
    }
    opt = make(kd, student, (teacher,))
    model, batch, s, t, *_ = everything(opt, tmp_path)
    loss, flags = zoom_in(
        model, teacher_net(opt, teacher.lower()), batch['gt'], 0.6 if inverse else 0.3, not inverse
    )
    if inverse:
        assert (flags[:, 3] & (flags[:, 1] ^ flags[:, 2])).any(), (
            'the order would make no difference'
        )
    expect(
        model,
        batch,
        l_pix=l1(s, batch['gt']),
        l_distill=l1(s, t),
        l_zoom_in=(0.25 if inverse else 1) * loss,
    )


@pytest.mark.parametrize('distill', [True, False])
def test_dukd_with_zoom_out_is_its_formula(make, tmp_path, distill):
    opt = make(
        {'type': 'DUKD', 'zoom_out': True}, train__pixel_opt={'type': 'L1Loss', 'loss_weight': 5.0}
    )
    if not distill:
        del opt['train']['distill_opt']
    model, batch, s, t, *_ = everything(opt, tmp_path)
    teacher = teacher_net(opt, 'swinir')
    small = torch.stack([imresize(image, 0.5) for image in batch['lq']])
    with torch.no_grad():  # 4×4 pixels, which the teacher's windows need padded by reflection
        padded = small[..., [0, 1, 2, 3, 2, 1, 0, 1], :][..., [0, 1, 2, 3, 2, 1, 0, 1]]
        output = model.net_g(small)
        target = teacher(padded)[..., :8, :8].clamp(0, 1)
    zoom_out = 5 * l1(output, batch['lq']) + (l1(output, target) if distill else 0)
    expect(
        model,
        batch,
        l_pix=5 * l1(s, batch['gt']),
        **({'l_distill': l1(s, t)} if distill else {}),
        l_zoom_in=zoom_in(model, teacher, batch['gt'], 0.3)[0],
        l_zoom_out=zoom_out,
    )


def test_what_dukd_draws_depends_on_seed_and_iteration_alone(make, tmp_path):
    def value(iteration, seed=0, torch_seed=0, rank=0):
        model = model_of(make({'type': 'DUKD', 'probability': 0.5}), tmp_path)
        model.opt.update(manual_seed=seed, rank=rank)
        torch.manual_seed(torch_seed)
        return losses(model, batch_of(), iteration)['l_zoom_in'].item()

    assert value(1) == value(1, torch_seed=7)
    # Processes of one training draw differently too.
    assert (
        len({value(1), value(2), value(3), value(1, seed=1), value(1, rank=1), value(2, rank=1)})
        == 6
    )


@pytest.mark.parametrize('key', ['anneal', 'selective'])
def test_keys_that_were_removed_are_refused_with_the_last_version_that_had_them(key):
    text = f'train.kd.{key}: this key was removed after version 0.1.0; delete it'
    with pytest.raises(OptionError, match=text):
        check_method({'type': 'MTKD', key: True})
    with pytest.raises(OptionError, match=r'train.kd.also\[0\].' + key):
        check_method({'type': 'MTKD', 'also': [{'type': 'DUKD', key: True}]})


def test_combined_methods_add_up(make, tmp_path):
    kd = {'type': 'MTKD', 'also': ['DUKD', {'type': 'FAKD', 'teacher': 'edsr', 'weight': 1.0}]}
    opt = make(kd, 'RCAN', ('SwinIR', 'EDSR'))
    model = model_of(opt, tmp_path)
    batch = batch_of()
    nets = [teacher_net(opt, 'swinir'), teacher_net(opt, 'edsr')]
    fusion = build(opt['fusion']['network'])
    fusion.load_state_dict(torch.load(opt['fusion']['weights'], weights_only=True)['params'])

    def fused(x):
        return fusion.eval()(torch.cat([net(x).clamp(0, 1) for net in nets], 1))

    (s, own), (_, other) = run(model.net_g, batch['lq']), run(nets[1], batch['lq'])
    with torch.no_grad():
        target = fused(batch['lq']).clamp(0, 1)
    units = [
        [(f / f.norm(dim=1, keepdim=True)).flatten(2) for f in features]
        for features in (own, other)
    ]
    affinities = [[u.transpose(1, 2) @ u for u in features] for features in units]
    runs = []
    model.distiller.teachers.network('edsr').conv_first.register_forward_hook(
        lambda *_: runs.append(1)
    )
    expect(
        model,
        batch,
        l_pix=l1(s, batch['gt']),
        l_distill=l1(s, target),
        l_zoom_in=zoom_in(model, fused, batch['gt'], 0.3)[0],
        l_fakd=sum(l1(a, b) for a, b in zip(*affinities)),
    )
    assert len(runs) == 2, 'once for target and features of the images, once for the tiles'


def test_one_teacher_of_several_can_be_named(make, tmp_path):
    opt = make(
        {
            'type': 'LogitKD',
            'teacher': 'edsr',
            'also': [{'type': 'AT', 'teacher': 'swinir'}, 'FitNet'],
        },
        'RCAN',
        ('SwinIR', 'EDSR'),
    )
    model = model_of(opt, tmp_path)
    batch = batch_of()
    (s, own), (t, _), (_, other) = (
        run(net, batch['lq'])
        for net in (model.net_g, teacher_net(opt, 'edsr'), teacher_net(opt, 'swinir'))
    )

    def q(f):
        power = f.square().sum(1).flatten(1)
        return power / power.norm(dim=1, keepdim=True)

    log = step(model, batch)
    assert set(log) == {'l_pix', 'l_distill', 'l_at', 'l_fitnet'}
    assert log['l_distill'] == pytest.approx(l1(s, t.clamp(0, 1)).item(), rel=1e-4)
    assert log['l_at'] == pytest.approx(
        10 * mean(zip(own, other), lambda a, b: l1(q(a), q(b))).item(), rel=1e-4
    )
    assert set(model.distiller.teachers.ensembles) == {'edsr', 'swinir'}


def test_a_feature_method_without_distill_opt_runs_its_teacher_as_far_as_needed(make, tmp_path):
    opt = make('FAKD')
    del opt['train']['distill_opt']
    model = model_of(opt, tmp_path)
    ran = []
    net = model.distiller.teachers.network('swinir')
    for name in ('conv_first', 'conv_last'):
        net.get_submodule(name).register_forward_hook(lambda m, args, output, n=name: ran.append(n))
    assert set(step(model, batch_of())) == {'l_pix', 'l_fakd'}
    assert ran == ['conv_first', 'conv_last'], 'all of it once'
    step(model, batch_of(seed=1), 2)
    assert ran[2:] == ['conv_first']
