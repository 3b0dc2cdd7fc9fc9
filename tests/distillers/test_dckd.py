"""DCKD: its losses computed once more, its history student, its options, and what it needs."""

import copy
from pathlib import Path

import pytest
import torch
from conftest import build, changed, parsed, snapshot
from helpers.distillation import batch_of, kd_options, losses, model_of, step, teacher_net
from helpers.encoders import (
    vgg19_features,
    vqgan_features,
    vqgan_state,
    write_vgg19,
    write_vqgan,
)

from mtkd_basicsr.checks.findings import Findings
from mtkd_basicsr.checks.static import check_fast
from mtkd_basicsr.distillers import check_method
from mtkd_basicsr.errors import OptionError, WeightsError

LAMBDA = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
# Side of the inputs at ×2. The small encoder has two channels in a group: of one pixel at its end,
# a norm of two values that may be nearly equal, rounding would decide.
SIZE = 24


@pytest.fixture
def make(photographs, tmp_path):
    def make(kd, student='EDSR', teachers=('SwinIR',), **changes):
        kd = {'type': 'DCKD', **kd} if 'type' not in kd else kd
        return kd_options(photographs, tmp_path, kd, student, teachers, **changes)

    return make


def l1(a, b):
    return (a - b).abs().mean()


def noisy(x, generator):
    """DCKD's D_j: σ in [1, 30] / 255 for each image, grey for half of them."""
    sigma = 1 + 29 * torch.rand(len(x), 1, 1, 1, generator=generator)
    grey = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    noise = torch.randn(x.shape, generator=generator)
    noise = torch.where(grey, noise[:, :1].expand_as(noise), noise)
    return (x + noise * sigma / 255).clamp(0, 1)


def contrastive(features, images, negatives, target):
    own, of_target = (features(image)[0] for image in (images, target))
    others = [features(negative)[0] for negative in negatives]
    total = 0
    for i, weight in enumerate(LAMBDA):
        far = sum(l1(own[i], other[i]) for other in others)
        total += weight * l1(own[i], of_target[i]) / (far + 1e-7)
    return total


def cross_entropy(features, images, target, codes):
    def probabilities(image):
        latents = features(image)[1].movedim(1, -1).flatten(0, -2)
        return torch.softmax(-torch.cdist(latents, codes).square(), 1)

    p, q = probabilities(target), probabilities(images)
    return -(p * q.log()).sum(1).mean()


def turned(image, flags, backwards=False):
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


def augmented(images, lq, teacher, generator):
    flags = torch.rand(len(lq), 4, generator=generator) < 0.5
    assert flags.any()
    target = teacher(torch.stack([turned(*pair) for pair in zip(lq, flags)]))
    return l1(images, torch.stack([turned(*p, backwards=True) for p in zip(target, flags)]))


def expected_losses(model, batch, teacher, features, codes, history, weights):
    """The three losses, with weights ``(dcl, ce, aug)``, and the gradient by the student's image.

    In float64 but for the networks of the training.
    """
    generator = model.generator(1)
    lq = batch['lq']
    with torch.no_grad():
        images, target = model.net_g(lq).double(), teacher(lq).double()
        inputs = [lq, *(noisy(lq, generator) for _ in range(4))]
        negatives = [history(x).double() for x in inputs]
    images.requires_grad_()
    found = {'l_dcl': weights[0] * contrastive(features, images, negatives, target)}
    if weights[1]:
        found['l_ce'] = weights[1] * cross_entropy(features, images, target, codes)
    if weights[2]:
        with torch.no_grad():
            turned_teacher = augmented(images, lq, teacher, generator)
        found['l_aug'] = weights[2] * turned_teacher
    return found


def clamped(net):
    def run(x):
        with torch.no_grad():
            return net(x).clamp(0, 1)

    return run


def another(network, seed=11):
    """A history student that differs from the student."""
    return build(network, seed).eval()


