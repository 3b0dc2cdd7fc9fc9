import copy
import pickle
from pathlib import Path

import pytest
import torch
from conftest import build

from mtkd_basicsr.archs import DCTSwin, dct_attention
from mtkd_basicsr.archs.dct_attention import WindowAttention
from mtkd_basicsr.archs.upsampling import Upsample, upsample_to_image
from mtkd_basicsr.archs.window_layout import window_order
from mtkd_basicsr.errors import OptionError

GOLDEN = Path(__file__).parents[1] / 'golden'
SMALL = {'depths': [2], 'embed_dim': 8, 'num_heads': [2], 'drop_path_rate': 0.0}


@pytest.mark.parametrize('name', ['dctswin_authors_x2_n2', 'dctswin_authors_x4_n3'])
def test_is_the_network_of_the_authors(name):
    golden = torch.load(GOLDEN / f'{name}.pth', weights_only=True)
    net = DCTSwin(**golden['network_g'], dct_norm='none', shift_mask='authors').eval()
    buffers = ('attn_mask', 'relative_position_index')
    theirs = {k: v.shape for k, v in golden['params'].items() if not k.endswith(buffers)}
    assert {k: v.shape for k, v in net.state_dict().items()} == theirs
    net.load_state_dict(golden['params'], strict=True)
    for example in golden['examples']:
        with torch.no_grad():
            assert (net(example['input']) - example['output']).abs().max() < 1e-4


def test_our_defaults_are_another_network():
    golden = torch.load(GOLDEN / 'dctswin_authors_x2_n2.pth', weights_only=True)
    example = golden['examples'][0]
    for changes in ({'dct_norm': 'none'}, {'shift_mask': 'authors'}):
        net = DCTSwin(**golden['network_g'], **changes).eval()
        net.load_state_dict(golden['params'])
        with torch.no_grad():
            assert (net(example['input']) - example['output']).abs().max() > 1e-2


def test_mask_of_the_authors_is_recomputed_for_every_size():
    golden = torch.load(GOLDEN / 'dctswin_authors_x2_n2.pth', weights_only=True)
    block = (
        DCTSwin(**golden['network_g'], dct_norm='none', shift_mask='authors')
        .layers[0]
        .residual_group.blocks[1]
    )
    expected = golden['params']['layers.0.residual_group.blocks.1.attn_mask']
    assert torch.equal(block.attention_mask(48, 48, torch.device('cpu')), expected)
    assert block.attention_mask(24, 16, torch.device('cpu')).shape == (6, 64, 64)


def test_mask_without_shift_is_left_out_at_img_size_only():
    net = DCTSwin(**SMALL, upscale=2, img_size=16, shift_mask='authors')
    plain, _ = net.layers[0].residual_group.blocks
    assert plain.attention_mask(16, 16, torch.device('cpu')) is None
    mask = plain.attention_mask(8, 16, torch.device('cpu'))[0]
    assert (mask[0, 1:] == -100).all()
    assert (mask[1:, 0] == -100).all()
    assert (mask[1:, 1:] == 0).all()


def test_has_the_size_of_the_paper():
    net = DCTSwin(upscale=4, in_chans=9, depths=[4, 4], embed_dim=96, num_heads=[6, 6])
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(1.34e6, rel=0.02)


@pytest.mark.parametrize('scale', [2, 3, 4])
@pytest.mark.parametrize('teachers', [1, 2, 5])
@pytest.mark.parametrize('skip', ['none', 'mean', 'learned', 'adaptive'])
def test_any_number_of_teachers_and_any_size(scale, teachers, skip):
    net = DCTSwin(**SMALL, upscale=scale, in_chans=3 * teachers, skip=skip).eval()
    for h, w in ((1, 1), (5, 3), (33, 50), (8 * scale, 16 * scale)):
        x = torch.rand(2, 3 * teachers, h, w)
        with torch.no_grad():
            y = net(x)
        assert y.shape == (2, 3, h, w)
        assert torch.isfinite(y).all()
        if skip != 'none':
            assert (y - x.unflatten(1, (teachers, 3)).mean(1)).abs().max() < 1e-6


