"""Attention masks of Swin networks: those of the original code, computed once for each size."""

import copy
import io
import pickle
import re

import pytest
import torch
from basicsr.archs.swinir_arch import SwinTransformerBlock
from conftest import build, snapshot, tiny
from helpers.operations import Operations
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.parallel import DistributedDataParallel

from mtkd_basicsr.config import TeacherOptions
from mtkd_basicsr.host import patches, swin_masks
from mtkd_basicsr.teachers import TeacherEnsemble

ORIGINAL = SwinTransformerBlock.calculate_mask.__wrapped__
NETWORK = tiny('SwinIR', 2, depths=[2, 2], num_heads=[2, 2], drop_path_rate=0.0)


@pytest.fixture(autouse=True)
def no_masks(monkeypatch):
    monkeypatch.setattr(swin_masks, '_masks', {})


@pytest.fixture
def originally(monkeypatch):
    """Calls a function with BasicSR's own masks."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(SwinTransformerBlock, 'calculate_mask', ORIGINAL)
            return function(*arguments)

    return call


def output_and_gradients(net, x):
    net.zero_grad()
    x = x.clone().requires_grad_()
    y = net(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return [y, x.grad, *(p.grad for p in net.parameters())]


def all_equal(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other))


@pytest.mark.parametrize(('window', 'shift'), [(8, 4), (8, 0), (7, 3), (4, 2), (2, 1)])
def test_masks_are_those_of_basicsr(window, shift):
    block = SwinTransformerBlock(4, (99 * window, 99 * window), 1, window, shift)
    for rows, columns in ((1, 1), (1, 3), (5, 2), (4, 4)):
        size = (rows * window, columns * window)
        expected = ORIGINAL(block, size)
        with torch.autocast('cpu', torch.bfloat16):
            ours = block.calculate_mask(size)
        for mask in (ours, swin_masks.shifted_mask(*size, window, shift)):
            assert torch.equal(mask, expected)
            assert torch.equal(mask.signbit(), expected.signbit())  # no -0
            assert mask.dtype == expected.dtype


@pytest.mark.parametrize('size', [(16, 16), (8, 8), (24, 16)])
@pytest.mark.parametrize('amp', [False, True])
def test_the_network_gives_the_same_bits(originally, size, amp):
    net = build(NETWORK, 3).train()  # img_size is 16
    x = torch.rand(2, 3, *size)

    def run():
        with torch.autocast('cpu', torch.bfloat16, enabled=amp):
            return output_and_gradients(net, x)

    expected = originally(run)
    for _ in range(2):
        assert all_equal(run(), expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_blocks_without_a_shift_have_no_mask(originally, dtype):
    """Where it does not decide on the type of the scores, as in bfloat16."""
    net = build(NETWORK, 3).to(dtype)
    block = net.layers[0].residual_group.blocks[0]
    assert block.calculate_mask((24, 16)).to(torch.device('cpu')) is None
    x = torch.rand(1, 3, 24, 16, dtype=dtype)
    assert all_equal(output_and_gradients(net, x), originally(output_and_gradients, net, x))
    with torch.autocast('cpu', torch.bfloat16):
        assert block.calculate_mask((24, 16)).dtype == torch.float32
    assert block.to(torch.bfloat16).calculate_mask((24, 16)).dtype == torch.float32


def test_each_mask_is_computed_once():
    net = build(NETWORK, 3).eval()
    for side in (24, 40):
        net(torch.rand(1, 3, side, side))
    for side in (24, 40, 24, 16):
        with Operations() as operations:
            net(torch.rand(1, 3, side, side))
        assert not operations.counts['aten.masked_fill.Scalar']
        assert operations.counts['aten._softmax.default'] == 4
    other = build(NETWORK, 4)
    with Operations() as operations:
        other(torch.rand(1, 3, 24, 24))
    assert not operations.counts['aten.masked_fill.Scalar']


def test_few_masks_are_kept(monkeypatch):
    net = build(NETWORK, 3).eval()
    for columns in range(3, 30):
        net(torch.rand(1, 3, 8, 8 * columns))
    assert len(swin_masks._masks) == swin_masks._MAX_MASKS
    kept = {key[2] for key in swin_masks._masks}
    assert kept == {8 * columns for columns in range(14, 30)}
    monkeypatch.setattr(swin_masks, '_MAX_BYTES', 8 * 232 * 256)
    net(torch.rand(1, 3, 8, 240))  # larger than that: alone
    assert len(swin_masks._masks) == 1
    net(torch.rand(1, 3, 8, 24))
    net(torch.rand(1, 3, 8, 32))
    assert {key[2] for key in swin_masks._masks} == {24, 32}


def test_masks_are_on_the_device_of_the_weights():
    net = build(NETWORK, 3)
    net(torch.rand(1, 3, 24, 24))
    block = copy.deepcopy(net).to('meta').layers[0].residual_group.blocks[1]
    assert block.calculate_mask((24, 24)).device.type == 'meta'
    assert {key[5].type for key in swin_masks._masks} == {'cpu', 'meta'}


@pytest.mark.gpu
def test_masks_on_a_gpu(originally):
    net = build(NETWORK, 3).cuda().eval()
    x = torch.rand(1, 3, 24, 40, device='cuda')
    assert torch.equal(net(x), originally(net, x))
    assert {key[5].type for key in swin_masks._masks} == {'cuda'}


def test_nothing_of_it_is_in_the_network():
    net = build(NETWORK, 3).eval()
    before = snapshot(net)
    attributes = {name: set(vars(module)) for name, module in net.named_modules()}
    x = torch.rand(1, 3, 24, 24)
    expected = net(x)
    assert list(snapshot(net)) == list(before)
    assert {name: set(vars(module)) for name, module in net.named_modules()} == attributes
    # Buffers of img_size are copied into, and written to files: each is one of its own.
    buffers = [b for name, b in net.named_buffers() if name.endswith('attn_mask')]
    assert len({b.untyped_storage().data_ptr() for b in buffers}) == len(buffers) == 2
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    for other in (*copies, torch.load(file, weights_only=False)):
        assert torch.equal(other(x), expected)


@pytest.mark.slow
def test_compiled_it_is_one_graph(originally):
    net = build(NETWORK, 3).eval()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(net, backend=backend, fullgraph=True)
    for size in ((24, 24), (16, 16)):
        x = torch.rand(1, 3, *size)
        with torch.no_grad():
            net(x)  # BasicSR moves its colour mean, for which it would be compiled again
            graphs.clear()
            assert torch.equal(compiled(x), originally(net, x))
        assert len(graphs) == 1
    assert not any(device.type == 'meta' for device in {p.device for p in net.parameters()})
    torch._dynamo.reset()


def test_a_traced_graph_follows_the_size_as_before(originally):
    """Of a trace BasicSR's code makes a graph for other sizes."""
    net = build(NETWORK, 3).eval()
    x = torch.rand(1, 3, 24, 40)
    net(x)
    ours = torch.jit.trace(net, x, check_trace=False)
    theirs = originally(lambda: torch.jit.trace(net, x, check_trace=False))
    assert torch.equal(ours(x), theirs(x))
    graphs = [re.sub(r'___torch_mangle_\d+\.', '', str(t.inlined_graph)) for t in (ours, theirs)]
    assert graphs[0] == graphs[1]


