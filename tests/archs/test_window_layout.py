import copy

import pytest
import torch
from conftest import build
from torch._subclasses.fake_tensor import FakeTensorMode

from mtkd_basicsr.archs import window_layout
from mtkd_basicsr.archs.dct_attention import WindowAttention
from mtkd_basicsr.archs.window_layout import authors_shift_mask, rearrange, window_order
from mtkd_basicsr.functional.dct import window_dct_matrices
from mtkd_basicsr.utils.recent_tensors import RecentTensors

NETWORK = {
    'type': 'DCTSwin',
    'upscale': 2,
    'depths': [3, 2],
    'embed_dim': 8,
    'num_heads': [2, 2],
    'drop_path_rate': 0.0,
    'skip': 'learned',
}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """Start without what earlier tests left."""
    for name in ('_orders', '_masks', '_kinds'):
        monkeypatch.setattr(window_layout, name, RecentTensors(getattr(window_layout, name).count))


def in_sorted_orders(group, x, dct, inverse):
    """A group of blocks as it was: orders made anew, and moved by index_select alone."""
    _, h, w, _ = x.shape
    y = x.flatten(1, 2)
    place = torch.arange(h * w)
    for block in group.residual_group.blocks:
        order = window_order(h, w, block.size, block.shift)
        y = y.index_select(1, place[order])
        place = order.argsort()
        y = block(y, h, w, dct, inverse)
    y = y.index_select(1, place).view(x.shape)
    return x + group.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def results(net, group_forward=None):
    """Output and gradients for an image of 33×50."""
    for group in net.layers:
        if group_forward is not None:
            group.forward = group_forward.__get__(group)
    x = torch.rand(2, 9, 33, 50, generator=torch.Generator().manual_seed(0)).requires_grad_()
    net.zero_grad()
    y = net(x)
    y.square().sum().backward()
    return [y, x.grad, *(p.grad for p in net.parameters())]


@pytest.mark.parametrize('mask', ['none', 'authors'])
def test_output_and_gradients_have_the_same_bits_as_with_orders_made_anew(mask):
    net = build({**NETWORK, 'shift_mask': mask}).train()
    expected = results(copy.deepcopy(net), in_sorted_orders)
    for _ in range(2):  # the second time the orders are there
        for ours, wanted in zip(results(net), expected, strict=True):
            assert wanted.any()
            assert torch.equal(ours, wanted)


@pytest.mark.parametrize('end', [None, 0, 2])
@pytest.mark.parametrize('start', [None, 0, 2])
def test_an_arrangement_follows_another_one(start, end):
    pixels = torch.arange(8 * 12)
    orders = {None: pixels, 0: window_order(8, 12, 4, 0), 2: window_order(8, 12, 4, 2)}
    x = torch.rand(2, 8 * 12, 3, dtype=torch.float64, requires_grad=True)
    moved = rearrange(x[:, orders[start]], 8, 12, 4, start, end)
    assert torch.equal(moved, x[:, orders[end]])
    assert torch.autograd.gradcheck(lambda x: rearrange(x, 8, 12, 4, start, end), (x,))
    assert torch.autograd.gradgradcheck(lambda x: rearrange(x, 8, 12, 4, start, end) ** 2, (x,))


def test_orders_are_made_once_for_each_size(monkeypatch):
    made = []
    original = window_layout._order_between
    monkeypatch.setattr(
        window_layout, '_order_between', lambda *args: made.append(args[:2]) or original(*args)
    )
    net = build(NETWORK).eval()
    sizes = [(16, 16), (32, 48), (16, 16), (32, 48)]
    for h, w in sizes:
        with torch.no_grad():
            net(torch.rand(1, 9, h, w))
    # From rows to windows, to shifted ones, back to windows, and back to rows from both.
    assert made.count((8, 8)) == made.count((16, 24)) == 5
    for h in range(3, 12):
        with torch.no_grad():
            net(torch.rand(1, 9, 16 * h, 16))
    assert len(window_layout._orders) == 48
    with torch.no_grad():
        net(torch.rand(1, 9, 16, 16))
    assert made.count((8, 8)) == 10