def test_images_of_a_batch_do_not_mix():
    for mask in ('none', 'authors'):
        net = build(
            {'type': 'DCTSwin', **SMALL, 'upscale': 2, 'skip': 'learned', 'shift_mask': mask}
        ).eval()
        x = torch.rand(2, 9, 30, 34)
        with torch.no_grad():
            assert (net(x) - torch.cat([net(x[:1]), net(x[1:])])).abs().max() < 1e-5


def test_adaptive_weights_add_up_to_one():
    net = build({'type': 'DCTSwin', **SMALL, 'upscale': 2, 'skip': 'adaptive'}).eval()
    with torch.no_grad():
        net.mix.weight.copy_(net.mean_mix()[:, :, None, None])
        net.conv_last.weight[:3], net.conv_last.bias[:3] = 0, 0  # no correction
        same = torch.rand(1, 3, 30, 34).repeat(1, 3, 1, 1)
        assert (net(same) - same[:, :3]).abs().max() < 1e-5, 'teachers that agree are not changed'
        x = torch.rand(1, 9, 30, 34)
        assert (net(x) - x.unflatten(1, (3, 3)).mean(1)).abs().max() > 1e-3


def test_order_of_teachers_matters():
    net = build({'type': 'DCTSwin', **SMALL, 'upscale': 2, 'skip': 'none'}).eval()
    x = torch.rand(1, 9, 32, 32)
    with torch.no_grad():
        assert (net(x) - net(x[:, [3, 4, 5, 0, 1, 2, 6, 7, 8]])).abs().max() > 1e-6


def test_checkpointing_changes_nothing_but_memory():
    grads = []
    for use in (False, True):
        net = build(
            {'type': 'DCTSwin', **SMALL, 'upscale': 2, 'skip': 'learned', 'use_checkpoint': use}
        ).train()
        net(torch.linspace(0, 1, 9 * 32 * 32).view(1, 9, 32, 32)).square().mean().backward()
        grads.append([p.grad for p in net.parameters()])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*grads))
    assert all(g.abs().sum() > 0 for g in grads[0])


@pytest.mark.parametrize('norm', ['ortho', 'none'])
def test_bfloat16_autocast_is_finite(norm):
    net = DCTSwin(**SMALL, upscale=2, dct_norm=norm).train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        y = net(torch.rand(1, 9, 32, 32))
    y.float().mean().backward()
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize('norm', ['ortho', 'none'])
def test_transforms_stay_in_float32_under_autocast(norm):
    net = DCTSwin(**SMALL, upscale=2, dct_norm=norm).eval()
    block, _ = net.layers[0].residual_group.blocks
    seen = []
    block.attn.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    block.attn.register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    block.drop_path.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        net(torch.rand(1, 9, 32, 32))
    # after the transform, after attention, after the inverse, after the MLP
    assert seen == [torch.float32, torch.bfloat16, torch.float32, torch.bfloat16]


def tiny_double(**changes):
    """A network of doubles that takes images of 4×4 pixels, with no weight at its start at zero."""
    arguments = {**SMALL, 'upscale': 1, 'in_chans': 6, 'embed_dim': 4, 'window_size': 2, **changes}
    net = build({'type': 'DCTSwin', **arguments}).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize('norm', ['ortho', 'none'])
