"""Weights of frozen networks in bfloat16: the bits of autocast, in fewer operations."""

import copy

import pytest
import torch
from conftest import build, snapshot, tiny, write_weights
from helpers.operations import Operations
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations

from mtkd_basicsr.config import TeacherOptions
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble
from mtkd_basicsr.utils import cast_once as layers
from mtkd_basicsr.utils.cast_once import cast_once, forget_casts

ORIGINAL = {layers.Conv2d: nn.Conv2d, layers.Linear: nn.Linear}
CASTS = 'aten._to_copy.default'


def as_before(net):
    """A copy of a network whose layers are torch's own."""
    net = copy.deepcopy(net)
    for module in net.modules():
        module.__class__ = ORIGINAL.get(type(module), type(module))
    return net


def in_bf16(net, x, gradient=False):
    with torch.set_grad_enabled(gradient), torch.autocast('cpu', torch.bfloat16):
        return net(x)


def frozen(network):
    net = build(network, 3).eval().requires_grad_(False)
    cast_once(net)
    return net


def casts(net):
    return [m._cast for m in net.modules() if isinstance(m, (layers.Conv2d, layers.Linear))]


@pytest.mark.parametrize('arch', ['EDSR', 'RCAN', 'SwinIR', 'DCTSwin', 'ConvFusion'])
@pytest.mark.parametrize('channels_last', [False, True])
def test_the_bits_of_autocast(arch, channels_last):
    changes = {'skip': 'adaptive'} if arch == 'DCTSwin' else {}
    net = frozen(tiny(arch, 2, **changes))
    if channels_last:
        net.to(memory_format=torch.channels_last)
    x = torch.rand(1, getattr(net, 'in_chans', 3), 16, 24)
    old = as_before(net)
    for each in (old, net):  # the first passes also compute masks, and the casts
        in_bf16(each, x)
    with Operations() as before:
        expected = in_bf16(old, x)
    with Operations() as after:
        output = in_bf16(net, x)
    assert torch.equal(output, expected)
    assert after.counts[CASTS] < before.counts[CASTS]
    for name, number in before.counts.items():
        assert name == CASTS or after.counts[name] == number
    if arch in ('EDSR', 'RCAN'):
        assert after.counts[CASTS] == 1  # of the input


def test_operations_of_a_teacher():
    """The paper's RCAN has 3,863 and 2,233, with 10 groups of 20 blocks."""
    net = frozen(tiny('RCAN', 4, num_group=3, num_block=4))
    x = torch.rand(1, 3, 8, 8)
    old = as_before(net)
    with Operations() as before:
        in_bf16(old, x)
    in_bf16(net, x)
    with Operations() as after:
        in_bf16(net, x)
    assert after.total / before.total < 2300 / 3863


def test_without_autocast_nothing_changes():
    net = frozen(tiny('SwinIR', 2))
    before = snapshot(net)
    x = torch.rand(1, 3, 16, 16)
    expected = as_before(net)(x)
    in_bf16(net, x)
    assert torch.equal(net(x), expected)
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    after = snapshot(net)
    assert list(after) == list(before)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    with torch.autocast('cpu', torch.bfloat16):
        inside = as_before(net)(x)
        with torch.autocast('cpu', enabled=False):
            assert torch.equal(net(x), expected)
        assert torch.equal(net(x), inside)
    assert torch.equal(net.double()(x.double()), as_before(net)(x.double()))
    assert torch.equal(in_bf16(net, x.double()), in_bf16(as_before(net), x.double()))


def add_one(net):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)


def load(net):
    net.load_state_dict(build(tiny('RCAN', 2), 8).state_dict())


@pytest.mark.parametrize(
    'change',
    [
        add_one,
        load,
        lambda net: net.to(memory_format=torch.channels_last),
        lambda net: net.to(torch.bfloat16).float(),
        lambda net: setattr(net.conv_first, 'weight', nn.Parameter(torch.ones(8, 3, 3, 3), False)),
    ],
)
def test_other_weights_are_cast_anew(change):
    net = frozen(tiny('RCAN', 2))
    x = torch.rand(1, 3, 12, 12)
    in_bf16(net, x)
    change(net)
    assert torch.equal(in_bf16(net, x), in_bf16(as_before(net), x))


def test_copies_and_memory():
    net = frozen(tiny('RCAN', 2))
    x = torch.rand(1, 3, 12, 12)
    expected = in_bf16(net, x)
    assert all(cast is not None for cast in casts(net))
    size = sum(cast[0].nbytes + cast[1].nbytes for cast in casts(net))
    assert size == sum(p.nbytes for p in net.parameters()) / 2
    other = copy.deepcopy(net)
    add_one(net)
    assert torch.equal(in_bf16(other, x), expected)
    forget_casts(other)
    assert casts(other) == [None] * len(casts(net))
    assert torch.equal(in_bf16(other, x), expected)