CASES = {
    'paper': ({}, (0.1, 0.001, 0)),
    'code': ({'form': 'code'}, (0.1, 0.001, 1)),
    'weights': ({'weight': 2.0, 'code_weight': 0.5, 'augmented_weight': 0.3}, (2.0, 0.5, 0.3)),
    'no codes': ({'code_weight': 0.0}, (0.1, 0, 0)),
    'code without its term': ({'form': 'code', 'augmented_weight': 0.0}, (0.1, 0.001, 0)),
}


@pytest.mark.parametrize(
    ('student', 'teacher', 'case'),
    [*(('EDSR', 'SwinIR', case) for case in CASES), ('SwinIR', 'RCAN', 'code')],
)
def test_dckd_is_its_formula(make, tmp_path, student, teacher, case):
    kd, weights = CASES[case]
    opt = make(kd, student, (teacher,))
    model = model_of(opt, tmp_path)
    history = another(opt['network_g'])
    model.distiller.methods[0].history._net.load_state_dict(history.state_dict())
    state = {k: v.double() for k, v in vqgan_state().items()}
    batch = batch_of(n=SIZE)
    expected = expected_losses(
        model,
        batch,
        clamped(teacher_net(opt, teacher.lower())),
        lambda x: vqgan_features(state, x),
        state['quantize.embedding.weight'],
        history,
        weights,
    )
    found = losses(model, batch)
    assert set(found) == {'l_pix', 'l_distill', *expected}
    for name, value in expected.items():
        assert value > 1e-6
        assert found[name].item() == pytest.approx(value.item(), rel=2e-4), name


@pytest.mark.slow
def test_dckd_in_the_features_of_vgg19_is_its_formula(make, tmp_path):
    weights = write_vgg19(tmp_path / 'vgg19.pth')
    opt = make({'encoder': 'VGG19', 'encoder_weights': weights})
    model = model_of(opt, tmp_path)
    history = another(opt['network_g'])
    model.distiller.methods[0].history._net.load_state_dict(history.state_dict())
    state = {k: v.double() for k, v in torch.load(weights, weights_only=True).items()}
    batch = batch_of(n=SIZE)
    teacher = clamped(teacher_net(opt, 'swinir'))
    expected = expected_losses(
        model, batch, teacher, lambda x: vgg19_features(state, x), None, history, (0.1, 0, 0)
    )
    found = losses(model, batch)
    assert set(found) == {'l_pix', 'l_distill', 'l_dcl'}
    assert found['l_dcl'].item() == pytest.approx(expected['l_dcl'].item(), rel=2e-4)


def test_the_gradient_is_that_of_the_formula(make, tmp_path):
    opt = make({'code_weight': 1.0})
    model = model_of(opt, tmp_path)
    history = another(opt['network_g'])
    model.distiller.methods[0].history._net.load_state_dict(history.state_dict())
    state = vqgan_state()
    codes = state['quantize.embedding.weight']
    batch = batch_of(n=SIZE)
    teacher = teacher_net(opt, 'swinir')
    generator = model.generator(1)
    with torch.no_grad():
        target = teacher(batch['lq']).clamp(0, 1)
        inputs = [batch['lq'], *(noisy(batch['lq'], generator) for _ in range(4))]
        negatives = [history(x) for x in inputs]

    def features(x):
        return vqgan_features(state, x)

    output = model.net_g(batch['lq'])
    expected = 0.1 * contrastive(features, output, negatives, target)
    expected = expected + cross_entropy(features, output, target, codes)
    found = losses(model, batch)
    parameters = list(model.net_g.parameters())
    wanted = torch.autograd.grad(expected, parameters)
    for a, b in zip(torch.autograd.grad(found['l_dcl'] + found['l_ce'], parameters), wanted):
        assert b.abs().max() > 0
        assert (a - b).abs().max() < 2e-3 * b.abs().max()


