"""What holds for all distillation methods."""

import copy
import random

import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from conftest import build, changed, snapshot, tiny
from helpers.distillation import (
    ARCHS,
    EXTRA,
    METHODS,
    batch_of,
    frozen_networks,
    kd_options,
    losses,
    model_of,
    network,
    step,
    teacher_net,
)

from mtkd_basicsr.distillers import METHODS as KNOWN
from mtkd_basicsr.distillers import Method, register_method
from mtkd_basicsr.errors import OptionError, WeightsError
from mtkd_basicsr.utils.precision import supports_native_bf16


@pytest.fixture
def make(photographs, tmp_path):
    def make(kd, *args, **changes):
        return kd_options(photographs, tmp_path, kd, *args, **changes)

    return make


@pytest.fixture
def add_method():
    """Registers a method with one loss of a given name; afterwards nobody knows it any more."""
    before = dict(KNOWN)

    def add_method(name, loss):
        members = {
            '__module__': __name__,
            '__qualname__': name,
            'losses': lambda self, step: {loss: step.output.square().mean()},
        }
        register_method(type(name, (Method,), members))

    yield add_method
    KNOWN.clear()
    KNOWN.update(before)


def keys_of(method):
    return {'l_pix', *(() if method == 'Scratch' else ('l_distill',)), *EXTRA.get(method, ())}


def test_the_losses_of_all_methods_are_documented():
    assert set(EXTRA) == set(KNOWN)


@pytest.mark.parametrize('teacher', ARCHS)
@pytest.mark.parametrize('student', ARCHS)
@pytest.mark.parametrize('method', METHODS)
def test_a_step_changes_student_and_adapters_and_no_teacher(
    make, tmp_path, method, student, teacher
):
    if method == 'Scratch' and teacher != 'EDSR':
        pytest.skip('has no teacher')
    model = model_of(make(method, student, (teacher,)), tmp_path)
    own = snapshot(model.net_g)
    adapters = snapshot(model.distiller)
    frozen = frozen_networks(model)
    before = [snapshot(net) for net in frozen]
    log = step(model, batch_of())
    assert set(log) == keys_of(method)
    assert all(value > 0 for value in log.values())
    assert changed(own, model.net_g) == {name for name, _ in model.net_g.named_parameters()}
    assert len(adapters) == {'FitNet': 6, 'CrossKD': 2}.get(method, 0), (
        'weight and bias where the widths differ'
    )
    assert changed(adapters, model.distiller) == set(adapters)
    assert len(frozen) == {'Scratch': 0, 'MTKD': 2}.get(method, 1)
    for net, state in zip(frozen, before):
        assert changed(state, net) == set()
        assert not net.training
        assert all(p.grad is None and not p.requires_grad for p in net.parameters())


@pytest.mark.parametrize('arch', ARCHS)
@pytest.mark.parametrize('method', [m for m in METHODS if m not in ('MTKD', 'Scratch')])
def test_a_student_that_is_the_teacher_has_nothing_to_learn_from_it(make, tmp_path, method, arch):
    # An augmented input gives another output: without augmentations even DUKD has nothing to say.
    kd = {'type': method, **({'probability': 0.0} if method == 'DUKD' else {})}
    opt = make(kd, arch, (arch,), wide=False)
    model = model_of(opt, tmp_path)
    batch = batch_of()
    model.net_g.load_state_dict(teacher_net(opt, arch.lower()).state_dict())
    # teachers are cut to [0, 1], students are not: near a half nothing is cut
    with torch.no_grad():
        for net in (model.net_g, model.distiller.teachers.network(arch.lower())):
            for p in list(net.parameters())[-2:]:
                p *= 0.01
        output = model.net_g(batch['lq'])
    assert output.min() > 0
    assert output.max() < 1
    found = losses(model, batch)
    expected = {'l_pix': (output - batch['gt']).abs().mean().item()}
    # the teacher's end makes the teacher's image, which is not the ground truth
    if method == 'CrossKD':
        expected['l_cross'] = expected['l_pix']
    # The entropy of the teacher's codes, which no student can go below.
    if method == 'DCKD':
        assert found['l_ce'] > 0
        expected['l_ce'] = found['l_ce'].item()
    for name, value in found.items():
        assert value.item() == pytest.approx(expected.get(name, 0), abs=1e-6), name
    found.pop('l_pix')
    gradient = torch.autograd.grad(
        sum(found.values()), list(model.net_g.parameters()), allow_unused=True
    )
    assert all(g is None or g.isfinite().all() for g in gradient), (
        'the distance has no finite gradient at zero'
    )


