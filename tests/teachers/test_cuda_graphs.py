"""Frozen networks as CUDA graphs."""

import logging

import pytest
import torch
from helpers.distillation import kd_options, model_of
from skimage import data

from mtkd_basicsr.distillers import TeacherProvider
from mtkd_basicsr.teachers import cuda_graphs
from mtkd_basicsr.teachers.cuda_graphs import RecordedCalls
from mtkd_basicsr.utils.cudnn import cudnn_flags


@pytest.fixture(autouse=True)
def full_fp32():
    """In TF32 two kernels of cuDNN differ by more than is allowed here."""
    with cudnn_flags(allow_tf32=False):
        yield


def photograph(offset=0):
    pixels = data.astronaut()[offset : offset + 48, 100:164]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def network(device='cpu'):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3, 1, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 3, 1, 1)]
    return torch.nn.Sequential(*layers).to(device).requires_grad_(False)


def test_without_a_gpu_the_function_is_run_as_it_is():
    net = network()
    calls = RecordedCalls(net)
    for offset in (0, 10, 20):
        assert torch.equal(calls(photograph(offset)), net(photograph(offset)))
    assert calls._graphs == {}


@pytest.mark.gpu
def test_every_call_gives_the_result_of_its_own_input():
    net = network('cuda')
    calls = RecordedCalls(net)
    kept = []
    for offset in range(0, 50, 10):
        kept.append((calls(photograph(offset).cuda()), net(photograph(offset).cuda())))
    for found, expected in kept:
        assert torch.allclose(found, expected, rtol=0, atol=1e-6)
    assert len(calls._graphs) == 1
    with torch.no_grad():
        net[0].weight.mul_(2)
    # A graph reads the weights where they are.
    assert torch.allclose(calls(photograph().cuda()), net(photograph().cuda()), rtol=0, atol=1e-6)


@pytest.mark.gpu
def test_shapes_beyond_the_limit_are_not_recorded(monkeypatch):
    monkeypatch.setattr(cuda_graphs, 'MAX_SHAPES', 2)
    net = network('cuda')
    calls = RecordedCalls(net)
    for _ in range(3):
        for width in (16, 24, 32):
            x = photograph()[..., :width].contiguous().cuda()
            assert torch.allclose(calls(x), net(x), rtol=0, atol=1e-6)
    assert len(calls._graphs) == 2


@pytest.mark.gpu
def test_a_function_that_waits_for_the_gpu_is_run_as_before(caplog):
    def waits(x):
        return x * 2 if x.mean().item() > 0 else x

    calls = RecordedCalls(waits)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            x = photograph().cuda()
            assert torch.equal(calls(x), 2 * x)
    assert caplog.text.count('no CUDA graph can be recorded') == 1


def test_teachers_whose_features_are_read_are_not_recorded(photographs, tmp_path, monkeypatch):
    """Hooks, with which features are read, do not run when a graph is launched."""
    through = []
    monkeypatch.setattr(
        RecordedCalls, '__call__', lambda self, x: through.append(1) or self.function(x)
    )
    x = photograph()
    for method, expected in (('LogitKD', 1), ('FAKD', 0)):
        opt = kd_options(photographs, tmp_path, method)
        provider = model_of(opt, tmp_path).distiller.teachers
        assert isinstance(provider, TeacherProvider)
        plain = provider.target_and_features(x, True)[0]
        provider.record_graphs()
        through.clear()
        assert torch.equal(provider.target_and_features(x, True)[0], plain)
        assert len(through) == expected
