"""Pictures of all formats are decoded by what they are, turned, and refused where damaged."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile
from skimage import data

from mtkd_basicsr.errors import DataError
from mtkd_basicsr.utils.color_profile import is_srgb, profile_name
from mtkd_basicsr.utils.image_damage import find_damage
from mtkd_basicsr.utils.image_head import opencv_turns, read_head
from mtkd_basicsr.utils.images import decode
from mtkd_basicsr.utils.picture import read_picture, turn

RGB = np.ascontiguousarray(data.astronaut()[40:104, 60:156])
BGR = RGB[..., ::-1]
DEEP = BGR.astype(np.uint16) * 257 + 3
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()


def encode(image, form, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        file, form, **options
    )
    return file.getvalue()


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def image_of(mode):
    """Return the photograph in a mode of Pillow's."""
    image = Image.fromarray(RGB)
    if mode == 'I;16':
        return Image.fromarray(DEEP[..., 0])
    if mode in ('I', 'F'):
        return image.convert('L').convert(mode)
    if mode == 'LAB':
        return ImageCms.profileToProfile(
            image, ImageCms.createProfile('sRGB'), ImageCms.createProfile('LAB'), outputMode='LAB'
        )
    if mode in ('RGBA', 'LA'):
        image.putalpha(Image.fromarray(RGB[..., 0]))
        return image.convert(mode)
    return image.convert(mode)


LOSSLESS = {'WEBP': {'lossless': True}}


@pytest.mark.parametrize('form', ['PNG', 'WEBP', 'TIFF', 'JPEG', 'AVIF'])
@pytest.mark.parametrize('value', range(1, 9))
def test_every_container_is_turned(form, value):
    content = encode(RGB, form, exif=orientation(value), **LOSSLESS.get(form, {}))
    upright = read_picture(encode(RGB, form, **LOSSLESS.get(form, {})), 'upright').pixels
    expected = cv2.imdecode(
        np.frombuffer(encode(RGB, 'PNG', exif=orientation(value)), np.uint8), cv2.IMREAD_COLOR
    )
    pixels = read_picture(content, 'turned').pixels
    np.testing.assert_array_equal(pixels, turn(upright, value))
    np.testing.assert_array_equal(turn(BGR, value), expected)


@pytest.mark.parametrize('value', range(1, 9))
def test_tiffs_of_16_bits_are_turned(value):
    shape = DEEP[..., ::-1].shape
    tags = [
        (256, 4, shape[1]),
        (257, 4, shape[0]),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (274, 3, value),
        (277, 3, 1),
        (278, 4, shape[0]),
        (279, 4, shape[0] * shape[1] * 2),
    ]
    pixels = DEEP[..., 0].astype('<u2').tobytes()
    directory = struct.pack('<H', len(tags))
    for tag, kind, number in tags:
        directory += struct.pack('<HHII', tag, kind, 1, number)
    content = struct.pack('<2sHI', b'II', 42, 8 + len(pixels)) + pixels + directory + bytes(4)
    np.testing.assert_array_equal(read_picture(content, 'turned').pixels, turn(DEEP[..., 0], value))


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'JPEG2000'])
def test_the_pixels_are_those_that_basicsr_reads(form):
    content = encode(RGB, form)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read_picture(content, 'photo').pixels, expected)


# Mode, format, shape after height and width, flags.
KINDS = [
    ('1', 'PNG', (), 'grey'),
    ('1', 'TIFF', (), 'grey'),
    ('L', 'JPEG', (), 'grey'),
    ('L', 'PNG', (), 'grey'),
    ('L', 'TIFF', (), 'grey'),
    ('L', 'JPEG2000', (), 'grey'),
    ('L', 'AVIF', (), 'grey'),
    ('LA', 'PNG', (4,), 'grey alpha'),
    ('LA', 'TIFF', (4,), 'grey alpha'),
    ('LA', 'JPEG2000', (4,), 'grey alpha'),
    ('I;16', 'PNG', (), 'grey deep'),
    ('I;16', 'TIFF', (), 'grey deep'),
    ('I;16', 'JPEG2000', (), 'grey deep'),
    ('P', 'PNG', (3,), 'palette'),
    ('P', 'GIF', (3,), 'palette'),
    ('P', 'TIFF', (3,), 'palette'),
    ('P', 'BMP', (3,), 'palette'),
    ('RGB', 'AVIF', (3,), ''),
    ('RGBA', 'PNG', (4,), 'alpha'),
    ('RGBA', 'WEBP', (4,), 'alpha'),
    ('RGBA', 'TIFF', (4,), 'alpha'),
    ('RGBA', 'AVIF', (4,), 'alpha'),
    ('RGBA', 'JPEG2000', (4,), 'alpha'),
    ('CMYK', 'JPEG', (3,), 'naive'),
    ('CMYK', 'TIFF', (3,), 'naive'),
    ('LAB', 'TIFF', (3,), ''),
]