def test_beside_mtkd_the_teacher_is_the_fused_target(make, tmp_path):
    kd = {'type': 'MTKD', 'also': ['DCKD', 'DUKD']}
    opt = make(kd, 'RCAN', ('SwinIR', 'EDSR'))
    model = model_of(opt, tmp_path)
    batch = batch_of(n=SIZE)
    nets = [teacher_net(opt, 'swinir'), teacher_net(opt, 'edsr')]
    fusion = build(opt['fusion']['network'])
    fusion.load_state_dict(torch.load(opt['fusion']['weights'], weights_only=True)['params'])

    def fused(x):
        with torch.no_grad():
            return fusion.eval()(torch.cat([net(x).clamp(0, 1) for net in nets], 1)).clamp(0, 1)

    state = vqgan_state()
    expected = expected_losses(
        model,
        batch,
        fused,
        lambda x: vqgan_features({k: v.double() for k, v in state.items()}, x),
        state['quantize.embedding.weight'].double(),
        copy.deepcopy(model.net_g).eval(),
        (0.1, 0.001, 0),
    )
    log = step(model, batch)
    assert set(log) == {'l_pix', 'l_distill', 'l_dcl', 'l_ce', 'l_zoom_in'}
    for name, value in expected.items():
        assert log[name] == pytest.approx(value.item(), rel=2e-4), name


def test_nothing_of_it_is_trained_but_the_student(make, tmp_path):
    model = model_of(make({'history_every': [100, 100, 100]}), tmp_path)
    method = model.distiller.methods[0]
    assert not list(method.parameters())
    assert not model.adapters
    frozen = (method.encoder._net, method.history._net)
    before = [snapshot(net) for net in frozen]
    student = snapshot(model.net_g)
    for net in frozen:
        assert not net.training
        assert not any(p.requires_grad for p in net.parameters())
    step(model, batch_of(n=SIZE))
    assert changed(student, model.net_g) == {name for name, _ in model.net_g.named_parameters()}
    assert [changed(state, net) for net, state in zip(frozen, before)] == [set(), set()]


# The history student


@pytest.mark.parametrize('ema_decay', [0.9, 0])
def test_the_history_student_follows_the_average(make, tmp_path, ema_decay):
    opt = make(
        {'history_every': [2, 3], 'history_milestones': [4]}, 'RCAN', train__ema_decay=ema_decay
    )
    model = model_of(opt, tmp_path)
    history = model.distiller.methods[0].history
    source = model.net_g_ema if ema_decay else model.net_g
    expected = snapshot(model.net_g)
    updates = []
    for iteration in range(1, 8):
        step(model, batch_of(seed=iteration), iteration)
        if iteration in (2, 4, 7):  # every 2 up to iteration 4, and every 3 then
            updates.append(iteration)
            now = snapshot(source)
            expected = {name: 0.1 * expected[name] + 0.9 * now[name] for name in expected}
        for name, value in history._net.state_dict().items():
            assert (value - expected[name]).abs().max() < 1e-6, (iteration, name)
        assert history.updated == (updates[-1] if updates else 0)


def test_the_default_schedule(make, tmp_path):
    history = model_of(make({}), tmp_path).distiller.methods[0].history
    periods = [history.period(i) for i in (1, 100000, 100001, 200000, 200001, 250000)]
    assert periods == [1000, 1000, 2000, 2000, 3000, 3000]


def test_a_skipped_step_is_made_up_for(make, tmp_path):
    model = model_of(make({'history_every': [2], 'history_milestones': []}), tmp_path)
    history = model.distiller.methods[0].history
    step(model, batch_of(seed=1), 1)
    bad = batch_of(seed=2)
    bad['gt'] = bad['gt'] * float('nan')
    step(model, bad, 2)
    assert history.updated == 0
    step(model, batch_of(seed=3), 3)
    assert history.updated == 3


def test_statistics_of_batches_are_those_of_the_average(make, tmp_path):
    model = model_of(make({'history_every': [1], 'history_milestones': []}), tmp_path)
    history = model.distiller.methods[0].history
    for net in (model.net_g, model.net_g_ema, history._net):
        net.register_buffer('seen', torch.zeros(2))
    model.net_g.seen += 5
    step(model, batch_of(n=SIZE))
    assert history._net.seen.tolist() == [5, 5]


