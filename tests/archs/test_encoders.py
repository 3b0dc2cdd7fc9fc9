"""The encoders of DCKD: what those of the files compute, by functions of the test alone."""

import types

import pytest
import torch
from basicsr.archs import vgg_arch
from helpers.encoders import (
    CODES,
    DEPTH,
    WIDTHS,
    vgg19_features,
    vqgan_features,
    vqgan_state,
    write_vgg19,
)
from torchvision.models import vgg

from mtkd_basicsr.archs.vgg_encoder import VGGEncoder, vgg_tensors
from mtkd_basicsr.archs.vqgan_encoder import (
    VQGANEncoder,
    VQGANSizes,
    encoder_tensors,
    sizes_of,
)
from mtkd_basicsr.data.sample_photographs import load


def photograph(h, w, b=2):
    image = torch.from_numpy(load('coffee')).permute(2, 0, 1).double() / 255
    return torch.stack([image[:, 50 + 9 * i : 50 + 9 * i + h, 70 : 70 + w] for i in range(b)])


def double(state):
    return {name: tensor.double() for name, tensor in state.items()}


@pytest.fixture(scope='module')
def vqgan():
    """An encoder in float64, and the tensors that it has."""
    state = vqgan_state(3)
    net = VQGANEncoder(sizes_of(state))
    net.load_state_dict(encoder_tensors(state))
    return net.double(), double(state)


@pytest.fixture(scope='module')
def vgg19(tmp_path_factory):
    path = write_vgg19(tmp_path_factory.mktemp('vgg') / 'vgg19.pth')
    state = torch.load(path, weights_only=True)
    net = VGGEncoder()
    net.load_state_dict(vgg_tensors(state))
    return net.double(), double(state)


def assert_close(found, expected, limit=1e-10):
    assert found.shape == expected.shape
    assert expected.abs().max() > 0.01
    assert (found - expected).abs().max() < limit


@pytest.mark.parametrize('size', [(32, 48), (21, 34), (16, 16)])
def test_features_and_latents_of_the_vqgan(vqgan, size):
    net, state = vqgan
    images = photograph(*size).requires_grad_()
    features, latents = net(images, with_latents=True)
    expected, expected_latents = vqgan_features(state, images)
    assert [f.shape[1] for f in features] == list(WIDTHS)
    h, w = size
    assert [f.shape[2:] for f in features] == [(h // 2**i, w // 2**i) for i in range(5)]
    for found, wanted in zip([*features, latents], [*expected, expected_latents]):
        assert_close(found, wanted)
    (a,) = torch.autograd.grad(latents.square().sum(), images)
    (b,) = torch.autograd.grad(expected_latents.square().sum(), images)
    assert_close(a, b, 1e-9)
    without, nothing = net(images)
    assert nothing is None
    assert all(torch.equal(f, g) for f, g in zip(without, features))


def test_sizes_are_read_from_the_tensors():
    sizes = sizes_of(vqgan_state())
    assert (sizes.stem, sizes.widths, sizes.blocks) == (WIDTHS[0], WIDTHS, 2)
    assert (sizes.attention, sizes.latent) == ((4,), DEPTH)
    assert (sizes.embedding, sizes.codes) == (DEPTH, CODES)
    net = VQGANEncoder(sizes)
    assert net.codes.shape == (CODES, DEPTH)
    assert net.size_factor == 16


def test_the_released_encoder_has_its_size():
    """Of vqgan_imagenet_f16_1024: ch 128, ch_mult 1, 1, 2, 2, 4, attention at 16×16."""
    sizes = VQGANSizes(
        stem=128,
        widths=(128, 128, 256, 256, 512),
        blocks=2,
        attention=(4,),
        latent=256,
        embedding=256,
        codes=1024,
    )
    with torch.device('meta'):
        net = VQGANEncoder(sizes)
    assert sizes_of(net.state_dict()) == sizes
    encoder = sum(p.numel() for p in net.encoder.parameters())
    assert encoder == pytest.approx(29.3e6, rel=0.01)


@pytest.mark.parametrize('size', [(32, 48), (21, 34)])
def test_features_of_vgg19(vgg19, size):
    net, state = vgg19
    images = photograph(*size)
    features, latents = net(images)
    assert latents is None
    assert [f.shape[1] for f in features] == [64, 128, 256, 512, 512]
    for found, wanted in zip(features, vgg19_features(state, images)[0]):
        assert_close(found, wanted, 1e-6)  # the mean of ImageNet is of float32


def test_vgg19_is_that_of_basicsrs_perceptual_loss(vgg19, monkeypatch):
    net, state = vgg19

    def without_classifier(pretrained):
        """torchvision's network as far as BasicSR looks at it, with these weights."""
        features = vgg.make_layers(vgg.cfgs['E']).double()
        wanted = {name.removeprefix('features.'): value for name, value in state.items()}
        features.load_state_dict(wanted, strict=False)  # the file ends at relu5_1
        return types.SimpleNamespace(features=features)

    monkeypatch.setattr(vgg_arch.vgg, 'vgg19', without_classifier)
    layers = ['relu1_1', 'relu2_1', 'relu3_1', 'relu4_1', 'relu5_1']
    theirs = vgg_arch.VGGFeatureExtractor(layers).double()
    images = photograph(32, 40)
    expected = theirs(images)
    for found, name in zip(net(images)[0], layers):
        assert_close(found, expected[name], 1e-12)
