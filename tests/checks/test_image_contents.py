"""Images are decoded before a training: damaged files, pairs that do not belong together, sizes."""

import shutil

import cv2
import numpy as np
import pytest
from conftest import options_for, parsed, write_options
from helpers.profiles import swapped_profile
from PIL import Image

from mtkd_basicsr.checks.findings import Findings
from mtkd_basicsr.checks.image_contents import ALL, SOME, spread
from mtkd_basicsr.checks.images import check_images
from mtkd_basicsr.checks.metric_sizes import metric_sizes
from mtkd_basicsr.checks.pair_contents import find_mismatch
from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.utils.bicubic import resize_pixels

SQUARE = np.ascontiguousarray(load('chelsea')[20:212, 120:312, ::-1])
LOW = resize_pixels(SQUARE, 1 / 4)
OTHER = resize_pixels(np.ascontiguousarray(load('coffee')[20:212, 120:312, ::-1]), 1 / 4)
RANDOM = np.random.default_rng(0)


def compressed(image, quality):
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


def with_noise(image, deviation):
    noisy = image + RANDOM.normal(0, deviation, image.shape)
    return noisy.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ('kind', 'lq'),
    [
        (None, LOW),
        (None, with_noise(LOW, 50)),
        (None, compressed(LOW, 10)),
        (None, cv2.GaussianBlur(LOW, (0, 0), 3)),
        (None, cv2.filter2D(LOW, -1, np.eye(9, dtype=np.float32) / 9)),
        (None, (LOW * 0.3).astype(np.uint8)),
        (None, np.repeat(LOW[..., 1:2], 3, 2)),
        (None, np.ascontiguousarray(SQUARE[::4, ::4])),
        (None, np.full_like(LOW, 90)),
        (None, LOW[:4, :6]),
        ('turned', np.ascontiguousarray(np.rot90(LOW))),
        ('turned', np.ascontiguousarray(np.rot90(LOW, -1))),
        ('turned', np.ascontiguousarray(LOW[::-1, ::-1])),
        ('turned', np.ascontiguousarray(LOW[:, ::-1])),
        ('turned', np.ascontiguousarray(LOW[::-1])),
        ('turned', with_noise(np.rot90(LOW), 20)),
        ('other', OTHER),
        ('other', 255 - LOW),
        ('shifted', np.roll(LOW, 1, 1)),
        ('shifted', np.roll(with_noise(LOW, 5), (-2, 1), (0, 1))),
    ],
)
def test_pairs_are_compared_by_content(kind, lq):
    found = find_mismatch(SQUARE, lq, 4)
    assert (None if found is None else found.kind) == kind


def test_what_is_left_over_at_the_border_does_not_matter():
    larger = np.pad(SQUARE, ((0, 3), (0, 2), (0, 0)), mode='reflect')
    assert find_mismatch(larger, LOW, 4) is None


@pytest.mark.parametrize(
    ('count', 'most', 'expected'),
    [(0, 4, []), (3, 4, [0, 1, 2]), (800, 4, [0, 266, 532, 799]), (3, None, [0, 1, 2])],
)
def test_samples_are_spread(count, most, expected):
    assert spread(count, most) == expected


@pytest.fixture
def train(tmp_path):
    """Options of a training on square images of one's own, in two folders."""
    for split in ('train', 'val'):
        for kind in ('GT', 'LRx2'):
            (tmp_path / split / kind).mkdir(parents=True)
        for name in ('chelsea', 'coffee', 'rocket'):
            gt = load(name)[100:196, 120:216, ::-1]
            cv2.imwrite(str(tmp_path / split / 'GT' / f'{name}.png'), gt)
            cv2.imwrite(
                str(tmp_path / split / 'LRx2' / f'{name}.png'),
                resize_pixels(np.ascontiguousarray(gt), 0.5),
            )
    return options_for(tmp_path, tmp_path, 'KDModel', train__kd={'type': 'Scratch'})


def found(opt, tmp_path, decoded=SOME, workers=0):
    findings = Findings()
    config = training_config(parsed(opt, True, tmp_path))
    check_images(config, findings, decoded, workers)
    return {level: [f.text for f in findings if f.level == level] for level in ('ERROR', 'WARNING')}


def resave(path, to=None, **options):
    """Save an image again, in the format of another name."""
    image = Image.open(path)
    image.load()
    path.unlink()
    image.save(to or path, **options)


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def test_good_images_have_no_findings(train, tmp_path):
    assert found(train, tmp_path) == {'ERROR': [], 'WARNING': []}
    assert found(train, tmp_path, ALL, workers=2) == {'ERROR': [], 'WARNING': []}


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif'])
@pytest.mark.parametrize('value', [3, 6])
def test_a_turned_ground_truth_is_an_error(train, tmp_path, split, suffix, value):
    for kind, exif in (('GT', orientation(value)), ('LRx2', orientation(1))):
        folder = tmp_path / split / kind
        resave(
            folder / 'coffee.png',
            folder / f'coffee{suffix}',
            exif=exif,
            **({'quality': 98} if suffix in ('.jpg', '.webp') else {}),
        )
    (error,) = (
        found(train, tmp_path, decoded=0)['ERROR']
        if suffix != '.tif'
        else found(train, tmp_path)['ERROR']
    )
    assert 'have a low-resolution image that is turned or mirrored against its ground' in error
    assert f'datasets.{split}: 1 of ' in error
    assert f'coffee{suffix}' in error


