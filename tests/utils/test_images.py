"""Images are decoded, converted and compared in one way, which is BasicSR's to the last bit."""

import math

import cv2
import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_psnr
from basicsr.utils import img2tensor, tensor2img

from mtkd_basicsr.utils.image_tensors import to_array, to_tensor
from mtkd_basicsr.utils.images import decode, psnr, psnr_y


def noise(*shape, dtype=np.uint8, seed=0):
    """Return an array in which every value may occur."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def test_to_tensor_is_basicsrs_conversion():
    image = noise(64, 48, 3)
    expected = img2tensor(image.astype(np.float32) / 255)[None]
    assert torch.equal(to_tensor(image), expected)
    assert torch.equal(to_tensor(torch.from_numpy(image)), expected)
    assert torch.equal(to_tensor(image[:, ::-1]), expected.flip(-1)), 'a view'


def test_to_array_is_basicsrs_conversion():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(1, 3, 64, 48, generator=generator) * 1.4 - 0.2
    halves = torch.arange(0, 511).div(2 * 255).expand(1, 3, 2, 511)
    for tensor in (values, values.contiguous(memory_format=torch.channels_last), halves):
        result = to_array(tensor)
        np.testing.assert_array_equal(result, tensor2img(tensor.clone()))
        assert result.dtype == np.uint8
        assert result.flags['C_CONTIGUOUS']


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('channels', [(), (3,), (4,)], ids=['grey', 'colour', 'transparent'])
def test_conversions_undo_each_other(channels, dtype):
    image = noise(24, 32, *channels, dtype=dtype)
    tensor = to_tensor(image)
    assert tensor.shape == (1, *(channels or (1,)), 24, 32)
    assert tensor.dtype == torch.float32
    result = to_array(tensor, dtype)
    np.testing.assert_array_equal(result.reshape(image.shape), image)
    assert result.dtype == dtype


def test_transparency_stays_the_last_channel():
    tensor = to_tensor(np.full((1, 1, 4), [0, 51, 102, 255], np.uint8))
    np.testing.assert_allclose(tensor.flatten(), [0.4, 0.2, 0, 1], rtol=1e-6)


def test_networks_in_bfloat16_give_images():
    image = noise(8, 8, 3)
    rounded = to_tensor(image).bfloat16()
    np.testing.assert_array_equal(to_array(rounded), to_array(rounded.float()))


def test_decode_gives_what_was_encoded():
    image = noise(16, 12, 4, dtype=np.uint16)
    content = cv2.imencode('.png', image)[1].tobytes()
    np.testing.assert_array_equal(decode(content, cv2.IMREAD_UNCHANGED), image)
    assert decode(content).shape == (16, 12, 3)
    assert decode(content).dtype == np.uint8


@pytest.mark.parametrize('content', [b'', b'no image', b'\x89PNG\r\n\x1a\n'])
def test_decode_gives_none_for_what_is_no_image(content):
    assert decode(content) is None


def test_psnr_by_hand():
    assert psnr(255**2) == 0
    assert psnr(255**2 / 1000) == pytest.approx(30)
    assert psnr(0) == math.inf


@pytest.mark.parametrize('border', [0, 2, 4])
def test_psnr_y_is_basicsrs(border):
    a = noise(40, 32, 3)
    b = np.clip(a.astype(int) + noise(40, 32, 3, seed=1) // 20 - 6, 0, 255).astype(np.uint8)
    expected = calculate_psnr(a, b, crop_border=border, test_y_channel=True)
    assert psnr_y(a, b, border) == pytest.approx(expected, abs=1e-4)
    assert psnr_y(a, a, border) == math.inf