def test_a_state_without_a_history_student_goes_on(make, tmp_path):
    """It is that of a training with another method."""
    opt = make({'type': 'LogitKD'})
    before = model_of(opt, tmp_path)
    step(before, batch_of(n=SIZE))
    before.save(0, 1)
    folder = tmp_path / 'experiments' / opt['name']
    state = torch.load(folder / 'training_states' / '1.state', weights_only=True)
    assert 'methods' not in state
    opt = make({'history_every': [3], 'history_milestones': []})
    opt['path'].update(
        pretrain_network_g=str(folder / 'models' / 'net_g_1.pth'), resume_state='1.state'
    )
    model = model_of(opt, tmp_path)
    model.resume_training(state)
    history = model.distiller.methods[0].history
    assert changed(snapshot(model.net_g_ema), history._net) == set()
    assert history.updated == 1
    assert model.distiller.resume({}, 7, model.net_g_ema) == [
        'train.kd: the training state has no history student; it begins with the student of '
        'iteration 7'
    ]


def test_the_training_state_has_the_history_student(make, tmp_path):
    opt = make({'history_every': [2], 'history_milestones': []})
    model = model_of(opt, tmp_path)
    for i in (1, 2, 3):
        step(model, batch_of(seed=i), i)
    model.save(0, 3)
    folder = tmp_path / 'experiments' / opt['name']
    state = torch.load(folder / 'training_states' / '3.state', weights_only=True)
    assert state['methods']['DCKD']['updated'] == 2
    assert set(state['methods']['DCKD']['history']) == set(model.net_g.state_dict())
    networks = torch.load(folder / 'models' / 'net_g_3.pth', weights_only=True)
    assert set(networks) == {'params', 'params_ema', 'mtkd'}
    opt['path']['pretrain_network_g'] = str(folder / 'models' / 'net_g_3.pth')
    again = model_of(opt, tmp_path)
    again.resume_training(state)
    for i in (4, 5):
        assert step(again, batch_of(seed=i), i) == step(model, batch_of(seed=i), i)
    one, other = (m.distiller.methods[0].history for m in (model, again))
    assert one.updated == other.updated == 4
    assert changed(snapshot(one._net), other._net) == set()


# Options, and what is missing


@pytest.mark.parametrize(
    ('kd', 'text'),
    [
        ({'form': 'papre'}, r"train.kd.form: 'papre'; known: paper, code \(did you mean 'paper'"),
        ({'encoder': 'VGG16'}, r"train.kd.encoder: 'VGG16'; known: VQGAN, VGG19"),
        ({'encoder': 'VGG19', 'code_weight': 0.1}, 'train.kd.code_weight: 0.1, but VGG19 has no'),
        ({'history_every': [0, 1, 2]}, r'train.kd.history_every: \[0, 1, 2\]; expected numbers'),
        ({'history_every': [10]}, r'train.kd.history_milestones: \[100000, 200000\]; expected'),
        (
            {'history_milestones': [5, 4]},
            r'train.kd.history_milestones: \[5, 4\]; expected rising iterations',
        ),
        ({'history_every': 10}, 'train.kd.history_every: 10; expected a list'),
        ({'wieght': 1.0}, "train.kd: unknown key 'wieght'.*did you mean 'weight'"),
    ],
)
def test_wrong_options_are_refused(make, tmp_path, kd, text):
    with pytest.raises(OptionError, match=text):
        model_of(make(kd), tmp_path)


def test_patches_that_are_too_small_are_refused(make, tmp_path):
    text = 'datasets.train.gt_size: 8; expected at least 16'
    with pytest.raises(OptionError, match=text):
        model_of(make({}, datasets__train__gt_size=8), tmp_path)


MISSING = [
    (
        {'encoder_weights': 'gone.ckpt'},
        "no file 'gone.ckpt'; expected the checkpoint vqgan_imagenet_f16_1024 of "
        'CompVis/taming-transformers (ckpts/last.ckpt of https://heibox',
    ),
    ({'encoder_weights': None}, 'missing; expected the path of the checkpoint vqgan'),
    (
        {'encoder': 'VGG19', 'encoder_weights': 'vgg.pth'},
        "no file 'vgg.pth'; expected torchvision's VGG19 (https://download.pytorch.org/",
    ),
]


