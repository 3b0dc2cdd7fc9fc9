import copy
import pickle

import pytest
import torch
from conftest import build
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mtkd_basicsr.archs import upsampling

NETWORK = {
    'type': 'DCTSwin',
    'upscale': 2,
    'depths': [2],
    'embed_dim': 8,
    'num_heads': [2],
    'skip': 'learned',
}


@pytest.fixture
def merges(monkeypatch):
    """Counts how often the layers are merged."""
    calls = []
    original = upsampling._merged_convolution
    monkeypatch.setattr(
        upsampling, '_merged_convolution', lambda *args: calls.append(args) or original(*args)
    )
    return calls


def frozen():
    return build(NETWORK).requires_grad_(False).eval()


def output(net, x):
    with torch.no_grad():
        return net(x)


def anew(net, x):
    """The output of a copy, in which nothing is kept."""
    return output(copy.deepcopy(net), x)


def test_frozen_layers_are_merged_once(merges):
    net = frozen()
    x = torch.rand(1, 9, 32, 32)
    expected = anew(net, x)
    merges.clear()
    for _ in range(3):
        assert torch.equal(output(net, x), expected)
    assert len(merges) == 1


def test_trained_layers_are_merged_at_each_forward_pass(merges):
    net = build(NETWORK).train()
    for _ in range(3):
        net(torch.rand(1, 9, 32, 32))
    net.eval()
    output(net, torch.rand(1, 9, 32, 32))
    assert len(merges) == 4


def load(net):
    net.load_state_dict(build(NETWORK, seed=5).state_dict())


def load_others_in_place_of_tensors(net):
    net.load_state_dict(build(NETWORK, seed=5).state_dict(), assign=True)
    net.requires_grad_(False)


def modify(net):
    with torch.no_grad():
        net.upsample[0].weight.mul_(1.5)


def modify_the_last_bias(net):
    with torch.no_grad():
        net.conv_last.bias[0] += 1


def replace_data(net):
    net.conv_last.weight.data = net.conv_last.weight.data * 1.5


def replace_a_layer(net):
    net.conv_last = build(NETWORK, seed=5).conv_last.requires_grad_(False)


def convert(net):
    net.double()


def train_one_step(net):
    net.requires_grad_()
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    net(torch.rand(1, 9, 32, 32)).square().mean().backward()
    optimizer.step()
    net.requires_grad_(False)


@pytest.mark.parametrize(
    'change',
    [
        load,
        load_others_in_place_of_tensors,
        modify,
        modify_the_last_bias,
        replace_data,
        replace_a_layer,
        convert,
        train_one_step,
    ],
    ids=lambda change: change.__name__,
)
def test_nothing_is_kept_of_other_weights(change):
    net = frozen()
    x = torch.rand(1, 9, 32, 32)
    before = output(net, x)
    change(net)
    x = x.to(net.conv_first.weight.dtype)
    after = output(net, x)
    assert not torch.equal(after, before)
    assert torch.equal(after, anew(net, x))


def test_copies_keep_nothing_of_each_other():
    net = frozen()
    x = torch.rand(1, 9, 32, 32)
    before = output(net, x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(output(other, x), before)
        modify(other)
        assert not torch.equal(output(other, x), before)
    assert torch.equal(output(net, x), before)


def test_a_gradient_goes_through_frozen_layers_after_inference_mode():
    net = frozen()
    x = torch.rand(1, 9, 32, 32)
    with torch.inference_mode():
        net(x)
    (gradient,) = torch.autograd.grad(net(x.requires_grad_()).sum(), x)
    assert gradient.any()
    with torch.inference_mode():
        made_there = frozen()
        made_there(x)


def test_operations_are_counted_with_those_of_merging():
    net = frozen()
    counts = []
    for _ in range(2):
        with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
            net(torch.empty(1, 9, 32, 32))
        counts.append(counter.get_total_flops())
        y = output(net, torch.rand(1, 9, 32, 32))
        assert type(y) is torch.Tensor
        assert y.isfinite().all()
    assert counts[0] == counts[1]
