"""The moving average: warmed up, with the buffers of the network, also after skipped steps."""

import copy
import math

import pytest
import torch
import yaml
from basicsr.models.sr_model import SRModel
from basicsr.utils.options import ordered_yaml
from basicsr.utils.registry import ARCH_REGISTRY
from conftest import ROOT, build, tiny
from helpers.operations import Operations
from helpers.trainings import batch_of, model_of
from torch import nn

from mtkd_basicsr.utils.moving_average import MovingAverage, decay_at

SCRATCH = {'train__kd': {'type': 'Scratch'}}


class _WithBuffers(nn.Module):
    """A student with statistics, a counter, and a buffer that depends on the size of the image."""

    def __init__(self, upscale=2):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 3 * upscale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(upscale)
        self.register_buffer('seen', torch.zeros((), dtype=torch.int64))
        self.register_buffer('halves', torch.zeros(2), persistent=False)
        self.register_buffer('last_size', torch.zeros(0))

    def forward(self, x):
        if self.training:
            self.seen += 1
            self.halves.fill_(self.seen / 2)
            self.last_size = torch.zeros(x.shape[-1])
        return self.shuffle(self.last(torch.relu(self.norm(self.first(x)))))


@pytest.fixture
def with_buffers():
    ARCH_REGISTRY._obj_map.setdefault('WithBuffers', _WithBuffers)
    yield {'type': 'WithBuffers', 'upscale': 2}
    del ARCH_REGISTRY._obj_map['WithBuffers']


def test_all_buffers_are_those_of_the_network(make_options, tmp_path, with_buffers):
    opt = make_options('KDModel', network_g=with_buffers, **SCRATCH)
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    for iteration in (1, 2, 3):
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    ours = dict(model.net_g_ema.named_buffers())
    for name, buffer in model.net_g.named_buffers():
        if name != 'last_size':
            assert torch.equal(ours[name], buffer), name
    assert ours['norm.num_batches_tracked'] == ours['seen'] == 3
    assert ours['halves'].tolist() == [1.5, 1.5]
    assert not torch.equal(ours['norm.running_mean'], torch.zeros(8))
    assert not torch.equal(model.net_g_ema.first.weight, model.net_g.first.weight)
    model.save(0, 3)
    saved = torch.load(
        tmp_path / 'experiments' / opt['name'] / 'models' / 'net_g_3.pth', weights_only=True
    )
    for name in ('norm.running_mean', 'norm.running_var', 'norm.num_batches_tracked', 'seen'):
        assert torch.equal(saved['params_ema'][name], saved['params'][name]), name


def test_masks_and_indices_of_swinir_stay_as_they_are(make_options, tmp_path):
    opt = make_options('KDModel', network_g=tiny('SwinIR', 2), **SCRATCH)
    model = model_of(opt, tmp_path)
    before = {name: buffer.clone() for name, buffer in model.net_g_ema.named_buffers()}
    model.feed_data(batch_of(opt, tmp_path))
    model.optimize_parameters(1)
    assert any('relative_position_index' in name for name in before)
    assert any('attn_mask' in name for name in before)
    for name, buffer in model.net_g_ema.named_buffers():
        assert torch.equal(buffer, before[name]), name


def basicsr_average(average, network, decay):
    """BasicSR's loop over the parameters, and the loop over buffers that was beside it."""
    model = SRModel.__new__(SRModel)
    model.net_g = network
    model.net_g_ema = average
    model.model_ema(decay)
    averaged = dict(average.named_buffers())
    for name, buffer in network.named_buffers():
        if name in averaged and averaged[name].shape == buffer.shape:
            averaged[name].copy_(buffer)


def same_bits(one, other):
    """Whether all parameters and buffers are equal, those outside of the state dict too."""
    for kind in ('named_parameters', 'named_buffers'):
        theirs = dict(getattr(other, kind)())
        for name, value in getattr(one, kind)():
            if not torch.equal(value, theirs[name]):
                return False
    return True


@pytest.mark.parametrize('network', ['EDSR', 'RCAN', 'SwinIR', 'DCTSwin', 'WithBuffers'])
@pytest.mark.parametrize('channels_last', [False, True])
def test_the_bits_of_a_loop_over_parameters(with_buffers, network, channels_last):
    block = with_buffers if network == 'WithBuffers' else tiny(network, 2)
    net = build(block, 1)
    ours = build(block, 2)
    if channels_last:
        net.to(memory_format=torch.channels_last)
        ours.to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours)
    average = MovingAverage(ours, net)
    generator = torch.Generator().manual_seed(0)
    for update, decay in enumerate((0, 0.1, 2 / 11, 0.9, 0.999)):
        with torch.no_grad():
            for value in (*net.parameters(), *net.buffers()):
                value.add_((torch.randn(value.shape, generator=generator) * 9).to(value.dtype))
        if network == 'WithBuffers':
            net.last_size = torch.ones(update)
            net.seen = net.seen + 1  # another tensor
        average.update(decay)
        basicsr_average(theirs, net, decay)
        assert same_bits(ours, theirs)
        assert not decay or not same_bits(ours, net)


def test_an_average_takes_few_calls():
    """A GPU is given one kernel, or more, for each call."""
    text = (ROOT / 'options' / 'mtkd_rcan.yml').read_text()
    network = yaml.load(text, Loader=ordered_yaml()[0])['network_g']
    net = build(network)
    ours = build(network)
    average = MovingAverage(ours, net)
    with Operations() as fast:
        average.update(0.999)
    with Operations() as slow:
        basicsr_average(ours, net, 0.999)
    assert len(list(net.parameters())) == 510
    assert slow.total >= 2 * 510
    assert fast.total <= 12