def test_fake_tensors_leave_nothing():
    net = build(NETWORK, 3)
    with FakeTensorMode(allow_non_fake_inputs=True):  # as multiply-adds are counted
        net(torch.empty(1, 3, 24, 40))
    assert not swin_masks._masks
    x = torch.rand(1, 3, 24, 40)
    expected = net(x)
    with FakeTensorMode(allow_non_fake_inputs=True):
        net(torch.empty(1, 3, 24, 40))
    assert torch.equal(net(x), expected)


def test_inference_leaves_nothing_that_a_training_cannot_use(originally):
    net = build(NETWORK, 3).train()
    x = torch.rand(1, 3, 24, 24)
    with torch.inference_mode():
        net(x)
    assert not any(mask.is_inference() for mask in swin_masks._masks.values())
    assert all_equal(output_and_gradients(net, x), originally(output_and_gradients, net, x))


def test_threads(originally):
    """DataParallel has one for each GPU."""
    from concurrent.futures import ThreadPoolExecutor

    net = build(NETWORK, 3).eval()
    images = [torch.rand(1, 3, 8, 8 * columns) for columns in (3, 4, 5, 6, 7)]
    expected = [originally(net, image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for i, output in enumerate(pool.map(net, images * 6)):
            assert torch.equal(output, expected[i % 5])


def test_distributed(originally, tmp_path):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path / "store"}', rank=0, world_size=1
    )
    try:
        net = DistributedDataParallel(build(NETWORK, 3).train())
        x = torch.rand(2, 3, 24, 24)
        expected = originally(output_and_gradients, net, x)
        for _ in range(2):
            assert all_equal(output_and_gradients(net, x), expected)
    finally:
        torch.distributed.destroy_process_group()


def test_it_is_installed_once():
    patches.apply()
    assert SwinTransformerBlock.calculate_mask.__wrapped__ is ORIGINAL
    assert not hasattr(ORIGINAL, '__wrapped__')


SWIN = {
    'img_size': 16,
    'window_size': 8,
    'depths': [2],
    'embed_dim': 8,
    'num_heads': [2],
    'mlp_ratio': 2,
    'upscale': 2,
    'upsampler': 'pixelshuffle',
}


@pytest.mark.parametrize('arch', ['SwinIR', 'Swin2SR', 'DRCT'])
def test_networks_of_spandrel(tmp_path, arch):
    module = pytest.importorskip(f'spandrel.architectures.{arch}')
    torch.manual_seed(0)
    torch.save(getattr(module, arch)(**SWIN).state_dict(), tmp_path / 'a.pth')
    from spandrel import ModelLoader

    descriptor = ModelLoader('cpu').load_from_file(tmp_path / 'a.pth')
    (block,) = {
        type(m) for m in descriptor.model.modules() if type(m).__name__ == 'SwinTransformerBlock'
    }
    original = getattr(block.calculate_mask, '__wrapped__', block.calculate_mask)
    x = torch.rand(1, 3, 32, 48)
    block.calculate_mask = original
    with torch.no_grad():
        expected = descriptor.model.eval()(x)
    teachers = TeacherEnsemble({'a': TeacherOptions(str(tmp_path / 'a.pth'))}, 2)
    assert block.calculate_mask.__wrapped__ is original
    for _ in range(2):
        with Operations() as operations:
            output = teachers(x)
        assert torch.equal(output, expected.clamp(0, 1))
    assert not operations.counts['aten.masked_fill.Scalar']


def test_blocks_of_the_same_name_that_compute_no_masks_are_left_alone():
    module = pytest.importorskip('spandrel.architectures.DCTLSA')
    from mtkd_basicsr.weights.networks import build as build_network
    from mtkd_basicsr.weights.networks import check_scale

    network = build_network({'type': 'Spandrel', 'arch': 'DCTLSA'}, 'network_g')
    assert isinstance(network.model, module.DCTLSA)
    check_scale(network, network.scale, 'network_g')
