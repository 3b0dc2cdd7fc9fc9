"""Checkpoints of networks with values that are not finite."""

from pathlib import Path

import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from conftest import snapshot
from helpers.trainings import batch_of, model_of
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mtkd_basicsr.models.loss_guard import first_not_finite
from mtkd_basicsr.utils.registry import register


@register(ARCH_REGISTRY)
class WithStatistics(nn.Module):
    """A student with running statistics, and a mask that is infinite on purpose."""

    def __init__(self, upscale):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4))
        self.tail = nn.Sequential(nn.Conv2d(4, 3 * upscale**2, 1), nn.PixelShuffle(upscale))
        self.register_buffer('mask', torch.tensor([0.0, -torch.inf]))

    def forward(self, x):
        return self.tail(self.body(x))


class Waits(TorchDispatchMode):
    """Counts what waits for a GPU: values that Python asks for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.name() in ('aten::_local_scalar_dense', 'aten::is_nonzero')
        return function(*args, **kwargs or {})


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
@pytest.mark.parametrize('index', [0, 1, -1])
def test_no_checkpoint_is_written(make_options, tmp_path, caplog, index, value):
    model = model_of(make_options('KDModel', train__kd={'type': 'Scratch'}), tmp_path)
    name, parameter = list(model.net_g.named_parameters())[index]
    with torch.no_grad():
        parameter.view(-1)[-1] = value
    model.save(0, 7)
    assert f'iteration 7: {name} is no longer finite: no checkpoint is written' in caplog.text
    assert not list(Path(model.opt['path']['models']).iterdir())
    with torch.no_grad():
        parameter.view(-1)[-1] = torch.finfo(torch.float32).max
    model.save(0, 8)
    assert [p.name for p in Path(model.opt['path']['models']).iterdir()] == ['net_g_8.pth']


def test_all_parameters_are_looked_at_in_one_wait():
    net = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(9)))
    with Waits() as waits:
        assert first_not_finite(net) is None
    assert waits.count == 0, 'tolist() is the one'
    with Waits() as waits:
        assert torch.isfinite(net[0].weight).all()
    assert waits.count == 1, 'it counts'
    assert first_not_finite(torch.nn.ReLU()) is None


def test_a_skipped_step_leaves_running_statistics_as_they_were(make_options, tmp_path):
    network = {'type': 'WithStatistics', 'upscale': 2}
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, network_g=network)
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    model.feed_data(batch)
    model.optimize_parameters(1)
    before, average = snapshot(model.net_g), snapshot(model.net_g_ema)
    wrong = {**batch, 'lq': batch['lq'].clone()}
    wrong['lq'][0, 0, 0, 0] = float('nan')
    for iteration in (2, 3):
        model.feed_data(wrong)
        model.optimize_parameters(iteration)
    assert model.loss_guard.skipped == 2
    for net, state in ((model.net_g, before), (model.net_g_ema, average)):
        assert all(torch.equal(value, state[name]) for name, value in snapshot(net).items())
    model.feed_data(batch)
    model.optimize_parameters(4)
    after = snapshot(model.net_g)
    assert not torch.equal(after['body.1.running_mean'], before['body.1.running_mean'])
    assert after['body.1.num_batches_tracked'] == before['body.1.num_batches_tracked'] + 1
    model.save(0, 4)
    saved = torch.load(Path(model.opt['path']['models'], 'net_g_4.pth'), weights_only=True)
    assert all(not value.isnan().any() for value in saved['params_ema'].values())


def test_running_statistics_that_are_no_number_are_not_written(make_options, tmp_path, caplog):
    network = {'type': 'WithStatistics', 'upscale': 2}
    opt = make_options('KDModel', train__kd={'type': 'Scratch'}, network_g=network)
    model = model_of(opt, tmp_path)
    model.net_g.body[1].running_var[2] = float('nan')
    model.save(0, 7)
    assert 'iteration 7: body.1.running_var is no longer finite: no checkpoint' in caplog.text
    assert not list(Path(model.opt['path']['models']).iterdir())