@pytest.mark.parametrize(('mode', 'form', 'channels', 'flags'), KINDS)
def test_a_kind_of_picture(mode, form, channels, flags):
    image = image_of(mode)
    picture = read_picture(encode(image, form, **LOSSLESS.get(form, {})), 'picture')
    assert picture.pixels.shape == (64, 96, *channels)
    found = {
        'grey': picture.is_grey,
        'alpha': picture.has_alpha,
        'palette': picture.is_palette,
        'deep': picture.bits == 16,
        'naive': picture.cmyk == 'naive',
    }
    assert ' '.join(name for name, value in found.items() if value) == flags
    assert (picture.frames, picture.orientation) == (1, 1)
    if mode == 'I;16':
        np.testing.assert_array_equal(picture.pixels, DEEP[..., 0])
    elif mode != 'CMYK':
        expected = np.asarray(image_of('RGB' if mode == 'LAB' else mode).convert('RGBA'))
        pixels = picture.pixels if picture.pixels.ndim == 3 else picture.pixels[..., None]
        colours = pixels[..., :3][..., ::-1].astype(int)
        tolerance = 3 if form in ('JPEG', 'AVIF') or mode == 'LAB' else 0
        assert np.abs(colours - expected[..., :3]).mean() <= tolerance
        if picture.has_alpha:
            assert np.abs(pixels[..., 3].astype(int) - expected[..., 3]).mean() <= tolerance


@pytest.mark.parametrize('suffix', ['.png', '.tiff'])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_16_bits_are_kept(suffix, channels):
    pixels = {1: DEEP[..., 0], 3: DEEP, 4: np.dstack([DEEP, DEEP[..., 0]])}[channels]
    picture = read_picture(cv2.imencode(suffix, pixels)[1].tobytes(), 'deep')
    assert picture.bits == 16
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize(
    ('mode', 'transparency'), [('P', 3), ('P', bytes(range(256))), ('RGB', (1, 2, 3)), ('L', 5)]
)
def test_a_transparent_colour_becomes_a_channel(mode, transparency):
    content = encode(image_of(mode), 'PNG', transparency=transparency)
    picture = read_picture(content, 'glass')
    expected = np.asarray(Image.open(io.BytesIO(content)).convert('RGBA'))
    np.testing.assert_array_equal(picture.pixels, expected[..., (2, 1, 0, 3)])