def test_float64_is_computed_in_float64(norm):
    net = tiny_double(dct_norm=norm)
    x = torch.rand(1, 6, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        y = net(x)
        assert y.dtype == torch.float64
        assert (net.float()(x.float()) - y).abs().max() < 1e-5


@pytest.mark.parametrize('mask', ['none', 'authors'])
@pytest.mark.parametrize('skip', ['none', 'adaptive'])
def test_gradients_of_the_network(skip, mask):
    net = tiny_double(skip=skip, shift_mask=mask)
    x = torch.rand(1, 6, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net, (x,))


def test_gradients_of_a_block():
    net = tiny_double()
    _, block = net.layers[0].residual_group.blocks
    x = torch.randn(1, 16, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: block(x, 4, 4, net.dct, net.inverse_dct), (x,))


def test_drop_path_only_in_training():
    net = build(
        {'type': 'DCTSwin', **SMALL, 'drop_path_rate': 0.5, 'upscale': 2, 'skip': 'learned'}
    )
    x = torch.rand(1, 9, 16, 16)
    with torch.no_grad():
        assert len({net.train()(x).sum().item() for _ in range(8)}) > 1
        assert len({net.eval()(x).sum().item() for _ in range(4)}) == 1


def test_window_order_is_roll_and_cut():
    image = torch.arange(16 * 24).view(16, 24)
    rolled = image.roll((-4, -4), (0, 1))
    windows = [rolled[y : y + 8, x : x + 8].flatten() for y in (0, 8) for x in (0, 8, 16)]
    assert torch.equal(window_order(16, 24, 8, 4), torch.cat(windows))


def attention_spelled_out(layer, x, mask):
    n, tokens, dim = x.shape
    q, k, v = layer.qkv(x).view(n, tokens, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    bias = (
        layer.relative_position_bias_table[layer.relative_position_index]
        .view(tokens, tokens, -1)
        .permute(2, 0, 1)
    )
    scores = q @ k.transpose(-1, -2) * (dim // layer.num_heads) ** -0.5 + bias
    if mask is not None:
        scores = scores + mask.repeat(n // len(mask), 1, 1)[:, None]
    return layer.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, tokens, dim))


@pytest.mark.parametrize('masks', [None, 1, 3])
@pytest.mark.parametrize('windows_at_a_time', [1, 4, 100])
def test_gradients_of_attention(masks, windows_at_a_time, monkeypatch):
    monkeypatch.setattr('mtkd_basicsr.archs.cpu_attention.CHUNK_SCORES', windows_at_a_time * 16**2)
    torch.manual_seed(0)
    layer = WindowAttention(12, 4, 3).double()
    torch.nn.init.normal_(layer.relative_position_bias_table)
    x = torch.randn(6, 16, 12, dtype=torch.float64, requires_grad=True)
    mask = None if masks is None else (torch.rand(masks, 16, 16) > 0.7) * -100.0
    ours = layer(x, mask)
    plain = attention_spelled_out(layer, x, mask)
    assert (ours - plain).abs().max() < 1e-12
    inputs = (x, *layer.parameters())
    weights = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, weights), torch.autograd.grad(plain, inputs, weights)
    ):
        assert (a - b).abs().max() < 1e-10
    with torch.no_grad():
        assert (layer(x, mask) - plain).abs().max() < 1e-12


def test_gradients_of_attention_in_bfloat16():
    torch.manual_seed(0)
    layer = WindowAttention(12, 4, 3)
    x = torch.randn(6, 16, 12)
    grads = []
    for enabled in (False, True):
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=enabled):
            y = layer(x)
        grads.append(torch.autograd.grad(y.float().square().mean(), list(layer.parameters())))
    for a, b in zip(*grads):
        assert b.dtype == torch.float32
        assert (a - b).norm() < 0.03 * a.norm() + 1e-7


def test_dropout_of_attention_only_in_training():
    layer = WindowAttention(12, 4, 3, attn_drop=0.5)
    x = torch.randn(6, 16, 12)
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


@pytest.mark.parametrize('scale', [1, 2, 3, 4, 8])
@pytest.mark.parametrize('size', [(2, 5), (3, 3), (4, 7)])
def test_upsampling_in_one_convolution_is_that_of_its_layers(scale, size):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(*Upsample(scale, 8), torch.nn.Conv2d(8, 3, 3, 1, 1)).double()
    x = torch.randn(2, 8, *size, dtype=torch.float64, requires_grad=True)
    ours = upsample_to_image(list(layers), x, scale)
    plain = layers(x)
    assert (ours - plain).abs().max() < 1e-12
    inputs = (x, *layers.parameters())
    weights = torch.randn_like(plain)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, weights), torch.autograd.grad(plain, inputs, weights)
    ):
        assert (a - b).abs().max() < 1e-10


