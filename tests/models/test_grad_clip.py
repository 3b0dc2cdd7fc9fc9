"""``train.grad_clip``: the norm of the gradients of all that is trained."""

import math
import random

import pytest
import torch
from conftest import tiny
from helpers.distillation import kd_options
from helpers.trainings import batch_of, model_of

from mtkd_basicsr.errors import TrainingError


def gradients_of(model):
    """Copies of all gradients, student and adapters."""
    trained = [p for group in model.optimizer_g.param_groups for p in group['params']]
    return [p.grad.clone() for p in trained]


def norm_of(gradients):
    return math.sqrt(sum(g.double().square().sum().item() for g in gradients))


def stepped(make, tmp_path, **changes):
    opt = make(**changes)
    torch.manual_seed(0)
    model = model_of(opt, tmp_path)
    random.seed(0)  # for the crops
    model.feed_data(batch_of(opt, tmp_path))
    model.optimize_parameters(1)
    return model


@pytest.mark.parametrize('case', ['Scratch', 'FitNet', 'stage 1', 'RCAN', 'SwinIR', 'bf16'])
def test_a_large_gradient_is_scaled_to_the_norm(make_options, photographs, tmp_path, case):
    def make(**changes):
        if case == 'stage 1':
            return make_options('MTKDFusionModel', **changes)
        if case == 'bf16':
            changes['train__amp'] = 'bf16'
        student = case if case in ('RCAN', 'SwinIR') else 'EDSR'
        method = 'FitNet' if case == 'FitNet' else 'Scratch'
        return kd_options(photographs, tmp_path, method, student, **changes)

    plain = stepped(make, tmp_path)
    expected = gradients_of(plain)
    norm = norm_of(expected)
    assert 'grad_norm' not in plain.log_dict

    unclipped = stepped(make, tmp_path, train__grad_clip=2 * norm)
    assert unclipped.log_dict['grad_norm'] == pytest.approx(norm, rel=1e-4)
    for found, gradient in zip(gradients_of(unclipped), expected, strict=True):
        assert torch.equal(found, gradient)
    assert set(unclipped.log_dict) == {*plain.log_dict, 'grad_norm'}

    clipped = stepped(make, tmp_path, train__grad_clip=norm / 10)
    assert clipped.log_dict['grad_norm'] == pytest.approx(norm, rel=1e-4)
    for found, gradient in zip(gradients_of(clipped), expected, strict=True):
        assert torch.allclose(found, gradient / 10, rtol=1e-3, atol=1e-9)
    assert norm_of(gradients_of(clipped)) == pytest.approx(norm / 10, rel=1e-3)
    if case == 'FitNet':
        assert len(expected) == len(list(clipped.net_g.parameters())) + len(clipped.adapters)


@pytest.mark.parametrize('kind', ['MTKDModel', 'MTKDFusionModel'])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_step_without_a_finite_gradient_is_skipped(make_options, tmp_path, caplog, kind, value):
    """Though its losses are finite; clipped, the gradient would be no number."""
    import logging

    logger = logging.getLogger('basicsr')
    logger.addHandler(caplog.handler)
    network = tiny('DCTSwin' if kind == 'MTKDFusionModel' else 'EDSR', 2)
    opt = make_options(kind, network_g=network, train__grad_clip=1.0, train__max_skipped=2)
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    weight = next(p for p in model.net_g.parameters() if p.requires_grad)
    hook = None
    for iteration, bad in enumerate([False, True, True, False, True, True], 1):
        if hook is not None:
            hook.remove()
        if bad:
            hook = weight.register_hook(lambda gradient: gradient * value)
        before = {name: p.clone() for name, p in model.net_g.state_dict().items()}
        average = {name: p.clone() for name, p in model.net_g_ema.state_dict().items()}
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        same = all(torch.equal(p, before[name]) for name, p in model.net_g.state_dict().items())
        assert same == bad
        if bad:
            for name, p in model.net_g_ema.state_dict().items():
                assert torch.equal(p, average[name])
    assert (
        f'iteration 2: grad_norm is {value}; the step is skipped, number 1 in a row' in caplog.text
    )
    model.feed_data(batch)
    with pytest.raises(TrainingError, match=r'grad_norm is (nan|inf).* train.max_skipped is 2'):
        model.optimize_parameters(7)
    logger.removeHandler(caplog.handler)
