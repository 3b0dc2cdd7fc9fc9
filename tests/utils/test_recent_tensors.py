import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mtkd_basicsr.utils import recent_tensors
from mtkd_basicsr.utils.recent_tensors import RecentTensors


def test_the_one_not_used_for_longest_is_dropped():
    tensors = RecentTensors(2)
    computed = []

    def get(key):
        return tensors.get(key, lambda: computed.append(key) or torch.tensor(key))

    for key in (1, 2, 1, 3, 1, 2):
        assert get(key).item() == key
    assert computed == [1, 2, 3, 2]
    assert len(tensors) == 2


def test_an_error_keeps_nothing():
    tensors = RecentTensors(2)
    with pytest.raises(ZeroDivisionError):
        tensors.get('a', lambda: torch.tensor(1 / 0))
    assert tensors.get('a', lambda: torch.tensor(2)).item() == 2


def test_tensors_can_be_used_in_a_training():
    tensors = RecentTensors(2)
    weight = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        tensors.get('a', lambda: 2 * torch.ones(3))
    kept = tensors.get('a', lambda: weight)
    (kept * weight).sum().backward()
    assert weight.grad.eq(2).all()
    assert not tensors.get('b', lambda: weight * 2).requires_grad


def test_nothing_is_kept_of_graphs_and_fake_tensors():
    tensors = RecentTensors(2)

    def function(x):
        return x + tensors.get('a', lambda: torch.ones(2))

    traced = torch.jit.trace(function, torch.zeros(2), check_trace=False)
    assert traced(torch.zeros(2)).eq(1).all()
    compiled = torch.compile(function, backend='eager', fullgraph=True)
    assert compiled(torch.zeros(2)).eq(1).all()
    with FakeTensorMode():
        function(torch.zeros(2))
    assert len(tensors) == 0
    function(torch.zeros(2))
    assert len(tensors) == 1


def test_what_a_cuda_graph_computes_while_it_is_recorded_is_not_kept(monkeypatch):
    tensors = RecentTensors(2)
    lasting = []
    monkeypatch.setattr(recent_tensors, 'is_lasting', lambda _: bool(lasting))
    tensors.get('a', lambda: torch.ones(2))
    assert len(tensors) == 0
    lasting.append(True)
    kept = tensors.get('a', lambda: torch.ones(2))
    lasting.clear()
    assert tensors.get('a', lambda: torch.ones(2)) is kept
    assert len(tensors) == 1