def test_is_copied_and_pickled():
    net = build({'type': 'DCTSwin', **SMALL, 'upscale': 2, 'shift_mask': 'authors'}).eval()
    x = torch.rand(1, 9, 32, 48)
    with torch.no_grad():
        y = net(x)
        assert torch.equal(copy.deepcopy(net)(x), y)
        assert torch.equal(pickle.loads(pickle.dumps(net))(x), y)


def test_trains_after_a_look_in_inference_mode():
    net = build(
        {'type': 'DCTSwin', **SMALL, 'upscale': 2, 'shift_mask': 'authors', 'skip': 'learned'}
    )
    x = torch.rand(1, 9, 32, 48)
    with torch.inference_mode():
        net.eval()(x)
    net.train()(x).mean().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (
            {'skip': 'lerned'},
            "skip: unknown value 'lerned'; known: none, mean, learned, adaptive .did you mean "
            "'learned'",
        ),
        ({'dct_norm': 'orto'}, "dct_norm: unknown value 'orto'.*ortho"),
        ({'shift_mask': 'author'}, "shift_mask: unknown value 'author'.*authors"),
        ({'upscale': 5}, "upscale: unknown value '5'"),
        ({'upsampler': 'nearest+conv'}, 'upsampler'),
        ({'depths': [2, 2]}, 'depths has 2 groups, num_heads 1'),
        ({'num_heads': [3]}, 'embed_dim: 8 is not divisible'),
        ({'window_size': 7}, 'window_size: 7; expected an even number'),
        ({'skip': 'mean', 'in_chans': 8}, 'in_chans: 8 is not a multiple of num_out_ch'),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    with pytest.raises(OptionError, match=text):
        DCTSwin(**{**SMALL, **arguments})


@pytest.mark.parametrize('skip', ['mean', 'learned', 'adaptive'])
def test_the_skip_keeps_fp32_under_autocast(skip):
    net = DCTSwin(upscale=2, in_chans=6, depths=[1], embed_dim=8, num_heads=[2], skip=skip).eval()
    torch.manual_seed(0)
    x = torch.rand(1, 6, 32, 32)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        y = net(x)
    # An untrained network gives the mean of the teachers.
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, x.unflatten(1, (2, 3)).mean(1), rtol=0, atol=1e-6)


@pytest.mark.parametrize('masked', [False, True])
def test_windows_beyond_a_cuda_grid_are_computed_in_parts(masked, monkeypatch):
    torch.manual_seed(0)
    layer = WindowAttention(8, 4, 2).requires_grad_(False)
    x = torch.randn(10, 16, 8)
    mask = torch.randn(5, 16, 16) if masked else None
    whole = layer(x, mask)
    calls = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def counted(q, *args, **kwargs):
        calls.append(len(q))
        return attend(q, *args, **kwargs)

    monkeypatch.setattr(dct_attention, 'MAX_WINDOWS', 4)
    monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention', counted)
    torch.testing.assert_close(layer(x, mask), whole, rtol=0, atol=1e-6)
    assert calls == [4, 4, 2]


def test_attention_on_a_gpu_keeps_off_cudnn():
    backends = torch.backends.cuda
    before = (backends.cudnn_sdp_enabled(), backends.flash_sdp_enabled())
    with dct_attention._on_safe_kernels():
        assert not backends.cudnn_sdp_enabled()
        assert not backends.flash_sdp_enabled()
        assert backends.mem_efficient_sdp_enabled()
        assert backends.math_sdp_enabled()
    assert (backends.cudnn_sdp_enabled(), backends.flash_sdp_enabled()) == before


def test_the_skip_is_not_rounded_to_tf32_on_a_gpu(monkeypatch):
    net = build({'type': 'DCTSwin', **SMALL, 'upscale': 2, 'skip': 'learned'}).eval()
    convolve = torch.nn.functional.conv2d
    allowed = []

    def conv2d(x, weight, *args, **keywords):
        if weight is net.mix.weight:
            allowed.append(torch.backends.cudnn.allow_tf32)
        return convolve(x, weight, *args, **keywords)

    monkeypatch.setattr(torch.nn.functional, 'conv2d', conv2d)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    net(torch.rand(1, 9, 32, 32))
    assert allowed == [False]
    assert torch.backends.cudnn.allow_tf32