@pytest.mark.parametrize('arch', ['EDSR', 'SwinIR'])
def test_gradients_pass_a_teacher(arch):
    net = frozen(tiny(arch, 2))
    gradients = []
    for each in (as_before(net), net):
        with torch.inference_mode():
            in_bf16(each, torch.rand(1, 3, 16, 16))  # leaves casts that a gradient may pass
        x = torch.linspace(0, 1, 768).view(1, 3, 16, 16).requires_grad_()
        in_bf16(each, x, gradient=True).square().sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


def test_weights_that_are_trained_get_their_gradients():
    net = frozen(tiny('EDSR', 2))
    x = torch.rand(1, 3, 12, 12)
    in_bf16(net, x)
    net.requires_grad_(True)
    in_bf16(net, x, gradient=True).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_layers_with_weights_of_their_own_stay():
    layers = [
        parametrizations.weight_norm(nn.Conv2d(3, 3, 1)),
        nn.utils.spectral_norm(nn.Linear(3, 3)),
        nn.Conv1d(3, 3, 1),
    ]
    kinds = [type(layer) for layer in layers]
    cast_once(nn.Sequential(*layers))
    assert [type(layer) for layer in layers] == kinds


def test_fake_tensors_leave_nothing():
    net = frozen(tiny('RCAN', 2))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.autocast('cpu', torch.bfloat16):
        net(torch.empty(1, 3, 12, 12))
    assert set(casts(net)) == {None}


def ensemble(folder, precision):
    teachers = {}
    for i, arch in enumerate(('EDSR', 'RCAN', 'SwinIR')):
        network = tiny(arch, 2)
        path = write_weights(folder / f'{arch}.pth', network, i)
        teachers[arch.lower()] = TeacherOptions(path, network)
    return TeacherEnsemble(teachers, 2, precision=precision)


def test_teachers_change_their_precision(tmp_path):
    """To fp32 and back, with the weights of their files, and without casts that nobody uses."""
    teachers = ensemble(tmp_path, 'bf16')
    network = tiny('DCTSwin', 2)
    weights = write_weights(tmp_path / 'fusion.pth', network)
    fused = FusedTeachers(teachers, TeacherOptions(weights, network))
    lq = torch.rand(1, 3, 12, 20)
    nets = [*teachers.networks, fused.fusion]
    in_files = [snapshot(net) for net in nets]
    old = as_before(fused)
    assert torch.equal(fused(lq), old(lq))
    assert all(cast is not None for net in teachers.networks for cast in casts(net))
    fused.set_precision('fp32')
    assert not any(casts(fused))
    old.set_precision('fp32')
    exact = fused(lq)
    assert torch.equal(exact, old(lq))
    assert not any(casts(fused))
    fused.set_precision('bf16')
    old.set_precision('bf16')
    output = fused(lq)
    assert torch.equal(output, old(lq))
    assert not torch.equal(output, exact)
    for net, before in zip(nets, in_files):
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


FOREIGN = {
    'SPAN': {'num_in_ch': 3, 'num_out_ch': 3, 'feature_channels': 8},
    'DAT': {
        'img_size': 16,
        'split_size': (2, 4),
        'depth': (2,),
        'embed_dim': 32,
        'num_heads': (2,),
    },
    'SwinIR': {
        'img_size': 16,
        'window_size': 8,
        'depths': [2],
        'embed_dim': 8,
        'num_heads': [2],
        'mlp_ratio': 2,
        'upsampler': 'pixelshuffle',
    },
}


@pytest.mark.parametrize('arch', FOREIGN)
def test_networks_of_spandrel(tmp_path, arch):
    module = pytest.importorskip(f'spandrel.architectures.{arch}')
    torch.manual_seed(0)
    net = getattr(module, arch)(upscale=2, **FOREIGN[arch])
    torch.save(net.state_dict(), tmp_path / 'a.pth')
    teachers = TeacherEnsemble({'a': TeacherOptions(str(tmp_path / 'a.pth'))}, 2, precision='bf16')
    lq = torch.rand(1, 3, 16, 24)
    old = as_before(teachers)
    with Operations() as before:
        expected = old(lq)
    teachers(lq)
    with Operations() as after:
        output = teachers(lq)
    assert torch.equal(output, expected)
    if teachers.precision == 'bf16':
        assert after.counts[CASTS] < before.counts[CASTS]


@pytest.mark.slow
def test_compiled_it_is_one_graph():
    net = frozen(tiny('RCAN', 2))
    x = torch.rand(1, 3, 12, 12)
    expected = in_bf16(net, x)
    torch._dynamo.reset()
    compiled = torch.compile(net, backend='eager', fullgraph=True)
    assert torch.equal(in_bf16(compiled, x), expected)
    torch._dynamo.reset()
