import pytest
import torch

from mtkd_basicsr.models.inference import eager_inference


@pytest.mark.skipif(not hasattr(torch.compiler, 'set_stance'), reason='torch < 2.6')
def test_images_of_many_sizes_are_not_compiled_for():
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    net = torch.nn.Conv2d(3, 3, 3)
    net.compile(backend=backend)
    with torch.no_grad(), eager_inference():
        for size in (8, 9, 11):
            net(torch.rand(1, 3, size, size))
    assert not compiled
    net(torch.rand(1, 3, 8, 8))
    assert len(compiled) == 1


def test_convolutions_are_not_chosen_by_trials(monkeypatch):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, 'benchmark', True)  # as BasicSR sets it
    before = (cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32)
    with eager_inference():
        assert not cudnn.benchmark
        assert (cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32) == before
    assert cudnn.benchmark
