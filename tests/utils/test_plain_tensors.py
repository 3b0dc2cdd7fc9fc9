"""Tensors that are neither parameters nor buffers follow their network to its device."""

import pytest
import torch
from conftest import build, tiny
from helpers.trainings import model_of

from mtkd_basicsr.teachers.base import Frozen
from mtkd_basicsr.utils.plain_tensors import move_plain_tensors

ARCHS = ('EDSR', 'RCAN', 'SwinIR')


@pytest.mark.parametrize('arch', ARCHS)
def test_the_colour_mean_of_basicsr(arch):
    net = build(tiny(arch, 2))
    mean = net.mean.clone()
    move_plain_tensors(net, 'cpu')
    assert torch.equal(net.mean, mean)
    net.to('meta')
    assert net.mean.device.type == 'cpu'
    move_plain_tensors(net, 'meta')
    assert net.mean.device.type == 'meta'
    assert not [name for name in net.state_dict() if 'mean' in name]
    kept = net.mean
    net(torch.rand(1, 3, 16, 16, device='meta'))
    assert net.mean is kept  # the forward pass has nothing to move


@pytest.mark.parametrize('arch', ARCHS)
def test_of_teachers(arch):
    teacher = Frozen()
    teacher.network = build(tiny(arch, 2))
    teacher.freeze('meta', channels_last=False)
    assert teacher.network.mean.device.type == 'meta'


def test_of_students(make_options, tmp_path):
    model = model_of(make_options('KDModel', train__kd={'type': 'Scratch'}), tmp_path)
    model.device = torch.device('meta')
    assert model.model_to_device(build(tiny('RCAN', 2))).mean.device.type == 'meta'


@pytest.mark.gpu
def test_on_a_gpu(make_options, tmp_path):
    opt = make_options('KDModel', num_gpu=1, train__kd={'type': 'Scratch'})
    model = model_of(opt, tmp_path)
    for net in (model.net_g, model.net_g_ema):
        assert net.mean.device.type == 'cuda'