def test_pairs_that_are_both_turned_fit(train, tmp_path):
    for kind in ('GT', 'LRx2'):
        folder = tmp_path / 'train' / kind
        resave(folder / 'coffee.png', folder / 'coffee.jpg', quality=98, exif=orientation(6))
    assert found(train, tmp_path)['ERROR'] == []


def test_sizes_are_those_of_turned_images(train, tmp_path):
    """A ground truth in portrait format that is stored lying on its side."""
    gt = np.ascontiguousarray(load('coffee')[100:196, 120:240, ::-1])
    for kind, image in (('GT', gt), ('LRx2', resize_pixels(gt, 0.5))):
        (tmp_path / 'train' / kind / 'coffee.png').unlink()
        path = tmp_path / 'train' / kind / 'coffee.jpg'
        if kind == 'GT':
            lying = np.ascontiguousarray(np.rot90(image)[..., ::-1])
            Image.fromarray(lying).save(path, exif=orientation(6), quality=98)
        else:
            Image.fromarray(image[..., ::-1]).save(path, quality=98)
    assert found(train, tmp_path)['ERROR'] == []


def test_exchanged_images_are_a_warning(train, tmp_path):
    folder = tmp_path / 'train' / 'LRx2'
    shutil.copy(folder / 'chelsea.png', folder / 'coffee.png')
    result = found(train, tmp_path)
    assert result['ERROR'] == []
    (warning,) = result['WARNING']
    assert warning.startswith(
        'datasets.train: 1 of 3 pairs that were decoded have a low-resolution image that shows '
        'something else than its ground truth: '
    )