def png_of_greys(bits, greys, transparent):
    """A PNG of one row of greys, of which one is transparent."""

    def chunk(name, content):
        crc = struct.pack('>I', zlib.crc32(name + content))
        return struct.pack('>I', len(content)) + name + content + crc

    row = 0
    for grey in greys:
        row = row << bits | grey
    row = b'\0' + row.to_bytes(len(greys) * bits // 8, 'big')
    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', struct.pack('>IIBBBBB', len(greys), 1, bits, 0, 0, 0, 0))
        + chunk(b'tRNS', struct.pack('>H', transparent))
        + chunk(b'IDAT', zlib.compress(row))
        + chunk(b'IEND', b'')
    )


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_any_depth_becomes_a_channel(bits):
    white = 2**bits - 1
    greys = [0, 1, white, 0, 1, 1, white, 0]
    picture = read_picture(png_of_greys(bits, greys, 1), 'glass')
    full = 65535 if bits == 16 else 255
    expected = [[g * full // white] * 3 + [0 if g == 1 else full] for g in greys]
    assert picture.has_alpha
    assert picture.pixels.tolist() == [expected]


@pytest.mark.parametrize('largest', [1, 15, 100, 255, 256, 1023, 65535])
@pytest.mark.parametrize('kind', ['P2', 'P3', 'P5', 'P6'])
def test_white_is_what_a_pnm_says(kind, largest):
    """With a comment in its header, as GIMP writes it."""
    channels = 3 if kind in ('P3', 'P6') else 1
    values = np.random.default_rng(0).integers(0, largest + 1, (5, 4, channels))
    content = f'{kind}\n# 7 8 9\n4 5\n{largest}\n'.encode()
    if kind in ('P2', 'P3'):
        content += ' '.join(str(value) for value in values.ravel()).encode() + b'\n'
    else:
        content += values.astype('>u2' if largest > 255 else 'u1').tobytes()
    picture = read_picture(content, 'x')
    assert picture.bits == (16 if largest > 255 else 8)
    full = 2**picture.bits - 1
    expected = (values * (full / largest))[..., ::-1]
    found = picture.pixels.reshape(5, 4, channels)
    assert np.abs(found - expected).max() <= 1  # OpenCV cuts off where we round


@pytest.mark.parametrize(
    ('form', 'frames'), [('GIF', 2), ('WEBP', 3), ('PNG', 4), ('TIFF', 3), ('MPO', 1)]
)
def test_the_first_frame_is_read_and_the_others_are_counted(form, frames):
    first = Image.fromarray(RGB)
    others = [first.rotate(90 * n) for n in range(1, {'MPO': 2}.get(form, frames))]
    content = encode(first, form, save_all=True, append_images=others, **LOSSLESS.get(form, {}))
    picture = read_picture(content, 'moving')
    assert picture.frames == frames
    assert np.abs(picture.pixels[..., :3].astype(int) - BGR).mean() < 8


@pytest.mark.parametrize('form', ['PNG', 'JPEG', 'WEBP', 'TIFF', 'AVIF'])
def test_the_profile_is_given_as_it_is(form):
    assert read_picture(encode(RGB, form, icc_profile=SRGB), 'photo').profile == SRGB
    assert read_picture(encode(RGB, form), 'photo').profile is None


def test_profiles_are_known_by_their_colours():
    swapped = bytearray(SRGB)
    red = SRGB.index(b'rXYZ')
    blue = SRGB.index(b'bXYZ')
    swapped[red : red + 4] = b'bXYZ'
    swapped[blue : blue + 4] = b'rXYZ'
    assert is_srgb(SRGB)
    assert not is_srgb(bytes(swapped))
    assert profile_name(SRGB) == 'sRGB built-in'
    assert profile_name(b'no profile') == 'unreadable'
    assert not is_srgb(b'no profile')


def test_content_decides_and_not_the_name(tmp_path):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(encode(image_of('RGBA'), 'PNG', exif=orientation(6)))
    picture = read_picture(path, str(path))
    assert (picture.format, picture.has_alpha) == ('PNG', True)
    assert picture.pixels.shape == (96, 64, 4)


WHOLE = {
    'jpeg': encode(RGB, 'JPEG', quality=95),
    'progressive': encode(RGB, 'JPEG', quality=95, progressive=True),
    'grey jpeg': encode(RGB[..., 0], 'JPEG'),
    'restarting': encode(RGB, 'JPEG', restart_marker_blocks=2),
    'png': encode(RGB, 'PNG'),
    'webp': encode(RGB, 'WEBP'),
    'lossless webp': encode(RGB, 'WEBP', lossless=True),
    'tiff': encode(RGB, 'TIFF'),
    'lzw': encode(RGB, 'TIFF', compression='tiff_lzw'),
    'bmp': encode(RGB, 'BMP'),
    'gif': encode(RGB, 'GIF'),
    'jp2': encode(RGB, 'JPEG2000'),
    'avif': encode(RGB, 'AVIF'),
}


@pytest.mark.parametrize('kind', WHOLE)
@pytest.mark.parametrize('part', [0.5, 0.9])
def test_what_is_cut_off_is_refused(kind, part):
    content = WHOLE[kind]
    assert find_damage(content) is None
    assert find_damage(content + b'something of another program') is None
    with pytest.raises(DataError, match=r"^'cut\.x': "):
        read_picture(content[: int(len(content) * part)], 'cut.x')


@pytest.mark.parametrize('kind', ['jpeg', 'progressive', 'grey jpeg', 'restarting'])
@pytest.mark.parametrize('part', [0.4, 0.6, 0.8, 0.95])
def test_a_jpeg_with_missing_data_and_an_end_is_refused(kind, part):
    content = WHOLE[kind][: int(len(WHOLE[kind]) * part)] + b'\xff\xd9'
    assert find_damage(content).endswith(('missing before its end', 'its end is missing'))
    with pytest.raises(DataError, match=r"^'c\.jpg': cannot be read as an image: it is damaged: "):
        read_picture(content, 'c.jpg')


def test_a_changed_png_is_refused():
    content = bytearray(WHOLE['png'])
    content[len(content) // 2] ^= 0x55
    with pytest.raises(
        DataError,
        match="'a': cannot be read as an image: it is damaged: the checksum of its chunk ID",
    ):
        read_picture(bytes(content), 'a')
    with pytest.raises(DataError, match='its end is missing'):
        read_picture(WHOLE['png'][:-12], 'a')


def test_globals_of_pillow_that_others_set_do_not_matter(monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    assert read_picture(WHOLE['tiff'], 'a').pixels.shape == BGR.shape
    with pytest.raises(DataError, match='truncated'):
        read_picture(WHOLE['bmp'][:-900], 'a')
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert Image.MAX_IMAGE_PIXELS == 10


def chunk(name, content):
    checksum = zlib.crc32(name + content)
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', checksum)


HUGE = (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', struct.pack('>IIBBBBB', 40000, 40000, 8, 2, 0, 0, 0))
    + chunk(b'IDAT', zlib.compress(bytes(1000)))
    + chunk(b'IEND', b'')
)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', "'a': cannot be read as an image: it is empty"),
        (b'some text', "'a': cannot be read as an image"),
        (encode(image_of('F'), 'TIFF'), r"'a': \(64, 96\) float32; expected greyscale or colour"),
        (encode(image_of('I'), 'TIFF'), r"'a': \(64, 96\) int32; expected"),
        (HUGE, "'a': 40000×40000 pixels; OpenCV reads at most 1073741824"),
        ('no_such_file.png', "'a': no such file"),
        ('.', "'a': cannot be read: Is a directory"),
    ],
)
def test_what_cannot_be_read_is_named(content, message):
    with pytest.raises(DataError, match=message):
        read_picture(content, 'a')


@pytest.mark.parametrize('form', ['PNG', 'WEBP', 'TIFF', 'JPEG', 'AVIF'])
@pytest.mark.parametrize('value', [1, 3, 6, 8])
def test_a_head_has_the_size_that_basicsr_sees(form, value):
    content = encode(RGB, form, exif=orientation(value))
    assert read_head(content, 'a').size == decode(content).shape[:2]
    assert opencv_turns('JPEG')
    assert not opencv_turns('BMP')


@pytest.mark.parametrize('kind', ['jpeg', 'progressive', 'png', 'tiff', 'bmp', 'webp', 'lzw'])
@pytest.mark.parametrize('part', [0.5, 0.9, 0.99])
def test_a_head_tells_that_the_end_is_missing(kind, part):
    content = WHOLE[kind]
    assert read_head(content, 'a').size == (64, 96)
    assert read_head(content + b'a film' * 2000, 'a').size == (64, 96)
    with pytest.raises(DataError, match="^'a' (is truncated|cannot be read as an image)"):
        read_head(content[: int(len(content) * part)], 'a')


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (encode(RGB, 'PNG'), {}),
        (encode(image_of('I;16'), 'PNG'), {'eight_bits': False}),
        (encode(image_of('I;16'), 'TIFF'), {'eight_bits': False}),
        (encode(image_of('RGBA'), 'PNG'), {'opaque': False}),
        (encode(image_of('P'), 'PNG', transparency=3), {'opaque': False}),
        (encode(image_of('CMYK'), 'JPEG'), {'cmyk': True}),
        (encode(RGB, 'JPEG', icc_profile=SRGB), {}),
        (encode(RGB, 'TIFF', save_all=True, append_images=[image_of('L')]), {'frames': 2}),
    ],
)
def test_a_head_says_what_basicsr_drops(content, expected):
    head = read_head(content, 'a')
    usual = {'eight_bits': True, 'opaque': True, 'cmyk': False, 'frames': 1, 'profile': None}
    assert {name: getattr(head, name) for name in usual} == {**usual, **expected}


@pytest.mark.parametrize('mode', ['I', 'F'])
def test_values_of_32_bits_are_refused(mode):
    with pytest.raises(DataError, match="^'a' has values of 32 bits, which BasicSR does not read"):
        read_head(encode(image_of(mode), 'TIFF'), 'a')
