"""``mtkd data``: from photographs to folders that BasicSR reads."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.metrics import calculate_psnr
from basicsr.utils.matlab_functions import imresize
from conftest import mtkd, run
from helpers.profiles import swapped_profile
from PIL import Image, ImageCms

from mtkd_basicsr.data.sample_photographs import load
from mtkd_basicsr.host.resize import resize_bicubic
from mtkd_basicsr.utils.bicubic import resize_bicubic_array, resize_pixels, weights_and_sources
from mtkd_basicsr.utils.images import psnr_y


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for name, size in (('chelsea', (100, 130)), ('camera', (97, 61)), ('coffee', (60, 84))):
        image = load(name)[: size[0], : size[1], ::-1]
        cv2.imwrite(str(folder / f'{name}.png'), image[..., 0] if name == 'camera' else image)
    (folder / 'notes.txt').write_text('not an image')
    return folder


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    ('h', 'w', 'scale'),
    [
        (48, 36, 1 / 2),
        (48, 36, 1 / 3),
        (96, 60, 1 / 4),
        (13, 10, 4),
        (9, 7, 3),
        (12, 12, 2),
        (321, 480, 1 / 3),
    ],
)
def test_resize_is_basicsrs(h, w, scale):
    x = torch.rand(2, 3, h, w, generator=torch.Generator().manual_seed(0))
    found = resize_bicubic(x, scale)
    for image, expected in zip(found, x):
        assert (image - imresize(expected, scale)).abs().max() < 1e-6


def test_folders_for_basicsr(images, tmp_path):
    printed = mtkd('data', images, '--out', 'out', '--workers', '2', cwd=tmp_path)
    assert '3 images in each of out/GTmod12, out/LRbicx2, out/LRbicx3, out/LRbicx4' in printed
    for name, (h, w) in {'chelsea': (96, 120), 'camera': (96, 60), 'coffee': (60, 84)}.items():
        gt = read(tmp_path / 'out' / 'GTmod12' / f'{name}.png')
        source = read(images / f'{name}.png')
        source = source if source.ndim == 3 else np.repeat(source[..., None], 3, 2)
        assert np.array_equal(gt, source[:h, :w])
        for scale in (2, 3, 4):
            low = read(tmp_path / 'out' / f'LRbicx{scale}' / f'{name}.png')
            expected = (
                np.clip(imresize(gt.astype(np.float64) / 255, 1 / scale), 0, 1) * 255
            ).round()
            # The same numbers in another order of summation: a value may lie on the other side of a
            # half.
            assert low.shape == expected.shape
            assert np.abs(low - expected).max() <= 1
            assert (low != expected).mean() < 1e-3
    assert (
        tmp_path / 'out' / 'meta_info.txt'
    ).read_text() == 'camera.png (96,60,3)\nchelsea.png (96,120,3)\ncoffee.png (60,84,3)\n'
    out = str(tmp_path / 'out')
    dataset = build_dataset(
        {
            'type': 'PairedImageDataset',
            'name': 'x',
            'phase': 'val',
            'scale': 3,
            'io_backend': {'type': 'disk'},
            'dataroot_gt': f'{out}/GTmod12',
            'dataroot_lq': f'{out}/LRbicx3',
            'meta_info_file': f'{out}/meta_info.txt',
        }
    )
    assert len(dataset) == 3
    assert all(item['gt'].shape[1] == 3 * item['lq'].shape[1] for item in dataset)


def test_sub_images_are_parts_of_both(images, here, tmp_path):
    here(
        'data',
        images,
        '--out',
        'out',
        '--workers',
        '1',
        '--scale',
        '4',
        '--sub-image',
        '48',
        '--step',
        '24',
    )
    names = sorted(p.name for p in (tmp_path / 'out' / 'GTmod4_sub').iterdir())
    # 100×130 is cropped to 100×128: rows begin at 0, 24, 48 and 52, columns at 0, 24, 48, 72 and
    # 80.
    assert sum(name.startswith('chelsea_s') for name in names) == 4 * 5
    assert names == sorted(p.name for p in (tmp_path / 'out' / 'LRbicx4_sub').iterdir())
    whole = read(images / 'chelsea.png')
    assert np.array_equal(
        read(tmp_path / 'out' / 'GTmod4_sub' / 'chelsea_s007.png'), whole[24:72, 24:72]
    )
    here('data', images, '--out', 'all', '--workers', '1', '--scale', '4')
    low = read(tmp_path / 'all' / 'LRbicx4' / 'chelsea.png')
    assert np.array_equal(
        read(tmp_path / 'out' / 'LRbicx4_sub' / 'chelsea_s020.png'), low[13:25, 20:32]
    ), 'reduced before it is cut'


def test_goes_on_where_it_was_stopped(images, tmp_path):
    for i in range(40):
        cv2.imwrite(str(images / f'more{i:02d}.png'), load('coffee')[i : i + 240, i : i + 240])
    command = [
        sys.executable,
        '-m',
        'mtkd_basicsr',
        'data',
        str(images),
        '--out',
        'out',
        '--workers',
        '1',
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    folder = tmp_path / 'out' / 'LRbicx4'
    deadline = time.time() + 120
    while time.time() < deadline and (
        not folder.is_dir() or len(list(folder.glob('[!.]*.png'))) < 3
    ):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').rglob('[!.]*.png')}
    whole = {
        p
        for p in before
        if all(
            (tmp_path / 'out' / f / p.name).exists()
            for f in ('GTmod12', 'LRbicx2', 'LRbicx3', 'LRbicx4')
        )
    }
    assert 3 * 4 <= len(whole) < 43 * 4
    mtkd('data', images, '--out', 'out', cwd=tmp_path)
    after = list((tmp_path / 'out').rglob('[!.]*.png'))
    assert len(after) == 43 * 4
    assert all(p.stat().st_mtime_ns == before[p] for p in whole)
    assert all(read(p) is not None for p in after)


def named(folder):
    """The files and folders that a user sees."""
    return {path.stem for path in folder.iterdir() if not path.name.startswith('.')}


def test_images_are_kept_apart_for_validation(images, here, tmp_path):
    """They stay what they were when there are more images."""
    out = tmp_path / 'out'
    call = ('data', images, '--out', 'out', '--workers', '1', '--scale', '4', '--validation', '1')
    printed = here(*call)
    assert '2 images in each of out/train/GTmod4, out/train/LRbicx4' in printed
    assert '1 images in each of out/val/GTmod4, out/val/LRbicx4' in printed
    assert (out / 'validation.txt').read_text() == 'chelsea.png\n'
    for i in range(5):
        cv2.imwrite(str(images / f'a{i}.png'), load('coffee')[i : i + 40, i : i + 40])
    here(*call)
    assert named(out / 'val' / 'GTmod4') == named(out / 'val' / 'LRbicx4') == {'chelsea'}
    more = {'camera', 'coffee', *(f'a{i}' for i in range(5))}
    assert named(out / 'train' / 'GTmod4') == named(out / 'train' / 'LRbicx4') == more
    lines = (out / 'val' / 'meta_info.txt').read_text().splitlines()
    assert lines == ['chelsea.png (100,128,3)']


@pytest.mark.parametrize(
    ('count', 'expected'),
    [
        (1, 'e'),
        (2, 'ch'),
        (3, 'bei'),
        (5, 'acegi'),
        (9, 'abcdefghi'),
        (10, None),
        (11, None),
    ],
)
def test_validation_images_are_spread_over_all(count, expected, here, tmp_path):
    (tmp_path / 'ten').mkdir()
    for name in 'abcdefghij':
        cv2.imwrite(str(tmp_path / 'ten' / f'{name}.png'), load('coffee')[:8, :8])
    call = ('data', 'ten', '--out', 'out', '--workers', '1', '--scale', '2', '--validation')
    if expected is None:
        printed = here(*call, count, expect=1)
        assert f'--validation: {count}; expected fewer than the 10 images' in printed
        assert not (tmp_path / 'out').exists()
        return
    here(*call, count)
    found = named(tmp_path / 'out' / 'val' / 'GTmod2')
    assert len(found) == count
    assert found | named(tmp_path / 'out' / 'train' / 'GTmod2') == set('abcdefghij')
    assert found.isdisjoint(named(tmp_path / 'out' / 'train' / 'GTmod2'))
    if count < 9:
        assert min(ord(b) - ord(a) for a, b in zip(sorted(found), sorted(found)[1:] or 'z')) >= 2
    printed = here(*call, count % 9 + 1, expect=1)
    assert f'--validation: {count % 9 + 1}; ' in printed
    assert f"validation.txt' names {count} images of an earlier call" in printed


def test_validation_images_are_whole_and_wrong_ones_are_named(images, here, tmp_path):
    (images / 'chelsea.png').write_bytes(b'')
    printed = here(
        *('data', images, '--out', 'out', '--workers', '1', '--scale', '2', '--sub-image', '20'),
        *('--validation', '1'),
        expect=1,
    )
    assert "1 of 3 images cannot be used:\n'" in printed
    assert "chelsea.png': cannot be read as an image" in printed
    assert named(tmp_path / 'out') == {'train', 'val', 'validation'}
    assert named(tmp_path / 'out' / 'val' / 'GTmod2') == set()
    assert len(named(tmp_path / 'out' / 'train' / 'GTmod2_sub')) > 20


def test_validation_images_that_are_gone_are_named(images, here):
    call = ('data', images, '--out', 'out', '--workers', '1', '--scale', '2', '--validation', '1')
    here(*call)
    (images / 'chelsea.png').unlink()
    printed = here(*call, expect=1)
    assert "validation.txt' names chelsea.png, which are not there any more; expected" in printed


def test_a_forgotten_validation_trains_on_no_validation_image(images, here, tmp_path):
    call = ('data', images, '--out', 'out', '--workers', '1', '--scale', '2')
    here(*call, '--validation', '1')
    printed = here(*call, expect=1)
    assert '--validation: missing; an earlier call kept 1 images of ' in printed
    assert 'use --validation 1, or another folder' in printed
    assert named(tmp_path / 'out') == {'train', 'val', 'validation'}


def test_a_call_that_could_use_no_image_decides_nothing(images, here):
    call = ('data', images, '--out', 'out', '--workers', '1', '--scale', '2')
    printed = here(*call, '--sub-image', '480', '--step', '240', expect=1)
    assert '3 of 3 images cannot be used' in printed
    here(*call, '--sub-image', '48', '--step', '24')
    printed = here(*call, '--sub-image', '24', '--step', '24', expect=1)
    assert "'out' was created with other settings" in printed


def test_a_worker_that_dies_ends_the_command(images, tmp_path):
    """As the system ends one for lack of memory; a pool would wait for its result for ever."""
    script = tmp_path / 'killed.py'
    script.write_text(
        'import os, sys\n'
        'from mtkd_basicsr.commands import prepare_data\n'
        'from mtkd_basicsr.commands.prepare_data import run\n'
        'def killed(task):\n'
        '    os._exit(9) if "coffee" in str(task[0]) else None\n'
        '    return process(task)\n'
        'process = run.process_image\n'
        'run.process_image = killed\n'
        "if __name__ == '__main__':\n"
        "    prepare_data('images', 'out', scales=[2], workers=2)\n"
    )
    printed = run([sys.executable, script], tmp_path, expect=1)
    assert 'DataError: a worker process was ended, perhaps for lack of memory' in printed
    assert 'workers' in printed
    mtkd('data', images, '--out', 'out', '--scale', '2', cwd=tmp_path)
    assert named(tmp_path / 'out' / 'GTmod2') == {'chelsea', 'camera', 'coffee'}


def test_wrong_images_are_named_and_the_others_done(images, here, tmp_path):
    (images / 'empty.png').write_bytes(b'')
    (images / 'cut.png').write_bytes((images / 'chelsea.png').read_bytes()[:20])
    cv2.imwrite(str(images / 'deep.png'), np.zeros((50, 50, 3), np.uint16))
    cv2.imwrite(str(images / 'glass.png'), np.zeros((50, 50, 4), np.uint8))
    cv2.imwrite(str(images / 'small.png'), np.zeros((5, 50, 3), np.uint8))
    printed = here('data', images, '--out', 'out', '--workers', '1', expect=1)
    for text in (
        '5 of 8 images cannot be used',
        "empty.png': cannot be read as an image",
        "cut.png': cannot be read as an image",
        "deep.png': uint16 values; expected 8 bits",
        "glass.png': 4 channels; expected greyscale or three",
        "small.png': 5×50 pixels; expected 12 or more",
    ):
        assert text in printed
    assert len(list((tmp_path / 'out' / 'GTmod12').iterdir())) == 3


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif', '.jfif', '.avif'])
def test_pictures_are_turned_as_they_say(tmp_path, here, suffix):
    photograph = load('coffee')[:60, :84]
    (tmp_path / 'images').mkdir()
    lossless = {'lossless': True} if suffix == '.webp' else {'quality': 98}
    path = tmp_path / 'images' / f'a{suffix}'
    Image.fromarray(photograph).save(path, exif=orientation(6), **lossless)
    here('data', 'images', '--out', 'out', '--scale', '2', '--workers', '1')
    found = read(tmp_path / 'out' / 'GTmod2' / 'a.png').astype(int)
    assert found.shape == (84, 60, 3)
    assert np.abs(found - np.rot90(photograph[..., ::-1], -1)).mean() < 3


def test_names_with_a_dot_first_are_left_out(images, tmp_path, here):
    (images / '._chelsea.png').write_bytes(b'\0\5\26\7')
    (images / '.hidden.png').write_bytes((images / 'chelsea.png').read_bytes())
    printed = here('data', images, '--out', 'out', '--workers', '1')
    assert '3 images in each of' in printed
    assert '1 files left out, by their endings: notes.txt' in printed


def test_folders_in_the_folder_are_named(images, tmp_path, here):
    """Except for that of the results."""
    (images / '2019').mkdir()
    (images / '2019' / 'a.png').write_bytes((images / 'chelsea.png').read_bytes())
    for _ in range(2):
        printed = here('data', images, '--out', images / 'out', '--workers', '1')
        assert '1 folders left out, with all that is in them: 2019\n' in printed
    assert 'folders left out' not in here('data', images, '--out', images, '--workers', '1')
    (tmp_path / 'years' / '2019').mkdir(parents=True)
    printed = here('data', 'years', '--out', 'o', expect=1)
    assert "'years': no images; " in printed
    assert 'folders in it are not searched' in printed


def test_names_that_basicsr_would_cut_are_named(images, here):
    (images / 'coffee.png').rename(images / 'my coffee.png')
    printed = here('data', images, '--out', 'out', '--workers', '1')
    assert 'Warning: 1 names with blanks, at which BasicSR would cut them' in printed
    assert 'meta_info_file: my coffee.png;' in printed


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere all names are Unicode')
def test_a_name_that_is_not_in_utf_8_is_refused(images, tmp_path, here):
    """As in archives of old Windows programs."""
    os.rename(images / 'coffee.png', os.fsencode(images) + b'/caf\xe9.png')
    printed = here('data', images, '--out', 'out', expect=1)
    assert "names that are not in UTF-8: 'caf\\udce9.png'; rename these images" in printed
    assert not (tmp_path / 'out').exists()


def test_what_is_special_about_pictures_is_said(images, tmp_path, here):
    photograph = Image.fromarray(load('coffee')[:60, :84])
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    photograph.save(images / 'srgb.png', icc_profile=srgb)
    photograph.save(images / 'wide.png', icc_profile=swapped_profile())
    photograph.convert('CMYK').save(images / 'press.jpg')
    photograph.save(images / 'pages.tif', save_all=True, append_images=[photograph] * 2)
    opaque = photograph.copy()
    opaque.putalpha(255)
    opaque.save(images / 'opaque.png')
    photograph.convert('P').save(images / 'palette.png')
    printed = here('data', images, '--out', 'out', '--scale', '2', '--workers', '1')
    assert '9 images in each of' in printed
    assert 'Warning: 1 images with a colour profile other than sRGB; their values were kept' in (
        printed
    )
    assert 'wide.png (sRGB built-in)' in printed
    assert 'Warning: 1 images in CMYK without a usable profile; ' in printed
    assert 'of which the first was taken: pages.tif (3)' in printed
    for name in ('srgb', 'wide', 'opaque'):
        pixels = read(tmp_path / 'out' / 'GTmod2' / f'{name}.png')
        np.testing.assert_array_equal(pixels, np.asarray(photograph)[..., ::-1])


def test_a_jpeg_with_missing_data_is_no_ground_truth(tmp_path, here):
    (tmp_path / 'images').mkdir()
    path = tmp_path / 'images' / 'c.jpg'
    Image.fromarray(load('coffee')[:200, :300]).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:9000] + b'\xff\xd9')
    printed = here('data', 'images', '--out', 'out', '--workers', '1', expect=1)
    assert "c.jpg': cannot be read as an image: it is damaged: data is missing before" in printed


def test_verify_against_published_figures(images, here):
    printed = here('data', images, '--out', 'out', '--workers', '1', '--verify', 'Set5', expect=1)
    assert '--verify Set5: 3 images; expected 5' in printed
    for name in ('a', 'b'):
        cv2.imwrite(str(images / f'{name}.png'), load('brick')[:96, :96])
    printed = here(
        'data',
        images,
        '--out',
        'out',
        '--workers',
        '1',
        '--scale',
        '2',
        '4',
        '--multiple',
        '12',
        '--verify',
        'Set5',
        expect=1,
    )
    assert 'published 33.66 dB  DIFFERS' in printed
    assert 'the images are not those of the test set' in printed


def test_the_figures_are_those_of_this_calls_images(images, here, tmp_path):
    """A folder keeps the images of pictures that were renamed or removed."""
    for name in ('a', 'b'):
        cv2.imwrite(str(images / f'{name}.png'), load('brick')[:96, :96])
    call = ('data', images, '--workers', '1', '--scale', '2', '--verify', 'Set5', '--out')
    here(*call, 'out', expect=1)
    (images / 'a.png').rename(images / 'renamed.png')
    cv2.imwrite(str(images / 'coffee.png'), load('coffee')[200:260, 200:284])
    found, expected = (
        [line for line in here(*call, out, expect=1).splitlines() if ' dB' in line]
        for out in ('out', 'fresh')
    )
    assert (tmp_path / 'out' / 'GTmod2' / 'a.png').is_file()
    assert found == expected


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['nowhere'], "'nowhere': no such folder"),
        (['images', '--scale', '2', '2'], '--scale: 2 2; expected different numbers'),
        (
            ['images', '--multiple', '8'],
            '--multiple: 8; expected a multiple of all of --scale, for example 12',
        ),
        (['images', '--sub-image', '50'], '--sub-image 50 --step 25; expected multiples of 12'),
        (['images', '--sub-image', '24', '--step', '48'], 'a step not larger'),
        (
            ['images', '--sub-image', '24', '--step', '12', '--verify', 'Set5'],
            '--verify: not allowed with --sub-image',
        ),
    ],
)
def test_wrong_arguments(images, here, tmp_path, arguments, text):
    assert text in here('data', *arguments, '--out', 'out', '--workers', '1', expect=1)
    assert not (tmp_path / 'out').exists()


def test_names_that_would_collide(images, here):
    cv2.imwrite(str(images / 'coffee.jpg'), load('coffee')[:40, :40])
    assert 'several files are named coffee' in here(
        'data', images, '--out', 'out', '--workers', '1', expect=1
    )
    (images / 'coffee.jpg').rename(images / 'a.v2.png')
    assert "'a.v2' has a dot in its name" in here(
        'data', images, '--out', 'out', '--workers', '1', expect=1
    )


def test_folders_that_were_made_otherwise(images, here):
    here(
        'data',
        images,
        '--out',
        'out',
        '--workers',
        '1',
        '--scale',
        '2',
        '--sub-image',
        '24',
        '--step',
        '24',
    )
    printed = here(
        'data',
        images,
        '--out',
        'out',
        '--workers',
        '1',
        '--scale',
        '2',
        '--sub-image',
        '32',
        '--step',
        '32',
        expect=1,
    )
    assert (
        "'out' was created with other settings (sub_image: 24 before, 32 now; step: 24 before, "
        '32 now)' in printed
    )


@pytest.mark.parametrize('left', [False, True])
def test_a_killed_call_leaves_images_of_its_own_settings(images, tmp_path, here, left):
    """Its pictures are not recorded yet; those of another folder would be mixed with them."""
    shutil.copytree(images, tmp_path / 'others')
    here('data', images, '--out', 'out', '--workers', '1', '--scale', '2')
    record = tmp_path / 'out' / 'mtkd_data.json'
    record.write_text(json.dumps({**json.loads(record.read_text()), 'sources': {}}))
    if not left:
        for folder in ('GTmod2', 'LRbicx2'):
            shutil.rmtree(tmp_path / 'out' / folder)
    again = ('data', 'others', '--out', 'out', '--workers', '1', '--scale', '2')
    printed = here(*again, expect=int(left))
    assert ("'out' was created with other settings (folder: " in printed) == left


PHOTOGRAPHS = ('chelsea', 'coffee', 'astronaut', 'rocket', 'retina', 'camera', 'brick', 'moon')


def by_torch(image, scale):
    """What `mtkd data` wrote when it reduced images by products of matrices."""
    x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    return (
        (resize_bicubic(x, 1 / scale)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    )


def halfway(image, scale):
    """Where the result lies halfway between two levels, up to rounding: at ×2 and ×4 all weights
    are multiples of 1/4096.
    """
    x = image.astype(np.int64)
    for _ in range(2):
        weights, sources = weights_and_sources(len(x), math.ceil(len(x) / scale), 1 / scale)
        whole = (weights.astype(np.float64) * 4096).round().astype(np.int64)
        assert np.abs(whole / 4096 - weights).max() < 1e-9
        x = np.einsum('ot,ot...->o...', whole, x[sources]).swapaxes(0, 1)
    return np.abs(x % 4096**2 - 4096**2 // 2) < 4096**2 * 1e-4


@pytest.mark.parametrize('name', PHOTOGRAPHS)
@pytest.mark.parametrize('scale', [2, 3, 4])
@pytest.mark.parametrize('cut', [12, 1])
def test_reduced_photographs_are_those_of_torch_and_basicsr(name, scale, cut):
    image = load(name)[:601, :641]
    h, w = (n // cut * cut for n in image.shape[:2])
    image = image[:h, :w]
    found = resize_pixels(image, 1 / scale)
    before = by_torch(image, scale)
    basicsr = (np.clip(imresize(image.astype(np.float64) / 255, 1 / scale), 0, 1) * 255).round()
    assert found.shape == before.shape == basicsr.shape
    assert found.dtype == np.uint8
    differs = found != before
    # A value halfway between two levels goes where the last bit sends it, and that depends on the
    # order of a sum: in torch on how the processor's matrix product cuts it into blocks.
    if scale == 3:
        assert not differs.any()
        assert np.array_equal(found, basicsr)
    else:
        ties = halfway(image, scale)
        assert not (differs & ~ties).any()
        assert not ((found != basicsr) & ~ties).any()
        assert differs.sum() <= 3


@pytest.mark.parametrize('shape', [(97, 61, 3), (60, 84, 1), (31, 33), (12, 5, 4), (3, 2, 3)])
@pytest.mark.parametrize('scale', [1 / 2, 1 / 3, 1 / 4, 2, 3, 4, 1 / 2.5, 1.7])
def test_arrays_are_resized_as_by_basicsr(shape, scale):
    image = load('coffee')[: shape[0], : shape[1]].astype(np.float32) / 255
    image = np.concatenate([image, image], 2)[..., : shape[2]] if len(shape) == 3 else image[..., 0]
    found = resize_bicubic_array(image, scale)
    assert found.dtype == np.float32
    assert found.flags['C_CONTIGUOUS']
    if min(shape[:2]) < 5 / min(scale, 1):  # BasicSR mirrors no further than an image is large
        x = torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1)[None]
        expected = resize_bicubic(x, scale)[0].permute(1, 2, 0).numpy().reshape(found.shape)
    else:
        expected = imresize(image, scale)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-6


@pytest.mark.parametrize(
    'names', [('chelsea', 'coffee'), ('camera', 'brick'), ('astronaut', 'rocket')]
)
@pytest.mark.parametrize('border', [0, 2, 4])
def test_psnr_is_basicsrs(names, border):
    a, b = (load(name)[:299, :401, ::-1] for name in names)
    near = np.clip(a.astype(np.int64) + (b % 3) - 1, 0, 255).astype(np.uint8)
    for other in (b, near):
        expected = calculate_psnr(a, other, crop_border=border, test_y_channel=True)
        assert psnr_y(a, other, border) == pytest.approx(expected, abs=1e-4)
    assert psnr_y(a, a, border) == float('inf')
