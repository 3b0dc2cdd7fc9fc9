import pytest
import torch

from mtkd_basicsr.utils.random_state import random_state, set_random_state, unchanged


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU that no one has used, and that must stay so."""

    def occupy(*_):
        raise AssertionError('the GPU is occupied')

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_rng_state', occupy)
    monkeypatch.setattr(torch.cuda, 'set_rng_state', occupy)


def test_an_unused_gpu_is_left_alone(gpu):
    state = random_state()
    assert 'cuda' not in state
    first = torch.rand(3)
    # A state of a training on a GPU.
    set_random_state({**state, 'cuda': torch.zeros(16, dtype=torch.uint8)})
    assert torch.equal(torch.rand(3), first)
    with unchanged():
        torch.rand(1)
    assert not torch.equal(torch.rand(3), first)


def test_the_state_of_a_used_gpu_is_kept(monkeypatch):
    saved = torch.arange(16, dtype=torch.uint8)
    restored = []
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_rng_state', lambda: saved)
    monkeypatch.setattr(torch.cuda, 'set_rng_state', restored.append)
    set_random_state(random_state())
    assert torch.equal(restored[0], saved)
