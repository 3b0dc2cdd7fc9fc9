from pathlib import Path

import pytest
import torch
from conftest import build

from mtkd_basicsr.archs import DCTSwin
from mtkd_basicsr.errors import OptionError

GOLDEN = Path(__file__).parent / 'golden'
SMALL = {'depths': [2], 'embed_dim': 8, 'num_heads': [2], 'drop_path_rate': 0.}


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
    block = DCTSwin(**golden['network_g'], dct_norm='none', shift_mask='authors').layers[0].residual_group.blocks[1]
    expected = golden['params']['layers.0.residual_group.blocks.1.attn_mask']
    assert torch.equal(block._mask(48, 48, torch.device('cpu')), expected)
    assert block._mask(24, 16, torch.device('cpu')).shape == (6, 64, 64)


def test_mask_without_shift_is_left_out_at_img_size_only():
    net = DCTSwin(**SMALL, upscale=2, img_size=16, shift_mask='authors')
    plain, _ = net.layers[0].residual_group.blocks
    assert plain._mask(16, 16, torch.device('cpu')) is None
    mask = plain._mask(8, 16, torch.device('cpu'))[0]
    assert (mask[0, 1:] == -100).all() and (mask[1:, 0] == -100).all() and (mask[1:, 1:] == 0).all()


def test_has_the_size_of_the_paper():
    net = DCTSwin(upscale=4, in_chans=9, depths=[4, 4], embed_dim=96, num_heads=[6, 6])
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(1.34e6, rel=0.02)


@pytest.mark.parametrize('scale', [2, 3, 4])
@pytest.mark.parametrize('teachers', [1, 2, 5])
@pytest.mark.parametrize('skip', ['none', 'mean', 'learned'])
def test_any_number_of_teachers_and_any_size(scale, teachers, skip):
    net = DCTSwin(**SMALL, upscale=scale, in_chans=3 * teachers, skip=skip).eval()
    for h, w in ((1, 1), (5, 3), (33, 50), (8 * scale, 16 * scale)):
        x = torch.rand(2, 3 * teachers, h, w)
        with torch.no_grad():
            y = net(x)
        assert y.shape == (2, 3, h, w) and torch.isfinite(y).all()
        if skip != 'none':
            assert (y - x.unflatten(1, (teachers, 3)).mean(1)).abs().max() < 1e-6


def test_images_of_a_batch_do_not_mix():
    for mask in ('none', 'authors'):
        net = build({'type': 'DCTSwin', **SMALL, 'upscale': 2, 'skip': 'learned', 'shift_mask': mask}).eval()
        x = torch.rand(2, 9, 30, 34)
        with torch.no_grad():
            assert (net(x) - torch.cat([net(x[:1]), net(x[1:])])).abs().max() < 1e-5


def test_order_of_teachers_matters():
    net = build({'type': 'DCTSwin', **SMALL, 'upscale': 2, 'skip': 'none'}).eval()
    x = torch.rand(1, 9, 32, 32)
    with torch.no_grad():
        assert (net(x) - net(x[:, [3, 4, 5, 0, 1, 2, 6, 7, 8]])).abs().max() > 1e-6


def test_checkpointing_changes_nothing_but_memory():
    grads = []
    for use in (False, True):
        net = build({'type': 'DCTSwin', **SMALL, 'upscale': 2, 'skip': 'learned', 'use_checkpoint': use}).train()
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
    assert torch.isfinite(y).all() and all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_drop_path_only_in_training():
    net = build({'type': 'DCTSwin', **SMALL, 'drop_path_rate': 0.5, 'upscale': 2, 'skip': 'learned'})
    x = torch.rand(1, 9, 16, 16)
    with torch.no_grad():
        assert len({net.train()(x).sum().item() for _ in range(8)}) > 1
        assert len({net.eval()(x).sum().item() for _ in range(4)}) == 1


@pytest.mark.parametrize('arguments,text', [
    ({'skip': 'lerned'}, "skip: unknown value 'lerned'; known: none, mean, learned .did you mean 'learned'"),
    ({'dct_norm': 'orto'}, "dct_norm: unknown value 'orto'.*ortho"),
    ({'shift_mask': 'author'}, "shift_mask: unknown value 'author'.*authors"),
    ({'upscale': 5}, "upscale: unknown value '5'"),
    ({'upsampler': 'nearest+conv'}, 'upsampler'),
    ({'depths': [2, 2]}, 'depths has 2 groups, num_heads 1'),
    ({'num_heads': [3]}, 'embed_dim: 8 is not divisible'),
    ({'window_size': 7}, 'window_size: 7; expected an even number'),
    ({'skip': 'mean', 'in_chans': 8}, 'in_chans: 8 is not a multiple of num_out_ch'),
])
def test_wrong_arguments(arguments, text):
    with pytest.raises(OptionError, match=text):
        DCTSwin(**{**SMALL, **arguments})