def test_trains_after_a_look_in_inference_mode():
    net = build({**NETWORK, 'shift_mask': 'authors'}).requires_grad_(False).eval()
    x = torch.rand(1, 9, 32, 32)
    with torch.inference_mode():
        net(x)
    net.requires_grad_()
    net(x).mean().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_fake_tensors_are_not_kept():
    net = build({**NETWORK, 'shift_mask': 'authors'}).requires_grad_(False).eval()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        net(torch.empty(1, 9, 32, 32))
    y = net(torch.rand(1, 9, 32, 32))
    assert type(y) is torch.Tensor
    assert y.isfinite().all()


def test_a_traced_network_computes_its_orders_for_any_size():
    net = build({**NETWORK, 'skip': 'none', 'shift_mask': 'authors'}).eval()
    x = torch.rand(1, 9, 32, 32)
    with torch.no_grad():
        net(x)  # orders of this size are there
        traced = torch.jit.trace(net, x, check_trace=False)
        # At this size the graph has the padding of another image, which is none.
        for h, w in ((32, 32), (48, 64)):
            x = torch.rand(1, 9, h, w)
            torch.testing.assert_close(traced(x), net(x))


@pytest.mark.parametrize('mask', ['none', 'authors'])
def test_a_compiled_network_is_one_graph(mask):
    net = build({**NETWORK, 'shift_mask': mask}).train()
    expected = results(copy.deepcopy(net))
    net.compile(backend='eager', fullgraph=True)
    for ours, wanted in zip(results(net), expected, strict=True):
        torch.testing.assert_close(ours, wanted)
    assert len(window_layout._orders) > 0, 'of the network that was not compiled'


# Masks


def mask_of_the_whole_image(h, w, size, shift, norm):
    """The authors' mask as it was: from the labels of all windows."""
    labels = torch.full((h, w), 8, dtype=torch.float64)
    if shift:
        regions = []
        for n in (h, w):
            region = torch.zeros(n, dtype=torch.float64)
            region[-size:-shift] = 1
            region[-shift:] = 2
            regions.append(region)
        labels = 3 * regions[0][:, None] + regions[1][None, :]
    forward, _ = window_dct_matrices(size, norm, torch.float64)
    windows = labels.flatten()[window_order(h, w, size, 0)].view(-1, size**2, 1)
    coefficients = (forward @ windows).squeeze(-1)
    return ((coefficients[:, None, :] - coefficients[:, :, None]).abs() > 1e-9) * -100.0


@pytest.mark.parametrize('norm', ['ortho', 'none'])
@pytest.mark.parametrize('shift', [0, 2, 4])
@pytest.mark.parametrize('size', [(1, 1), (1, 3), (4, 1), (3, 5)])
def test_mask_has_the_same_bits_as_that_of_the_whole_image(size, shift, norm):
    h, w = (8 * n for n in size)
    expected = mask_of_the_whole_image(h, w, 8, shift, norm)
    for device in (None, torch.device('cpu')):
        ours = authors_shift_mask(h, w, 8, shift, norm, device)
        assert ours.dtype == torch.float32
        assert len(ours) == (size[0] * size[1] if shift else 1)
        assert torch.equal(ours.expand(expected.shape), expected)


def test_masks_are_made_once_for_all_sizes(monkeypatch):
    made = []
    original = window_layout._mask_kinds
    monkeypatch.setattr(
        window_layout, '_mask_kinds', lambda *args: made.append(args) or original(*args)
    )
    for _ in range(2):
        for n in (1, 2, 3):
            for shift in (0, 4):
                authors_shift_mask(8 * n, 8, 8, shift, 'ortho')
    assert sorted(made) == [(8, 0, 'ortho'), (8, 4, 'ortho')]


@pytest.mark.parametrize('trained', [False, True])
def test_a_mask_of_all_windows_is_that_mask_for_each(trained):
    torch.manual_seed(0)
    layer = WindowAttention(12, 4, 3).requires_grad_(trained)
    x = torch.randn(6, 16, 12, requires_grad=True)
    mask = (torch.rand(1, 16, 16) > 0.7) * -100.0
    found = []
    for masks in (mask, mask.repeat(2, 1, 1), mask.repeat(6, 1, 1)):
        y = layer(x, masks)
        inputs = [x, *(p for p in layer.parameters() if p.requires_grad)]
        found.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            assert torch.equal(one, same)
