"""``mtkd upscale``: files and folders, and the names of results."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny, write_weights
from PIL import Image

from mtkd_basicsr import commands
from mtkd_basicsr.commands.upscale.names import Source, name_results
from mtkd_basicsr.data.sample_photographs import load

PICTURE = Image.fromarray(np.ascontiguousarray(load('chelsea')[100:112, 120:136]))


@pytest.fixture
def upscaled(here, tmp_path):
    """Upscales twofold with a small EDSR in ``tmp_path``; returns what was printed."""
    network = tiny('EDSR', 2)
    weights = write_weights(
        tmp_path / 'edsr.pth', network, 3, mtkd={'network': network, 'scale': 2}
    )

    def run(*arguments, expect=0):
        return here('upscale', *arguments, '--weights', weights, expect=expect)

    return run


def save(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        format = None if path.suffix in ('.png', '.jpg', '.webp', '.JPG') else 'PNG'
        PICTURE.save(path, format)


def below(folder):
    """The files below a folder, by their path in it."""
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob('*') if p.is_file())


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_folder_keeps_its_structure_and_what_is_no_picture_is_named(upscaled):
    save('in/a.png', 'in/x/b.jpg', 'in/x/y/c.png', 'in/x/without_ending', 'in/.hidden/d.png')
    Path('in/._a.png').write_bytes(b'\0\5\26\7')
    Path('in/notes.txt').write_text('notes')
    printed = upscaled('in', '--out', 'o')
    assert "'in': left out, because they are no pictures: in/notes.txt\n" in printed
    assert below('o') == ['a_x2.png', 'x/b_x2.png', 'x/without_ending_x2.png', 'x/y/c_x2.png']


def test_links_to_folders_are_named_and_a_link_to_itself_stops_nothing(upscaled):
    save('in/a.png', 'other/b.png')
    Path('in/linked').symlink_to(Path('other').resolve())
    Path('in/loop.png').symlink_to('loop.png')
    printed = upscaled('in', '--out', 'o', expect=1)
    assert "'in/linked': left out, because it is a link to a folder" in printed
    assert "'in/loop.png'" in printed
    assert below('o') == ['a_x2.png']
    assert upscaled('in/linked', '--out', 'p')
    assert below('p') == ['b_x2.png']


def test_several_folders_keep_their_names(upscaled):
    save('one/a.png', 'two/a.png', 'b.png')
    upscaled('one', 'two/', 'b.png', '--out', 'o')
    assert below('o') == ['b_x2.png', 'one/a_x2.png', 'two/a_x2.png']


def test_results_inside_of_the_folder_are_not_upscaled_again(upscaled):
    save('a.png')
    upscaled('.')
    assert below('upscaled') == ['a_x2.png']
    printed = upscaled('.', '--overwrite')
    assert "'upscaled': left out, because results go there" in printed
    assert below('upscaled') == ['a_x2.png']


def test_a_broken_picture_in_a_folder_is_named_and_the_others_done(upscaled):
    save('in/a.png', 'in/c.png')
    Path('in/b.png').write_bytes(Path('in/a.png').read_bytes()[:200])
    Path('in/d.jpg').write_text('no picture')
    printed = upscaled('in', '--out', 'o', expect=1)
    assert "2 of 4 images cannot be upscaled:\n'in/b.png': cannot be read as an image: it is" in (
        printed
    )
    assert "'in/d.jpg': cannot be read as an image" in printed
    assert below('o') == ['a_x2.png', 'c_x2.png']


@pytest.mark.parametrize(
    ('pictures', 'expected'),
    [
        (['photo.jpg', 'photo.webp'], ['photo_jpg_x2.png', 'photo_webp_x2.png']),
        (
            ['photo.jpg', 'photo.png', 'photo.webp', 'other.png'],
            ['other_x2.png', 'photo_jpg_x2.png', 'photo_png_x2.png', 'photo_webp_x2.png'],
        ),
        (['a/photo.jpg', 'photo.png'], ['photo_jpg_x2.png', 'photo_png_x2.png']),
        (['Photo.png', 'photo.jpg'], ['Photo_png_x2.png', 'photo_jpg_x2.png']),
        (['photo.png', 'photo.png', './photo.png'], ['photo_x2.png']),
    ],
)
def test_clashes_of_names_are_resolved_by_the_ending(upscaled, pictures, expected):
    save(*pictures)
    upscaled(*pictures, '--out', 'o')
    assert below('o') == expected


def test_a_name_that_another_result_has_gets_a_number(upscaled):
    save('in/photo.jpg', 'in/photo.webp', 'in/photo_jpg.png')
    upscaled('in', '--out', 'o')
    expected = ['photo_jpg_2_x2.png', 'photo_jpg_x2.png', 'photo_webp_x2.png']
    assert below('o') == expected
    Path('o/photo_jpg_2_x2.png').unlink()
    printed = upscaled('in', '--out', 'o', '--skip-existing')
    assert '2 of 3 results exist and are skipped' in printed
    assert below('o') == expected
    results = commands.upscale(['in'], weights='edsr.pth', out='o', skip_existing=True)
    assert [path.name for path in results] == [
        'photo_jpg_2_x2.png',  # of photo.jpg
        'photo_webp_x2.png',
        'photo_jpg_x2.png',  # of photo_jpg.png, whose name no other picture has
    ]


# Stems and endings whose results clash in many ways.
STEMS = ['p', 'P', 'p_jpg', 'p_JPG', 'p_jpg_2', 'p_png', 'q']
FILES = [f'{stem}{ending}' for stem in STEMS for ending in ('.jpg', '.JPG', '.png', '')]


def test_names_are_never_equal_and_no_clash_changes_another_name():
    choose = random.Random(0)
    for _ in range(300):
        files = choose.sample(FILES, choose.randint(1, 12))
        sources = [Source(Path('in', file), Path()) for file in files]
        names = dict(zip(files, name_results(sources, Path('o'), 2, 'png'), strict=True))
        assert len({str(name).casefold() for name in names.values()}) == len(files), files
        for file, name in names.items():
            equal = [other for other in files if _stem(other) == _stem(file)]
            if len(equal) == 1:
                assert name == Path('o', f'{Path(file).stem}_x2.png'), files
        choose.shuffle(sources)
        again = name_results(sources, Path('o'), 2, 'png')
        assert again == [names[source.path.name] for source in sources], files


def _stem(file):
    return Path(file).stem.casefold()


def test_names_stay_where_results_lie_beside_their_originals(upscaled):
    """Results of results would have names that clash with those of other pictures."""
    save('in/a.png', 'in/a_x2.jpg', 'in/b.jpg', 'in/b.webp', 'in/b_jpg.png')
    upscaled('in', '--out', 'in', '--skip-existing')
    after = below('in')
    assert {'a_x2.png', 'a_x2_x2.png'} < set(after)
    assert len(after) == 10
    printed = upscaled('in', '--out', 'in', '--skip-existing')
    assert '5 pictures are results of others, and are left out' in printed
    assert '5 of 5 results exist and are skipped' in printed
    assert below('in') == after


def test_clashes_that_remain_are_all_listed_before_anything_is_done(upscaled):
    save('a/p.png', 'b/p.png', 'a/q.jpg', 'b/q.jpg', 'c/q.jpg', 'r.png')
    paths = ['a/p.png', 'b/p.png', 'a/q.jpg', 'b/q.jpg', 'c/q.jpg', 'r.png']
    printed = upscaled(*paths, '--out', 'o', expect=1)
    assert (
        "several pictures have one result: 'o/p_png_x2.png' of a/p.png, b/p.png, "
        "'o/q_jpg_x2.png' of a/q.jpg, b/q.jpg, c/q.jpg; name a folder that holds them all, whose "
        'structure is kept, or use several folders with --out'
    ) in printed
    assert not Path('o').exists()


def test_existing_results_are_all_named_or_skipped_or_replaced(upscaled):
    save('in/a.png', 'in/b.png', 'in/x/c.png')
    upscaled('in', '--out', 'o')
    for name in ('o/a_x2.png', 'o/x/c_x2.png'):
        Path(name).write_bytes(b'precious')
    Path('o/b_x2.png').unlink()
    printed = upscaled('in', '--out', 'o', expect=1)
    assert (
        '--out: o/a_x2.png, o/x/c_x2.png already exist; use another folder, --skip-existing or '
        '--overwrite'
    ) in printed
    printed = upscaled('in', '--out', 'o', '--skip-existing')
    assert '2 of 3 results exist and are skipped' in printed
    assert Path('o/a_x2.png').read_bytes() == b'precious'
    assert below('o') == ['a_x2.png', 'b_x2.png', 'x/c_x2.png']
    upscaled('in', '--out', 'o', '--overwrite')
    with Image.open('o/a_x2.png') as image:
        assert image.size == (32, 24)


@pytest.fixture
def _impatient():
    """Let a test that waits fail after 20 seconds."""

    def stop(number, frame):
        pytest.fail('it waits for a pipe')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='needs named pipes')
@pytest.mark.usefixtures('_impatient')
@pytest.mark.parametrize('name', ['pipe', 'pipe.png'])
def test_pipes_are_not_opened(upscaled, name):
    save('in/a.png', 'other/b.png')
    os.mkfifo(f'in/{name}')
    Path('in/link.png').symlink_to(name)
    Path('in/picture').symlink_to('../other/b.png')
    printed = upscaled('in', '--out', 'o')
    assert f'left out, because they are no pictures: in/link.png, in/{name}\n' in printed
    assert below('o') == ['a_x2.png', 'picture_x2.png']
    for each in (f'in/{name}', 'in/link.png'):
        printed = upscaled('in/a.png', each, '--out', 'p', expect=1)
        assert f"IMAGE: '{each}' is no regular file; expected an image or a folder" in printed
    assert not Path('p').exists()


@pytest.mark.parametrize('stem', ['日' * 80, 'a' * 248])
def test_names_can_be_as_long_as_the_file_system_allows(upscaled, stem):
    save(f'{stem}.png')
    upscaled(f'{stem}.png', '--out', 'o')
    assert below('o') == [f'{stem}_x2.png']


def test_a_name_that_is_too_long_is_said(upscaled):
    stem = '日' * 83
    save('a.png', f'{stem}.png')
    printed = upscaled('a.png', f'{stem}.png', '--out', 'o', expect=1)
    text = f"'o/{stem}_x2.png': cannot be written, 32×24 pixels: File name too long"
    assert printed.count(text) == 1
    assert below('o') == ['a_x2.png']
    assert f"'{stem * 2}.png': cannot be read: File name too long" in upscaled(
        f'{stem * 2}.png', '--out', 'o', expect=1
    )


@pytest.mark.parametrize('extra', [[], ['--overwrite']])
def test_a_result_never_replaces_an_original(upscaled, extra):
    save('a.png', 'a_x2.png')
    before = Path('a_x2.png').read_bytes()
    text = '--out: a_x2.png: also among the pictures to upscale; use another folder'
    assert text in upscaled('a.png', 'a_x2.png', '--out', '.', *extra, expect=1)
    assert text in upscaled('a_x2.png', '--out', 'a_x2.png', *extra, expect=1)
    assert Path('a_x2.png').read_bytes() == before


@pytest.mark.parametrize(
    ('out', 'format', 'mode'),
    [
        ('new.png', 'PNG', 'RGB'),
        ('sub/new.JPG', 'JPEG', 'RGB'),
        ('new.jpeg', 'JPEG', 'RGB'),
        ('new.webp', 'WEBP', 'RGB'),
    ],
)
def test_one_picture_can_have_a_file_as_result(upscaled, out, format, mode):
    save('a.png')
    printed = upscaled('a.png', '--out', out)
    assert f'{out}: 32×24' in printed
    with Image.open(out) as image:
        assert (image.format, image.mode, image.size) == (format, mode, (32, 24))
    assert 'already exists' in upscaled('a.png', '--out', out, expect=1)


def test_out_is_a_folder_where_it_says_so_or_is_one(upscaled):
    save('a.png')
    upscaled('a.png', '--out', 'new.png/')
    upscaled('a.png', '--out', 'new.png', '--overwrite')
    upscaled('a.png', '--out', 'v1.5')
    assert below('new.png') == below('v1.5') == ['a_x2.png']


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['a.png', 'b.png', '--out', 'n.png'], "--out: 'n.png' is one file, for 2 images"),
        (['in', '--out', 'n.png'], "--out: 'n.png' is one file, for 1 images; name a folder"),
        (['a.png', '--out', 'n.tif'], "--out: 'n.tif'; expected .png, .jpg, .jpeg, .webp, or a"),
        (
            ['a.png', '--out', 'n.png', '--format', 'jpg'],
            "--out: 'n.png'; expected .jpg, .jpeg, or a folder",
        ),
        (['empty'], "'empty': no pictures in this folder"),
    ],
)
def test_what_out_cannot_be_is_refused(upscaled, tmp_path, arguments, text):
    save('a.png', 'b.png', 'in/c.png')
    Path('empty').mkdir()
    assert text in upscaled(*arguments, expect=1)
    assert not list(tmp_path.glob('n.*'))
    assert not Path('upscaled').exists()


def test_results_beside_their_originals_are_not_upscaled_again(upscaled):
    save('in/a.png', 'in/below/b.jpg')
    upscaled('in', '--out', 'in', '--skip-existing')
    results = below('in')
    assert len(results) == 4
    printed = upscaled('in', '--out', 'in', '--skip-existing')
    assert '2 pictures are results of others, and are left out' in printed
    assert '2 of 2 results exist and are skipped' in printed
    save('in/c.png')
    upscaled('in', '--out', 'in', '--skip-existing')
    assert below('in') == sorted([*results, 'c.png', 'c_x2.png'])
    # Who names such a file means it.
    upscaled('in/a.png', 'in/a_x2.png', '--out', 'in', '--skip-existing')
    assert 'a_x2_x2.png' in below('in')


def test_a_format_that_is_too_small_is_named(upscaled):
    Image.new('RGB', (8200, 2)).save('wide.png')
    save('a.png')
    printed = upscaled('wide.png', 'a.png', '--format', 'webp', expect=1)
    assert "'upscaled/wide_x2.webp': cannot be written, 16400×4 pixels: " in printed
    assert below('upscaled') == ['a_x2.webp']


def test_the_function_returns_all_results_in_order(upscaled, tmp_path):
    save('in/b.png', 'in/a.jpg', 'c.png')
    upscaled('in', '--out', 'o')
    results = commands.upscale(
        ['c.png', 'in', 'c.png'], weights='edsr.pth', out='o', skip_existing=True, format='png'
    )
    assert results == [Path('o/c_x2.png'), Path('o/a_x2.png'), Path('o/b_x2.png')]


def test_a_write_that_fails_leaves_nothing(upscaled, monkeypatch):
    save('a.png', 'b.png')

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        printed = upscaled('a.png', 'b.png', expect=1)
    assert "'upscaled/a_x2.png': cannot be written, 32×24 pixels: No space left on devic" in printed
    assert '2 of 2 images' in printed
    assert below('upscaled') == []


def test_the_help_names_the_networks_of_the_package():
    command = [sys.executable, '-m', 'mtkd_basicsr', 'upscale', '--help']
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ('reference:edsr_x4', 'reference:rcan_x4', 'reference:student_edsr_x4'):
        assert name in text.split('options:')[1]
    assert '[--weights FILE]' in text
    assert 'default: the best student of the package' in ' '.join(text.split())
