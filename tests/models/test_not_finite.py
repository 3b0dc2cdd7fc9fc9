"""Checkpoints of networks with values that are not finite."""

from pathlib import Path

import pytest
import torch
from helpers.trainings import model_of
from torch.utils._python_dispatch import TorchDispatchMode

from mtkd_basicsr.models.base import _first_not_finite


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
        assert _first_not_finite(net) is None
    assert waits.count == 0, 'tolist() is the one'
    with Waits() as waits:
        assert torch.isfinite(net[0].weight).all()
    assert waits.count == 1, 'it counts'
    assert _first_not_finite(torch.nn.ReLU()) is None