@pytest.mark.parametrize('arch', ARCHS)
# A relation between images, and a ratio of two means.
@pytest.mark.parametrize('method', [m for m in METHODS if m not in ('RKD', 'DCKD')])
def test_a_batch_is_the_mean_of_its_images(make, tmp_path, method, arch):
    kd = {'type': method, **({'probability': 0.0} if method == 'DUKD' else {})}
    opt = make(kd, 'EDSR', (arch,))
    batch = batch_of(2)
    if method == 'DUKD':  # the same tile for both, whichever is drawn
        batch['gt'] = batch['gt'][..., :8, :8].repeat(1, 1, 2, 2)
    model = model_of(opt, tmp_path)
    both = losses(model, batch)
    each = [losses(model, {k: v[i : i + 1] for k, v in batch.items()}) for i in range(2)]
    for name, value in both.items():
        assert value.item() == pytest.approx(
            (each[0][name] + each[1][name]).item() / 2, rel=1e-4
        ), name
        assert each[0][name].item() != each[1][name].item()


def test_all_methods_start_from_the_same_student_and_the_same_images(make, tmp_path):
    starts = []
    batches = []
    for method in (*METHODS, {'type': 'MTKD', 'also': ['DUKD', 'FitNet']}):
        opt = make(method)
        random.seed(0)  # as BasicSR does once, before everything
        model = model_of(opt, tmp_path)
        starts.append(snapshot(model.net_g))
        block = model.opt['datasets']['train']
        data = build_dataset(block)
        batches.append(
            next(
                iter(
                    build_dataloader(
                        data, block, num_gpu=0, sampler=EnlargedSampler(data, 1, 0, 2), seed=0
                    )
                )
            )['lq']
        )
    assert all(torch.equal(start[k], starts[0][k]) for start in starts for k in starts[0])
    assert all(torch.equal(batch, batches[0]) for batch in batches)


def test_a_step_draws_nothing_from_the_generator_of_the_images(make, tmp_path):
    # Otherwise one method would see other crops than another, from the second step on.
    after = []
    for method in METHODS:
        model = model_of(make(method, network_g=tiny('SwinIR', 2)), tmp_path)
        before = random.getstate()
        step(model, batch_of())
        assert random.getstate() == before
        after.append(torch.get_rng_state())
    assert all(torch.equal(state, after[0]) for state in after), (
        'loaders seed their processes with it'
    )


@pytest.mark.parametrize(
    'kd',
    [*METHODS, {'type': 'DUKD', 'zoom_out': True}, {'type': 'MTKD', 'also': ['FitNet', 'RKD']}],
    ids=lambda kd: kd if isinstance(kd, str) else f'{kd["type"]}+',
)
def test_bfloat16_gives_finite_losses_near_those_of_float32(make, tmp_path, kd):
    logs = []
    for amp in (None, 'bf16', 'auto', 'fp32'):
        model = model_of(make(kd, train__amp=amp), tmp_path)
        before = snapshot(model.net_g)
        logs.append(step(model, batch_of()))
        assert len(changed(before, model.net_g)) == len(before)
        assert all(p.isfinite().all() for p in model.net_g.parameters())
    for name in logs[0]:
        assert logs[1][name] == pytest.approx(logs[0][name], rel=0.1), name
        assert logs[2][name] == logs[1 if supports_native_bf16('cpu') else 0][name], name
        assert logs[3][name] == logs[0][name], name


@pytest.mark.parametrize(
    'kd', ['CrossKD', 'FitNet', {'type': 'MTKD', 'also': ['DUKD', 'FitNet', 'CrossKD']}], ids=str
)
def test_resuming_takes_the_same_step(make, tmp_path, kd):
    opt = make(kd, 'RCAN', ('EDSR',))
    model = model_of(opt, tmp_path)
    for i in (1, 2):
        step(model, batch_of(seed=i), i)
    model.save(0, 2)
    folder = tmp_path / 'experiments' / opt['name']
    step(model, batch_of(seed=3), 3)

    for key in ('params', 'params_ema'):
        assert set(torch.load(folder / 'models' / 'net_g_2.pth', weights_only=True)[key]) == set(
            build(network('RCAN')).state_dict()
        )
    opt['path']['pretrain_network_g'] = str(folder / 'models' / 'net_g_2.pth')
    # adapters that differ, unless they come from the state
    opt['manual_seed'], seed = 1, opt['manual_seed']
    again = model_of(opt, tmp_path)
    again.opt['manual_seed'] = seed
    again.resume_training(torch.load(folder / 'training_states' / '2.state', weights_only=True))
    step(again, batch_of(seed=3), 3)
    assert len(model.adapters) > 0
    for one, other in (
        (model.net_g, again.net_g),
        (model.net_g_ema, again.net_g_ema),
        (model.distiller, again.distiller),
    ):
        assert changed(snapshot(one), other) == set()