def changed(content):
    return content[: len(content) // 2] + bytes(9) + content[len(content) // 2 + 9 :]


def without_data(content):
    return content[: len(content) * 2 // 3] + b'\xff\xd9'


@pytest.mark.parametrize(
    ('split', 'kind', 'suffix', 'damage', 'text'),
    [
        ('train', 'GT', '.png', changed, 'the checksum of its chunk IDAT is wrong'),
        ('train', 'LRx2', '.png', changed, 'the checksum of its chunk IDAT is wrong'),
        ('val', 'GT', '.png', changed, 'the checksum of its chunk IDAT is wrong'),
        ('train', 'GT', '.jpg', without_data, 'data is missing before its end'),
        ('val', 'LRx2', '.jpg', without_data, 'data is missing before its end'),
        ('train', 'GT', '.jpg', lambda content: content[:-40], 'is truncated: its end is missing'),
        ('train', 'GT', '.bmp', lambda content: content[:-40], 'is truncated: its end is missing'),
        ('train', 'GT', '.tif', lambda content: content[:-40], 'is truncated: its end is missing'),
        ('train', 'GT', '.webp', lambda content: content[:-40], 'cannot be read as an image'),
    ],
)
def test_damaged_images_are_named(train, tmp_path, split, kind, suffix, damage, text):
    for each in ('GT', 'LRx2'):
        path = tmp_path / split / each / 'coffee.png'
        resave(path, path.with_suffix(suffix))
    path = (tmp_path / split / kind / 'coffee.png').with_suffix(suffix)
    path.write_bytes(damage(path.read_bytes()))
    (error,) = found(train, tmp_path)['ERROR']
    assert error.startswith(f'datasets.{split}: 1 ')
    assert str(path) in error
    assert text in error


def test_all_images_are_decoded_if_asked_for(train, tmp_path, here):
    for kind in ('GT', 'LRx2'):
        folder = tmp_path / 'train' / kind
        for i in range(40):
            shutil.copy(folder / 'coffee.png', folder / f'copy{i:02d}.png')
    paths = parsed(train)['datasets']['train']
    from mtkd_basicsr.data.whole_images import build_paired_dataset

    listed = build_paired_dataset(paths, 'datasets.train').paths
    unseen = next(i for i in range(len(listed)) if i not in spread(len(listed), SOME))
    path = tmp_path / 'train' / 'GT' / listed[unseen]['gt_path'].split('/')[-1]
    path.write_bytes(changed(path.read_bytes()))
    assert found(train, tmp_path)['ERROR'] == []
    options = write_options(tmp_path / 'o.yml', train)
    printed = here('check', '-opt', options, '--no-steps')
    assert f'{SOME} of them decoded, all with mtkd check --all-images' in printed
    with pytest.raises(SystemExit):
        here('check', '-opt', options, '--no-steps', '--all-images')
    printed = here.printed()
    assert f"1 files cannot be decoded: '{path}'" in printed
    assert 'datasets.train (pair): 43 of 43' in printed


@pytest.mark.parametrize(
    ('excess', 'fits', 'is_said'),
    [
        ((0, 0), True, False),
        ((1, 1), True, False),
        ((2, 0), True, True),
        ((11, 11), True, True),
        ((12, 0), False, False),
    ],
)
def test_what_a_crop_to_a_multiple_of_twelve_leaves_over(train, tmp_path, excess, fits, is_said):
    """Original images beside the low-resolution images of their crops, which BasicSR tests."""
    path = tmp_path / 'val' / 'GT' / 'coffee.png'
    gt = cv2.imread(str(path))
    cv2.imwrite(str(path), np.pad(gt, ((0, excess[0]), (0, excess[1]), (0, 0)), mode='reflect'))
    levels = found(train, tmp_path)
    errors = levels['ERROR']
    warnings = [text for text in levels['WARNING'] if 'more rows or columns than' in text]
    assert len(warnings) == is_said, levels
    assert fits == (not errors)
    if not fits:
        assert 'ground truths are not 2 times as large as their low-resolution images' in errors[0]


def test_images_of_another_factor_are_an_error(train, tmp_path):
    for path in (tmp_path / 'val' / 'LRx2').iterdir():
        cv2.imwrite(str(path), resize_pixels(cv2.imread(str(path)), 0.5))
    (error,) = found(train, tmp_path)['ERROR']
    assert error.startswith('datasets.val: 3 ground truths are not 2 times as large as')


@pytest.mark.parametrize(
    ('metric', 'side', 'fits'),
    [
        ({'type': 'calculate_ssim', 'crop_border': 4}, (20, 19), True),
        ({'type': 'calculate_ssim', 'crop_border': 4}, (18, 90), False),
        ({'type': 'calculate_ssim', 'crop_border': 0}, (11, 11), True),
        ({'type': 'calculate_ssim', 'crop_border': 0}, (11, 10), False),
        ({'type': 'calculate_psnr', 'crop_border': 4}, (9, 9), True),
        ({'type': 'calculate_psnr', 'crop_border': 4}, (8, 9), False),
        ({'type': 'calculate_niqe', 'crop_border': 4}, (104, 200), True),
        ({'type': 'calculate_niqe', 'crop_border': 4}, (104, 199), False),
        ({'type': 'calculate_niqe', 'crop_border': 0}, (95, 999), False),
    ],
)
def test_what_metrics_need_is_what_they_compute(train, tmp_path, metric, side, fits):
    train['val']['metrics'] = {'m': metric}
    (need,) = metric_sizes(training_config(parsed(train, True, tmp_path)))
    assert need.fits(*side) == fits
    from basicsr.metrics import calculate_metric

    image = np.resize(SQUARE, (*side, 3))
    other = with_noise(image, 3)
    try:
        with np.errstate(all='ignore'):
            value = calculate_metric({'img': other, 'img2': image}, dict(metric))
    except Exception:
        value = np.nan
    assert np.isfinite(value) == fits


def test_images_that_are_too_small_for_a_metric_are_an_error(train, tmp_path):
    train['val']['metrics']['ssim'] = {'type': 'calculate_ssim', 'crop_border': 4}
    for kind, size in (('GT', 16), ('LRx2', 8)):
        path = str(tmp_path / 'val' / kind / 'coffee.png')
        cv2.imwrite(path, cv2.imread(path)[:size, :size])
    (error,) = found(train, tmp_path)['ERROR']
    assert error.startswith(
        'val.metrics.ssim: 1 images of datasets.val are too small for it, which needs 19 pixels or '
        'more on each side: '
    )
    assert 'coffee.png 16×16' in error


@pytest.mark.parametrize(
    ('suffix', 'options', 'text'),
    [
        ('.png', {'icc_profile': swapped_profile()}, "with the colour profile 'sRGB built-in', wh"),
        ('.jpg', {'icc_profile': swapped_profile()}, "with the colour profile 'sRGB built-in', wh"),
        (
            '.tif',
            {'save_all': True, 'append_images': [Image.new('RGB', (9, 9))]},
            'with several fr',
        ),
    ],
)
def test_what_basicsr_ignores_is_a_warning(train, tmp_path, suffix, options, text):
    for kind in ('GT', 'LRx2'):
        path = tmp_path / 'train' / kind / 'coffee.png'
        resave(path, path.with_suffix(suffix), **(options if kind == 'GT' else {}))
    result = found(train, tmp_path)
    assert result['ERROR'] == []
    (warning,) = result['WARNING']
    assert warning.startswith(f'datasets.train: 1 images {text}')
    assert f'GT/coffee{suffix}' in warning