@pytest.mark.parametrize(('kd', 'text'), MISSING)
@pytest.mark.parametrize('beside', [False, True])
def test_a_missing_encoder_is_found_before_anything_is_built(make, tmp_path, kd, text, beside):
    kd = {'type': 'DCKD', **kd}
    opt = make({'type': 'LogitKD', 'also': [kd]} if beside else kd)
    key = 'train.kd.also[0]' if beside else 'train.kd'
    findings = Findings()
    check_fast(parsed(opt, True, tmp_path), findings)
    with pytest.raises(WeightsError) as error:
        findings.raise_errors()
    assert str(error.value).startswith(f'{key}.encoder_weights: {text}')
    with pytest.raises(WeightsError) as error:
        model_of(opt, tmp_path)
    assert str(error.value).startswith(f'{key}.encoder_weights: {text}')


def test_a_training_without_its_encoder_does_not_begin(make, tmp_path, here):
    from conftest import write_options

    opt = make({'encoder_weights': 'gone.ckpt'})
    printed = here('train', '-opt', write_options(tmp_path / 'o.yml', opt), expect=1)
    assert "train.kd.encoder_weights: no file 'gone.ckpt'; expected the checkpoint" in printed
    assert not (tmp_path / 'experiments').exists()


def without(name):
    state = vqgan_state()
    del state[name]
    return state


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        (
            {'params': {'conv_first.weight': torch.ones(3)}},
            r"has no encoder and codebook of a VQGAN \('encoder.down.0.block.0.conv1.weight'\)",
        ),
        (without('quantize.embedding.weight'), r"\('quantize.embedding.weight'\); expected the"),
        (without('encoder.norm_out.weight'), r'does not fit VQGANEncoder: .*encoder.norm_out'),
        (vqgan_state(widths=(32, 32, 32, 32)), 'has 4 levels; expected 5: the checkpoint vqgan'),
    ],
    ids=['of a student', 'no codes', 'a part', 'four levels'],
)
def test_a_file_of_something_else_is_refused(make, tmp_path, content, text):
    torch.save(content, tmp_path / 'other.ckpt')
    with pytest.raises((WeightsError, OptionError), match=text):
        model_of(make({'encoder_weights': str(tmp_path / 'other.ckpt')}), tmp_path)


def test_weights_of_vgg19_have_to_be_whole(make, tmp_path):
    path = write_vgg19(tmp_path / 'vgg.pth')
    state = torch.load(path, weights_only=True)
    del state['features.28.bias']
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r'does not fit VGGEncoder: .*conv5_1.bias'):
        model_of(make({'encoder': 'VGG19', 'encoder_weights': path}), tmp_path)


def test_the_log_has_encoder_and_schedule(make, tmp_path):
    *_, method, encoder, history = model_of(make({}), tmp_path).distiller.describe()
    assert method == 'Method: DCKD'
    assert encoder.startswith("DCKD: encoder VQGAN of '")
    assert encoder.endswith(' parameters, 24 codes')
    assert history == (
        'DCKD: history student, updated from the moving average every 1000, 2000, 3000 iterations'
    )


def test_the_teacher_runs_for_augmented_inputs_alone():
    for kd, asks in (
        ({}, False),
        ({'form': 'code'}, True),
        ({'form': 'code', 'augmented_weight': 0.0}, False),
        ({'augmented_weight': 0.5}, True),
    ):
        assert check_method({'type': 'DCKD', **kd}).main.asks_teacher == asks


def test_the_path_may_have_a_variable(make, tmp_path, monkeypatch):
    (tmp_path / 'w').mkdir()
    write_vqgan(tmp_path / 'w' / 'e.ckpt')
    monkeypatch.setenv('ENCODERS', str(tmp_path / 'w'))
    model_of(make({'encoder_weights': '$ENCODERS/e.ckpt'}), tmp_path)
    assert Path(tmp_path / 'w' / 'e.ckpt').is_file()
