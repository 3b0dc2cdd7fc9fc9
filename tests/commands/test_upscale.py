"""``mtkd upscale``: pictures of all kinds."""

import cv2
import numpy as np
import pytest
import torch
from basicsr.utils import img2tensor, tensor2img
from conftest import build, tiny, write_options, write_weights

from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.host.resize import resize_bicubic


@pytest.fixture
def weights(tmp_path):
    """Of a SwinIR, which needs padding, in a file that says so."""
    network = tiny('SwinIR', 2)
    return write_weights(
        tmp_path / 'student.pth',
        network,
        3,
        'params_ema',
        mtkd={'network': network, 'scale': 2, 'version': '0'},
    )


@pytest.fixture
def picture(tmp_path):
    image = np.ascontiguousarray(load('chelsea')[100:137, 120:150, ::-1])
    cv2.imwrite(str(tmp_path / 'cat.png'), image)
    return image


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def expected(image, name='SwinIR'):
    """BasicSR's own conversions around the network, which is run on the reflected image."""
    net = build(tiny(name, 2), 3).eval()
    multiple = 8 if name == 'SwinIR' else 1
    h, w = image.shape[:2]
    padded = np.pad(image, ((0, -h % multiple), (0, -w % multiple), (0, 0)), mode='reflect')
    with torch.no_grad():
        result = tensor2img(net(img2tensor(padded.astype(np.float32) / 255)[None]))
    return result[: 2 * image.shape[0], : 2 * image.shape[1]]


def test_pictures_are_enlarged_as_by_basicsr(here, tmp_path, weights, picture):
    printed = here('upscale', 'cat.png', '--weights', weights)
    result = read(tmp_path / 'upscaled' / 'cat_x2.png')
    assert 'cat_x2.png: 60×74' in printed
    assert result.dtype == np.uint8
    assert np.abs(result.astype(int) - expected(picture)).max() <= 1
    assert (result != expected(picture)).mean() < 1e-3


def test_grey_stays_grey(here, tmp_path, weights, picture):
    cv2.imwrite(str(tmp_path / 'grey.png'), picture[..., 1])
    here('upscale', 'grey.png', '--weights', weights)
    result = read(tmp_path / 'upscaled' / 'grey_x2.png')
    assert result.shape == (74, 60)
    assert (
        np.abs(result - expected(np.repeat(picture[..., 1:2], 3, 2)).astype(float).mean(2)).max()
        <= 1
    )


def test_transparency_is_enlarged_with_it(here, tmp_path, weights, picture):
    alpha = np.linspace(0, 255, 37 * 30).reshape(37, 30).astype(np.uint8)
    cv2.imwrite(str(tmp_path / 'glass.png'), np.dstack([picture, alpha]))
    here('upscale', 'glass.png', '--weights', weights)
    result = read(tmp_path / 'upscaled' / 'glass_x2.png')
    assert result.shape == (74, 60, 4)
    assert np.abs(result[..., :3].astype(int) - expected(picture)).max() <= 1
    large = (
        resize_bicubic(torch.from_numpy(alpha)[None, None].float(), 2)[0, 0]
        .clamp(0, 255)
        .round()
        .numpy()
    )
    assert np.abs(result[..., 3] - large).max() <= 1


def test_sixteen_bits_are_kept(here, tmp_path, weights, picture):
    cv2.imwrite(str(tmp_path / 'deep.png'), picture.astype(np.uint16) * 257)
    here('upscale', 'deep.png', '--weights', weights)
    result = read(tmp_path / 'upscaled' / 'deep_x2.png')
    assert result.dtype == np.uint16, 'not eight bits in a wider coat'
    assert len(np.unique(result % 257)) > 100, 'not eight bits in a wider coat'
    assert np.abs(result / 257 - expected(picture)).max() <= 1


def test_tiles_give_the_same(here, tmp_path, picture):
    network = tiny('EDSR', 2)
    weights = write_weights(
        tmp_path / 'edsr.pth', network, 3, mtkd={'network': network, 'scale': 2}
    )
    here('upscale', 'cat.png', '--weights', weights, '--out', 'whole')
    here(
        'upscale',
        'cat.png',
        '--weights',
        weights,
        '--out',
        'tiles',
        '--tile',
        '24',
        '--tile-overlap',
        '16',
    )
    whole = read(tmp_path / 'whole' / 'cat_x2.png')
    tiles = read(tmp_path / 'tiles' / 'cat_x2.png')
    assert np.abs(whole.astype(int) - tiles).max() <= 1


def test_a_photograph_is_turned_as_it_says(here, tmp_path, weights, picture):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture[..., ::-1]).save(tmp_path / 'phone.jpg', exif=exif, quality=100)
    here('upscale', 'phone.jpg', '--weights', weights)
    assert read(tmp_path / 'upscaled' / 'phone_x2.png').shape == (60, 74, 3)


def test_the_network_of_an_option_file_is_used(here, tmp_path, picture):
    weights = write_weights(tmp_path / 'plain.pth', tiny('EDSR', 2), 3)
    assert 'does not say which network it belongs to; pass its option file with -opt' in here(
        'upscale', 'cat.png', '--weights', weights, expect=1
    )
    options = write_options(tmp_path / 'student.yml', {'scale': 2, 'network_g': tiny('EDSR', 2)})
    here('upscale', 'cat.png', '--weights', weights, '-opt', options)
    result = read(tmp_path / 'upscaled' / 'cat_x2.png').astype(int)
    assert np.abs(result - expected(picture, 'EDSR')).max() <= 1
    assert 'expected network_g and scale' in here(
        'upscale',
        'cat.png',
        '--weights',
        weights,
        '--out',
        'b',
        '-opt',
        write_options(tmp_path / 'empty.yml', {'scale': 2}),
        expect=1,
    )


def test_nothing_is_overwritten(here, tmp_path, weights, picture):
    (tmp_path / 'upscaled').mkdir()
    there = tmp_path / 'upscaled' / 'cat_x2.png'
    there.write_bytes(b'precious')
    assert 'cat_x2.png already exists' in here('upscale', 'cat.png', '--weights', weights, expect=1)
    assert there.read_bytes() == b'precious'
    here('upscale', 'cat.png', '--weights', weights, '--overwrite')
    assert read(there).shape == (74, 60, 3)


def test_pictures_that_cannot_be_read_are_named_and_the_others_done(
    here, tmp_path, weights, picture
):
    (tmp_path / 'empty.png').write_bytes(b'')
    cv2.imwrite(str(tmp_path / 'float.tiff'), picture.astype(np.float32))
    printed = here(
        'upscale', 'empty.png', 'float.tiff', 'gone.png', 'cat.png', '--weights', weights, expect=1
    )
    for text in (
        '3 of 4 images cannot be upscaled',
        "'empty.png': cannot be read as an image: it is empty",
        "'float.tiff': cannot be read as an image: a TIFF that is cut off or unusual",
        "'gone.png': no such file",
    ):
        assert text in printed
    assert [p.name for p in (tmp_path / 'upscaled').iterdir()] == ['cat_x2.png']


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--weights', 'gone.pth'], "--weights: no file 'gone.pth'"),
        (['--weights', 'student.pth', '-opt', 'gone.yml'], "-opt: no file 'gone.yml'"),
        (
            ['--weights', 'student.pth', '--tile', '8'],
            '--tile-overlap: 32; expected a whole number from 0 on, less than --tile (8)',
        ),
    ],
)
def test_wrong_arguments_are_refused(here, tmp_path, weights, picture, arguments, text):
    assert text in here('upscale', 'cat.png', *arguments, expect=1)
    assert not (tmp_path / 'upscaled').exists()
