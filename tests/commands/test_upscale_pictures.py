"""``mtkd upscale``: what a file is decides its content; what a picture has is kept, or said."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from helpers.profiles import swapped_profile
from PIL import Image, ImageCms, ImageDraw

from mtkd_basicsr.commands.upscale.enlarging import fill_transparent
from mtkd_basicsr.commands.upscale.writing import on_white
from mtkd_basicsr.data.sample_photographs import load

PICTURE = np.ascontiguousarray(load('chelsea')[100:130, 120:160])  # RGB
TURNED = Image.Exif()
TURNED[0x0112] = 6


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
OTHER = swapped_profile()


@pytest.fixture
def upscaled(here, tmp_path):
    """Upscales a file fourfold; returns the result and what was printed."""

    def run(name, *arguments, result=None):
        printed = here('upscale', name, '--weights', 'reference:edsr_x4', '--overwrite', *arguments)
        path = tmp_path / (result or f'upscaled/{name.rsplit(".", 1)[0]}_x4.png')
        with Image.open(path) as image:
            image.load()
        return image, printed

    return run


def plain(upscaled, tmp_path, pixels=PICTURE):
    """The result of the picture as a plain PNG."""
    Image.fromarray(pixels).save(tmp_path / 'plain.png')
    return np.asarray(upscaled('plain.png')[0]).astype(int)


@pytest.mark.parametrize(
    ('name', 'format'),
    [
        ('a.jpg', 'JPEG'),
        ('a.jfif', 'JPEG'),
        ('a.png', 'JPEG'),
        ('a.webp', 'WEBP'),
        ('a.png', 'PNG'),
        ('a.jpg', 'PNG'),
        ('a.tif', 'TIFF'),
        ('a', 'PNG'),
    ],
)
def test_pictures_are_turned_whatever_their_format_and_name(upscaled, tmp_path, name, format):
    options = {'JPEG': {'quality': 100, 'subsampling': 0}, 'WEBP': {'lossless': True}}
    Image.fromarray(PICTURE).save(tmp_path / name, format, exif=TURNED, **options.get(format, {}))
    image, _ = upscaled(name)
    assert image.size == (120, 160)
    difference = np.asarray(image).astype(int) - np.rot90(plain(upscaled, tmp_path), -1)
    assert np.abs(difference).mean() < 2, 'turned the other way round'


@pytest.mark.parametrize('profile', [SRGB, OTHER], ids=['sRGB', 'another'])
@pytest.mark.parametrize(
    ('source', 'arguments', 'result'),
    [
        ('a.png', [], 'upscaled/a_x4.png'),
        ('a.jpg', [], 'upscaled/a_x4.png'),
        ('a.webp', [], 'upscaled/a_x4.png'),
        ('a.tif', [], 'upscaled/a_x4.png'),
        ('a.png', ['--format', 'jpg'], 'upscaled/a_x4.jpg'),
        ('a.png', ['--format', 'webp'], 'upscaled/a_x4.webp'),
        ('a.png', ['--out', 'new.jpeg'], 'new.jpeg'),
    ],
)
def test_the_profile_is_kept(upscaled, tmp_path, profile, source, arguments, result):
    Image.fromarray(PICTURE).save(tmp_path / source, icc_profile=profile)
    image, _ = upscaled(source, *arguments, result=result)
    assert image.info['icc_profile'] == profile


def test_the_profile_is_kept_with_transparency_and_16_bits(upscaled, tmp_path):
    pixels = np.dstack([PICTURE, np.full((30, 40), 200, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / 'glass.png', icc_profile=OTHER)
    assert upscaled('glass.png')[0].info['icc_profile'] == OTHER
    cv2.imwrite(str(tmp_path / 'deep.tif'), PICTURE[..., ::-1].astype(np.uint16) * 257)
    with Image.open(tmp_path / 'deep.tif') as image:
        assert image.mode == 'RGB'
    image, _ = upscaled('deep.tif')
    deep = cv2.imread(str(tmp_path / 'upscaled/deep_x4.png'), cv2.IMREAD_UNCHANGED)
    assert deep.dtype == np.uint16
    assert np.abs(deep[..., ::-1] / 257 - plain(upscaled, tmp_path)).max() <= 1


def test_grey_keeps_a_profile_of_grey_alone(upscaled, tmp_path):
    grey = Image.fromarray(PICTURE).convert('L')
    grey.save(tmp_path / 'a.png', icc_profile=OTHER)
    image, printed = upscaled('a.png')
    assert image.mode == 'L'
    assert 'icc_profile' not in image.info
    assert "left out the profile 'sRGB built-in', which is not for greyscale" in printed
    grey.save(tmp_path / 'a.png', icc_profile=SRGB)
    assert 'left out' not in upscaled('a.png')[1], 'sRGB is what is expected without a profile'


def test_grey_with_transparency_stays_grey(upscaled, tmp_path):
    Image.fromarray(PICTURE).convert('LA').save(tmp_path / 'a.png')
    image, _ = upscaled('a.png')
    assert image.mode == 'LA'
    Image.fromarray(PICTURE).convert('L').save(tmp_path / 'l.png')
    assert np.array_equal(np.asarray(image)[..., 0], np.asarray(upscaled('l.png')[0]))


def cmyk_profile():
    """A profile from CMYK to Lab, as a press has one: a table of two steps a channel."""
    curve = b''.join([b'mft1', bytes(4), bytes([4, 3, 2, 0])])
    identity = [65536, 0, 0, 0, 65536, 0, 0, 0, 65536]
    curve += b''.join(value.to_bytes(4, 'big') for value in identity)
    ramp = bytes(range(256))
    # Lightness falls with each ink, and the colours are much duller than on a screen.
    nodes = bytearray()
    for i in range(16):
        c, m, y, k = (i >> 3) & 1, (i >> 2) & 1, (i >> 1) & 1, i & 1
        lightness = 255 * (4 - c - m - y - k) // 4 * (1 - k)
        nodes += bytes([lightness, 128 - 20 * c + 20 * m, 128 - 20 * c + 20 * y])
    table = curve + 4 * ramp + bytes(nodes) + 3 * ramp
    table += bytes(-len(table) % 4)
    text = b'desc' + bytes(4) + (5).to_bytes(4, 'big') + b'test\0' + bytes(79)
    white = b'XYZ ' + bytes(4)
    for value in (0.9642, 1.0, 0.8249):
        white += round(value * 65536).to_bytes(4, 'big')
    parts = [(b'desc', text), (b'wtpt', white), (b'A2B0', table), (b'cprt', b'text' + bytes(8))]
    offset = 132 + 12 * len(parts)
    tags = len(parts).to_bytes(4, 'big')
    body = b''
    for name, content in parts:
        padded = content + bytes(-len(content) % 4)
        tags += name + (offset + len(body)).to_bytes(4, 'big') + len(content).to_bytes(4, 'big')
        body += padded
    size = offset + len(body)
    head = size.to_bytes(4, 'big') + b'lcms' + bytes([2, 16, 0, 0]) + b'prtrCMYKLab ' + bytes(12)
    head += b'acsp' + bytes(28) + white[8:] + bytes(48)
    return head[:128] + tags + body


def test_cmyk_is_converted_by_its_profile_and_this_is_said(upscaled, tmp_path):
    cmyk = Image.fromarray(PICTURE).convert('CMYK')
    cmyk.save(tmp_path / 'press.tif', icc_profile=cmyk_profile())
    image, printed = upscaled('press.tif')
    assert 'press_x4.png: 160×120; CMYK converted to sRGB by its profile' in printed
    assert (image.mode, 'icc_profile' in image.info) == ('RGB', False)
    by_profile = ImageCms.profileToProfile(
        cmyk,
        ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile())),
        ImageCms.createProfile('sRGB'),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode='RGB',
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    expected = plain(upscaled, tmp_path, np.asarray(by_profile))
    assert np.abs(np.asarray(image) - expected).max() <= 1
    assert np.abs(expected - plain(upscaled, tmp_path)).mean() > 20, 'the profile does nothing'


def test_cmyk_without_a_profile_is_a_guess_and_this_is_said(upscaled, tmp_path):
    Image.fromarray(PICTURE).convert('CMYK').save(tmp_path / 'press.jpg', quality=100)
    image, printed = upscaled('press.jpg')
    assert '160×120; CMYK without a usable profile: its colours are a guess' in printed
    assert np.abs(np.asarray(image) - plain(upscaled, tmp_path)).mean() < 3


@pytest.mark.parametrize('name', ['a.gif', 'a.webp', 'a.png', 'a.tif'])
def test_the_first_of_several_frames_is_taken_and_this_is_said(upscaled, tmp_path, name):
    frames = [Image.fromarray(PICTURE), Image.fromarray(PICTURE[::-1])]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    image, printed = upscaled(name)
    assert 'a_x4.png: 160×120; first of 2 frames' in printed
    first = np.asarray(image.convert('RGB')).astype(int)
    assert np.abs(first - plain(upscaled, tmp_path)).mean() < 6


@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.webp', 'a.tif'])
def test_transparency_is_kept_whatever_the_name(upscaled, tmp_path, name):
    alpha = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    format = 'PNG' if name == 'a.jpg' else None
    options = {'lossless': True, 'exact': True} if name == 'a.webp' else {}
    Image.fromarray(np.dstack([PICTURE, alpha])).save(tmp_path / name, format, **options)
    image, _ = upscaled(name)
    assert image.mode == 'RGBA'
    assert np.abs(np.asarray(image)[:, 1::4, 3].astype(int) - alpha[0]).max() <= 4


def logo():
    """White on transparent black, with soft edges: (64, 64, 4)."""
    large = Image.new('L', (256, 256))
    draw = ImageDraw.Draw(large)
    draw.ellipse((40, 40, 216, 216), fill=255)
    draw.rectangle((100, 100, 156, 156), fill=0)
    alpha = np.asarray(large.resize((64, 64), Image.Resampling.BOX))
    white = np.where(alpha[..., None] > 0, 255, 0).astype(np.uint8).repeat(3, 2)
    return np.dstack([white, alpha])


@pytest.mark.parametrize('form', ['png', 'palette', 'premultiplied', 'deep'])
def test_a_white_logo_on_transparent_black_gets_no_dark_fringe(upscaled, tmp_path, form):
    pixels = logo()
    name = 'logo.tif' if form == 'premultiplied' else 'logo.png'
    if form == 'deep':
        cv2.imwrite(str(tmp_path / name), pixels.astype(np.uint16) * 257)
    elif form == 'premultiplied':
        mixed = np.asarray(Image.fromarray(pixels).convert('RGBa'))
        tifffile.imwrite(tmp_path / name, mixed, photometric='rgb', extrasamples=['assocalpha'])
    elif form == 'palette':
        hard = pixels[..., 3] > 127
        image = Image.fromarray(hard.astype(np.uint8), 'P')
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(tmp_path / name, transparency=0)
    else:
        Image.fromarray(pixels).save(tmp_path / name)
    white = pixels.copy()
    white[..., :3] = 255
    expected = plain(upscaled, tmp_path, white[..., :3])
    upscaled(name)
    result = cv2.imread(str(tmp_path / 'upscaled/logo_x4.png'), cv2.IMREAD_UNCHANGED)
    colours = result[..., :3] / (257 if form == 'deep' else 1)
    visible = result[..., 3] > 0
    assert 0 < visible.mean() < 1
    assert np.abs(colours - expected)[visible].max() <= 1


def test_only_invisible_pixels_are_filled():
    pixels = logo()
    colours = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    filled = fill_transparent(colours, pixels[..., 3])
    visible = pixels[..., 3] > 0
    assert np.array_equal(filled[visible], colours[visible])
    known = {tuple(colour) for colour in colours[visible]}
    assert {tuple(colour) for colour in filled[~visible]} <= known
    ys, xs = np.nonzero(visible)
    nearest = np.argmin((ys - 0) ** 2 + (xs - 0) ** 2)
    assert np.array_equal(filled[0, 0], colours[ys[nearest], xs[nearest]])
    none = np.zeros((64, 64), np.uint8)
    assert np.array_equal(fill_transparent(colours, none), colours)
    assert np.array_equal(fill_transparent(colours, ~none), colours)


def test_a_jpeg_has_transparency_on_white_and_says_so(upscaled, tmp_path):
    Image.fromarray(logo()).save(tmp_path / 'logo.png')
    image, printed = upscaled('logo.png', '--out', 'logo.jpg', result='logo.jpg')
    assert 'logo.jpg: 256×256; transparency on white' in printed
    assert image.mode == 'RGB'
    assert np.asarray(image).min() > 240


def test_colours_on_white_are_rounded():
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 100, 255, 128]]], np.uint8)
    assert on_white(pixels).tolist() == [[[255, 255, 255], [10, 20, 30], [127, 177, 255]]]


def test_the_file_is_png_as_libpng_reads_it(upscaled, tmp_path):
    """The chunk of the profile stands in its place; OpenCV reads the pixels as without it."""
    Image.fromarray(PICTURE).save(tmp_path / 'a.png', icc_profile=OTHER)
    upscaled('a.png')
    content = (tmp_path / 'upscaled/a_x4.png').read_bytes()
    assert content.index(b'IHDR') < content.index(b'iCCP') < content.index(b'IDAT')
    pixels = cv2.imread(str(tmp_path / 'upscaled/a_x4.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(pixels[..., ::-1], plain(upscaled, tmp_path))