def test_another_average_is_updated_when_there_is_another(make_options, tmp_path):
    model = model_of(make_options('KDModel', **SCRATCH), tmp_path)
    first = model.net_g_ema
    before = first.conv_first.weight.clone()
    model.net_g_ema = build(tiny('EDSR', 2), 9)
    model.model_ema(0)
    assert same_bits(model.net_g_ema, model.net_g)
    assert torch.equal(first.conv_first.weight, before)


@pytest.mark.parametrize(
    ('update', 'decay', 'warmup', 'expected'),
    [
        (0, 0.999, True, 0.1),
        (1, 0.999, True, 2 / 11),
        (89, 0.999, True, 90 / 99),
        (8990, 0.999, True, 0.999),
        (10**6, 0.999, True, 0.999),
        (0, 0.05, True, 0.05),
        (0, 0.999, False, 0.999),
    ],
)
def test_decay(update, decay, warmup, expected):
    assert decay_at(update, decay, warmup) == pytest.approx(expected)


@pytest.mark.parametrize('kind', ['KDModel', 'MTKDFusionModel'])
@pytest.mark.parametrize('warmup', [None, True, False])
@pytest.mark.parametrize('skipped', [(), (2,)])
def test_an_average_by_hand(make_options, tmp_path, kind, warmup, skipped):
    """Steps that are skipped are no updates."""
    changes = {} if kind == 'MTKDFusionModel' else SCRATCH
    if warmup is not None:
        changes = {**changes, 'train__ema_warmup': warmup}
    opt = make_options(kind, train__ema_decay=0.3, **changes)
    model = model_of(opt, tmp_path)
    batch = batch_of(opt, tmp_path)
    name, weight = next(iter(model.net_g.named_parameters()))
    expected = weight.detach().clone()
    updates = 0
    for iteration in range(1, 7):
        gt = batch['gt'].clone()
        if iteration in skipped:
            gt[0, 0, 0, 0] = math.nan
        model.feed_data({**batch, 'gt': gt})
        model.optimize_parameters(iteration)
        if iteration not in skipped:
            kept = 0.3 if warmup is False else min(0.3, (1 + updates) / (10 + updates))
            expected = kept * expected + (1 - kept) * weight.detach()
            updates += 1
    assert torch.allclose(dict(model.net_g_ema.named_parameters())[name], expected, atol=1e-7)
    assert model.ema_updates == updates == 6 - len(skipped)


def test_what_an_incomplete_file_lacks_is_the_same_in_both(make_options, tmp_path):
    """BasicSR would average with other random weights."""
    state = build(tiny('EDSR', 2)).state_dict()
    del state['conv_last.weight']
    torch.save({'params': {**state, 'conv_first.bias': torch.ones(8)}}, tmp_path / 'part.pth')
    opt = make_options(
        'KDModel',
        path__pretrain_network_g=str(tmp_path / 'part.pth'),
        path__strict_load_g=False,
        **SCRATCH,
    )
    model = model_of(opt, tmp_path)
    averaged = model.net_g_ema.state_dict()
    for name, value in model.net_g.state_dict().items():
        assert torch.equal(value, averaged[name]), name
    assert averaged['conv_first.bias'].tolist() == [1] * 8


@pytest.mark.parametrize(
    ('changes', 'share'),
    [
        ({'train__ema_decay': 0.999, 'train__total_iter': 40}, None),
        ({'train__ema_decay': 0.999, 'train__total_iter': 40, 'train__ema_warmup': False}, '96'),
        ({'train__ema_decay': 0.999, 'train__total_iter': 1000, 'train__ema_warmup': False}, '37'),
        ({'train__ema_decay': 0.9, 'train__total_iter': 40, 'train__ema_warmup': False}, '1'),
        ({'train__ema_decay': 0.9, 'train__total_iter': 50, 'train__ema_warmup': False}, None),
        ({'train__ema_decay': 0, 'train__ema_warmup': False}, None),
    ],
)
def test_an_average_that_stays_at_its_start_is_said(make_options, tmp_path, caplog, changes, share):
    import logging

    logger = logging.getLogger('basicsr')
    logger.addHandler(caplog.handler)
    config = model_of(make_options('KDModel', **SCRATCH, **changes), tmp_path).config
    logger.removeHandler(caplog.handler)
    warning = config.ema_warning()
    if share is None:
        assert warning is None
    else:
        total = changes['train__total_iter']
        assert f'after {total} iterations {share} % of the moving average' in warning
        assert warning in caplog.text


def test_a_validated_average_is_that_of_the_present_weights(make_options, tmp_path):
    # BasicSR writes the average in a way that torch does not count.
    opt = make_options('MTKDFusionModel')
    model = model_of(opt, tmp_path)
    torch.nn.init.normal_(model.net_g.conv_last.weight, std=0.1)
    batch = batch_of(opt, tmp_path)
    outputs = []
    for iteration in (1, 2, 3):
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        model.feed_data(batch)
        model.test()
        outputs.append(model.output)
        average = model.net_g_ema
        model.net_g_ema = copy.deepcopy(average)
        model.test()
        assert torch.equal(model.output, outputs[-1])
        model.net_g_ema = average
    assert not torch.equal(outputs[0], outputs[2])
