"""ConvFusion, the control of DCTSwin: the same in and out, other blocks."""

import pytest
import torch
from conftest import build

import mtkd_basicsr
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.weights.networks import build as build_network


def size(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize('skip', ['mean', 'learned', 'adaptive'])
@pytest.mark.parametrize('shape', [(1, 9, 32, 48), (2, 9, 13, 22)])
def test_untrained_it_gives_the_mean_of_the_teachers(skip, shape):
    x = torch.rand(*shape)
    output = mtkd_basicsr.ConvFusion(upscale=4, embed_dim=8, depths=[1], skip=skip)(x)
    assert (output - x.unflatten(1, (3, 3)).mean(1)).abs().max() < 1e-6


def test_a_pixel_depends_on_its_surroundings_of_all_teachers():
    net = build(
        {'type': 'ConvFusion', 'upscale': 2, 'embed_dim': 8, 'depths': [1, 1], 'skip': 'adaptive'}
    )
    x = torch.rand(1, 9, 24, 24)
    x.requires_grad_()
    net(x)[0, :, 12, 12].sum().backward()
    assert x.grad[0, :, 8:16, 8:16].abs().amin((1, 2)).gt(0).all()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_it_is_as_large_as_dctswin():
    attention = mtkd_basicsr.DCTSwin(depths=[2, 2], embed_dim=32, num_heads=[4, 4], skip='adaptive')
    plain = mtkd_basicsr.ConvFusion(depths=[1, 1], embed_dim=32, skip='adaptive')
    assert size(plain) == pytest.approx(size(attention), rel=0.05)
    assert not any('attn' in name for name, _ in plain.named_parameters())


def test_arguments_of_attention_are_refused():
    with pytest.raises(OptionError, match='network_g.*num_heads'):
        build_network({'type': 'ConvFusion', 'num_heads': [4, 4]}, 'network_g')
    with pytest.raises(OptionError, match="skip: unknown value 'no'"):
        mtkd_basicsr.ConvFusion(skip='no')