@pytest.mark.parametrize(
    ('saved', 'wanted', 'text'),
    [
        (
            'FitNet',
            'FAKD',
            r'path.resume_state: adapters methods.0.adapters.0.weight, .*train.kd needs none: '
            r'.*another method',
        ),
        (
            'LogitKD',
            'CrossKD',
            r'path.resume_state: adapters none; train.kd needs methods.0.adapter.weight, '
            r'methods.0.adapter.bias',
        ),
        ('CrossKD', 'FitNet', 'path.resume_state: adapters methods.0.adapter.weight'),
    ],
)
def test_the_state_of_another_method_is_refused(make, tmp_path, saved, wanted, text):
    opt = make(saved)
    model_of(opt, tmp_path).save(0, 2)
    state = torch.load(
        tmp_path / 'experiments' / opt['name'] / 'training_states' / '2.state', weights_only=True
    )
    with pytest.raises(WeightsError, match=text):
        model_of(make(wanted), tmp_path).resume_training(state)


def test_a_state_without_adapters_goes_on_as_before(make, tmp_path):
    # States of BasicSR's own SRModel, and of older versions of this package, have no adapters.
    opt = make('LogitKD')
    model = model_of(opt, tmp_path)
    step(model, batch_of())
    model.save(0, 2)
    state = torch.load(
        tmp_path / 'experiments' / opt['name'] / 'training_states' / '2.state', weights_only=True
    )
    del state['adapters']
    resumed = model_of(opt, tmp_path)
    assert not resumed.optimizers[0].state_dict()['state']
    resumed.resume_training(state)
    assert (
        resumed.optimizers[0].state_dict()['state'].keys()
        == model.optimizers[0].state_dict()['state'].keys()
    )


def test_a_compiled_student_learns_the_same_from_features(make, tmp_path, monkeypatch):
    # Traced by torch.compile as in earnest, but run without generating code, which takes a minute
    # and a compiler.
    calls = []
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, 'compile', lambda f, **k: calls.append(f) or compile_(f, **k, backend='eager')
    )
    results = []
    for compiled in (False, True):
        model = model_of(make('FAKD', train__compile=compiled), tmp_path)
        logs = [step(model, batch_of(seed=i), i) for i in (1, 2)]
        results.append((snapshot(model.net_g), logs))
    assert len(calls) == 1
    (plain, logs), (compiled, compiled_logs) = results
    assert plain.keys() == compiled.keys(), 'compiling must not change the names in the checkpoint'
    assert all((plain[k] - compiled[k]).abs().max() < 1e-5 for k in plain)
    for a, b in zip(logs, compiled_logs):
        assert a == pytest.approx(b, rel=1e-4)


def test_scratch_is_basicsr_itself(make, tmp_path):
    opt = make('Scratch')
    opt['train']['ema_warmup'] = False
    assert 'teachers' not in opt
    ours = model_of(opt, tmp_path)
    plain = copy.deepcopy(opt)
    plain['model_type'] = 'SRModel'
    theirs = model_of(plain, tmp_path)
    for i in (1, 2):
        assert step(ours, batch_of(seed=i), i) == step(theirs, batch_of(seed=i), i)
    assert changed(snapshot(ours.net_g), theirs.net_g) == set()
    assert changed(snapshot(ours.net_g_ema), theirs.net_g_ema) == set()


@pytest.mark.parametrize('distill', [True, False])
@pytest.mark.parametrize(
    ('first', 'second', 'kd', 'owners', 'loss'),
    [
        ('l_same', 'l_same', {'type': 'First', 'also': ['Second']}, 'First and Second', 'l_same'),
        ('l_one', 'l_at', {'type': 'AT', 'also': ['First', 'Second']}, 'AT and Second', 'l_at'),
        ('l_pix', 'l_two', {'type': 'First'}, 'train.pixel_opt and First', 'l_pix'),
        (
            'l_one',
            'l_distill',
            {'type': 'First', 'also': ['Second']},
            'train.distill_opt and Second',
            'l_distill',
        ),
    ],
    ids=['of_two', 'of_ours', 'l_pix', 'l_distill'],
)
def test_a_loss_does_not_take_the_place_of_another(
    make, tmp_path, add_method, first, second, kd, owners, loss, distill
):
    add_method('First', first)
    add_method('Second', second)
    opt = make(kd)
    if not distill:
        del opt['train']['distill_opt']
    model = model_of(opt, tmp_path)
    with pytest.raises(OptionError, match=f"^train.kd: {owners} both have a loss '{loss}'; "):
        step(model, batch_of())


def test_losses_of_different_names_stand_side_by_side(make, tmp_path, add_method):
    add_method('First', 'l_one')
    add_method('Second', 'l_two')
    model = model_of(make({'type': 'First', 'also': ['Second']}), tmp_path)
    log = step(model, batch_of())
    assert set(log) == {'l_pix', 'l_distill', 'l_one', 'l_two'}
    assert log['l_one'] == log['l_two']
