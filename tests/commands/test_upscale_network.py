"""``mtkd upscale``: files from which it knows the network, and those that are none for it."""

import importlib
import sys

import cv2
import numpy as np
import pytest
import torch
from conftest import build, tiny, write_options, write_weights

from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.utils.image_tensors import to_array, to_tensor

SPAN = {'num_in_ch': 3, 'num_out_ch': 3, 'feature_channels': 8}
FUSION = {
    'type': 'DCTSwin',
    'upscale': 2,
    'in_chans': 6,
    'embed_dim': 8,
    'depths': [2],
    'num_heads': [2],
    'window_size': 4,
}


@pytest.fixture
def picture(tmp_path):
    image = np.ascontiguousarray(load('chelsea')[100:124, 120:150, ::-1])
    cv2.imwrite(str(tmp_path / 'cat.png'), image)
    return image


def span(path, key='params_ema', **arguments):
    """Weights of a network that BasicSR does not know, and the network."""
    torch.manual_seed(0)
    module = importlib.import_module('spandrel.architectures.SPAN')
    net = module.SPAN(**{**SPAN, 'upscale': 2, **arguments}).eval()
    torch.save({key: net.state_dict()} if key else net.state_dict(), path)
    return net


def expected(net, image):
    with torch.no_grad():
        return to_array(net(to_tensor(image)))


@pytest.mark.parametrize('key', [None, 'params', 'params_ema', 'state_dict'])
@pytest.mark.parametrize('options', [None, {'scale': 2}, {}])
def test_spandrel_infers_the_network_from_its_weights(here, tmp_path, picture, key, options):
    net = span(tmp_path / 'span.pth', key)
    arguments = []
    if options is not None:
        content = {**options, 'network_g': {'type': 'Spandrel'}}
        arguments = ['-opt', write_options(tmp_path / 'span.yml', content)]
    here('upscale', 'cat.png', '--weights', 'span.pth', *arguments)
    result = cv2.imread(str(tmp_path / 'upscaled' / 'cat_x2.png'))
    assert np.abs(result.astype(int) - expected(net, picture)).max() <= 1


def test_the_scale_is_that_of_the_weights(here, tmp_path, picture):
    span(tmp_path / 'span.pth', upscale=3)
    here('upscale', 'cat.png', '--weights', 'span.pth')
    assert cv2.imread(str(tmp_path / 'upscaled' / 'cat_x3.png')).shape == (72, 90, 3)
    options = write_options(tmp_path / 'span.yml', {'scale': 2, 'network_g': {'type': 'Spandrel'}})
    printed = here('upscale', 'cat.png', '--weights', 'span.pth', '-opt', options, expect=1)
    assert 'network_g: output (1, 3, 6, 6) for input (1, 3, 2, 2); scale is 2' in printed


def test_released_weights_of_swinir_need_no_option_file(here, tmp_path, picture):
    network = tiny('SwinIR', 2)
    write_weights(tmp_path / 'swinir.pth', network, 3)
    here('upscale', 'cat.png', '--weights', 'swinir.pth')
    result = cv2.imread(str(tmp_path / 'upscaled' / 'cat_x2.png'))
    net = build(network, 3).eval()
    net_result = expected(net, np.pad(picture, ((0, 0), (0, 2), (0, 0)), mode='reflect'))
    assert np.abs(result.astype(int) - net_result[:, :60]).max() <= 1


def test_weights_that_nothing_is_known_of_are_refused(here, tmp_path, picture, monkeypatch):
    write_weights(tmp_path / 'edsr.pth', tiny('EDSR', 2), 3)
    printed = here('upscale', 'cat.png', '--weights', 'edsr.pth', expect=1)
    assert (
        "--weights: 'edsr.pth' does not say which network it belongs to; pass its option file with "
        "-opt; or, for networks of spandrel: 'edsr.pth': spandrel knows no network that it fits"
    ) in printed
    monkeypatch.setitem(sys.modules, 'spandrel', None)
    printed = here('upscale', 'cat.png', '--weights', 'edsr.pth', expect=1)
    assert "Spandrel needs an extra: pip install 'mtkd_basicsr[spandrel]'" in printed
    assert not (tmp_path / 'upscaled').exists()


def test_weights_for_something_else_are_refused(here, tmp_path, picture):
    torch.manual_seed(0)
    module = importlib.import_module('spandrel.architectures.HAT')
    net = module.HAT(
        img_size=16,
        in_chans=1,
        embed_dim=32,
        depths=(1,),
        num_heads=(2,),
        window_size=4,
        upscale=2,
        upsampler='pixelshuffle',
    )
    torch.save({'params': net.state_dict()}, tmp_path / 'grey.pth')
    printed = here('upscale', 'cat.png', '--weights', 'grey.pth', expect=1)
    assert 'is HAT for SR, 1 to 1 channels; expected super-resolution (SR) of RGB' in printed


@pytest.mark.parametrize('with_options', [False, True])
def test_a_fusion_network_is_refused_with_its_teachers(here, tmp_path, picture, with_options):
    metadata = {'teachers': ['edsr', 'rcan'], 'scale': 2, 'version': '0'}
    write_weights(tmp_path / 'fusion.pth', FUSION, 3, 'params_ema', mtkd=metadata)
    options = write_options(tmp_path / 'fusion.yml', {'scale': 2, 'network_g': FUSION})
    arguments = ['-opt', options] if with_options else []
    printed = here('upscale', 'cat.png', '--weights', 'fusion.pth', *arguments, expect=1)
    assert (
        "--weights: 'fusion.pth': this is a fusion network: it takes the outputs of its teachers "
        '(edsr, rcan), not an image; expected the weights of a student, or of a teacher'
    ) in printed


@pytest.mark.parametrize('arch', ['DCTSwin', 'ConvFusion'])
def test_a_fusion_network_of_an_option_file_is_refused(here, tmp_path, picture, arch):
    network = dict(FUSION, type=arch)
    if arch == 'ConvFusion':
        network = {'type': arch, 'upscale': 2, 'in_chans': 6, 'embed_dim': 8, 'depths': [1]}
    write_weights(tmp_path / 'fusion.pth', network, 3)
    options = write_options(tmp_path / 'fusion.yml', {'scale': 2, 'network_g': network})
    printed = here('upscale', 'cat.png', '--weights', 'fusion.pth', '-opt', options, expect=1)
    assert f'network_g: {arch}: this is a fusion network: it takes the outputs of' in printed
