"""``mtkd data`` makes the images of a changed picture anew, and loses nothing that a user made."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtkd_basicsr.commands._lock import locked
from mtkd_basicsr.data.sample_photographs import load


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / 'src'
    folder.mkdir()
    for name in ('coffee', 'chelsea'):
        cv2.imwrite(str(folder / f'{name}.png'), load(name)[:72, :96, ::-1])
    return folder


@pytest.fixture
def data(here, sources):
    """``mtkd data src --out out --scale 2`` with more arguments."""

    def run(*arguments, expect=0):
        chosen = arguments or ('--scale', '2')
        return here('data', sources, '--out', 'out', *chosen, '--workers', '1', expect=expect)

    return run


OUT = Path('out')  # the tests run in its parent


def read(path):
    return cv2.imread(str(path))


def times():
    return {p: p.stat().st_mtime_ns for p in OUT.rglob('*.png')}


def inverted(path):
    cv2.imwrite(str(path), 255 - read(path))


def inverted_with_its_time(path):
    before = path.stat()
    inverted(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def one_pixel(path):
    image = read(path)
    image[3, 5, 0] ^= 1
    cv2.imwrite(str(path), image)


def other_format(path):
    cv2.imwrite(str(path.with_suffix('.bmp')), 255 - read(path))
    path.unlink()


def exchanged(path):
    other = path.with_name('chelsea.png')
    path.rename(path.with_name('x'))
    other.rename(path)
    path.with_name('x').rename(other)


def smaller(path):
    cv2.imwrite(str(path), 255 - read(path)[:48, :60])


@pytest.mark.parametrize(
    'change', [inverted, inverted_with_its_time, one_pixel, other_format, exchanged, smaller]
)
@pytest.mark.parametrize('parts', [(), ('--sub-image', '24', '--step', '24')])
def test_a_changed_picture_is_made_anew(data, here, sources, change, parts):
    data('--scale', '2', *parts)
    before = times()
    change(sources / 'coffee.png')
    data('--scale', '2', *parts)
    here('data', sources, '--out', 'fresh', '--scale', '2', *parts, '--workers', '1')
    fresh = sorted(p.relative_to('fresh') for p in Path('fresh').rglob('*.png'))
    assert sorted(p.relative_to(OUT) for p in times()) == fresh
    for name in fresh:
        assert np.array_equal(read(OUT / name), read(Path('fresh') / name)), name
    assert (OUT / 'meta_info.txt').read_text() == Path('fresh/meta_info.txt').read_text()
    if change is not exchanged:
        assert all(t == before[p] for p, t in times().items() if p.name.startswith('chelsea'))


@pytest.mark.parametrize('change', [lambda path: None, os.utime], ids=['nothing', 'touched'])
def test_an_unchanged_picture_is_not_decoded_again(data, sources, monkeypatch, change):
    data()
    before = times()
    change(sources / 'coffee.png')
    # Commands are functions that have the names of their folders.
    monkeypatch.setattr(sys.modules['mtkd_basicsr.commands.prepare_data.run'], 'read_image', None)
    assert '2 images in each of' in data()
    assert times() == before


def test_scales_that_are_not_asked_for_now_are_not_left_behind(data, sources):
    data('--scale', '2', '4')
    inverted(sources / 'coffee.png')
    data('--scale', '4', '--multiple', '4')
    low = read(OUT / 'LRbicx2' / 'coffee.png').astype(int)
    assert abs(low.mean() - read(sources / 'coffee.png').mean()) < 2


@pytest.mark.parametrize('file', ['GTmod2/coffee.png', 'LRbicx2/coffee.png'])
def test_what_a_user_has_edited_is_kept_and_named(data, sources, file):
    data()
    image = read(OUT / file)
    image[10:20, 10:20] = (0, 0, 255)  # what somebody painted
    cv2.imwrite(str(OUT / file), image)
    edited = (OUT / file).read_bytes()
    assert '2 images in each of' in data(), 'the picture has not changed'
    inverted(sources / 'coffee.png')
    before = times()
    printed = data(expect=1)
    assert f"coffee.png': there is another image in '{OUT / file}'" in printed
    assert 'move or delete it' in printed
    assert times() == before
    assert (OUT / file).read_bytes() == edited
    (OUT / file).unlink()
    data()
    assert np.array_equal(read(OUT / 'GTmod2' / 'coffee.png'), read(sources / 'coffee.png'))


def test_an_image_of_a_part_that_the_picture_no_longer_has(data, sources):
    parts = ('--scale', '2', '--sub-image', '24', '--step', '24')
    data(*parts)
    last = OUT / 'GTmod2_sub' / 'coffee_s012.png'
    assert last.is_file()
    inverted(last)
    smaller(sources / 'coffee.png')
    assert 'coffee_s012.png' in data(*parts, expect=1)
    assert last.is_file()
    last.unlink()
    data(*parts)
    assert len(list((OUT / 'GTmod2_sub').glob('coffee_s*.png'))) == 6


def test_images_of_a_removed_picture_are_kept_and_reported(data, sources):
    data()
    (sources / 'coffee.png').unlink()
    for _ in range(2):
        printed = data()
        assert 'images of 1 pictures that are no longer in' in printed
        assert '(coffee)' in printed
        assert (OUT / 'GTmod2' / 'coffee.png').is_file()
        assert 'coffee' not in (OUT / 'meta_info.txt').read_text()
    for folder in ('GTmod2', 'LRbicx2'):
        (OUT / folder / 'coffee.png').unlink()
    assert 'no longer' not in data()


def forget_pictures():
    record = json.loads((OUT / 'mtkd_data.json').read_text())
    del record['sources']
    (OUT / 'mtkd_data.json').write_text(json.dumps(record))


def test_folders_of_version_0_1_0(data, sources):
    data()
    forget_pictures()
    before = times()
    data()
    assert times() == before
    forget_pictures()
    inverted(sources / 'coffee.png')
    printed = data(expect=1)
    assert f"coffee.png': there is another image in '{OUT}/GTmod2/coffee.png'" in printed
    assert times() == before
    for folder in ('GTmod2', 'LRbicx2'):
        (OUT / folder / 'coffee.png').unlink()
    data()
    assert np.array_equal(read(OUT / 'GTmod2' / 'coffee.png'), read(sources / 'coffee.png'))


def test_a_call_that_was_killed_while_it_made_a_picture_anew(data, sources):
    data()
    record = (OUT / 'mtkd_data.json').read_bytes()
    inverted(sources / 'coffee.png')
    data()
    # The new ground truth was written, and neither the reduced image nor the record.
    (OUT / 'mtkd_data.json').write_bytes(record)
    (OUT / 'LRbicx2' / 'coffee.png').unlink()
    data()
    low = read(OUT / 'LRbicx2' / 'coffee.png').astype(int)
    assert abs(low.mean() - read(sources / 'coffee.png').mean()) < 2


@pytest.mark.parametrize('content', [[], {'coffee': 5}, {'coffee': {'size': 1}}, None])
def test_damaged_records_are_made_anew(data, content):
    data()
    record = json.loads((OUT / 'mtkd_data.json').read_text())
    (OUT / 'mtkd_data.json').write_text(json.dumps({**record, 'sources': content}))
    before = times()
    data()
    assert times() == before
    assert set(json.loads((OUT / 'mtkd_data.json').read_text())['sources']) == {
        'chelsea',
        'coffee',
    }


def test_a_test_set_is_counted_before_anything_is_made(data):
    assert '--verify Set5: 2 images; expected 5' in data('--verify', 'Set5', expect=1)
    assert not OUT.exists()


def recorded():
    """The pictures in the record, with the files that were made of each."""
    sources = json.loads((OUT / 'mtkd_data.json').read_text())['sources']
    return {stem: sorted(source['results']) for stem, source in sources.items()}


def forget_folder(name):
    """Leaves the record as a call leaves it that was killed while it wrote into a folder."""
    record = json.loads((OUT / 'mtkd_data.json').read_text())
    for source in record['sources'].values():
        files = source['results'].items()
        source['results'] = {file: crc for file, crc in files if not file.startswith(f'{name}/')}
    (OUT / 'mtkd_data.json').write_text(json.dumps(record))


@pytest.mark.parametrize('parts', [(), ('--sub-image', '24', '--step', '24')])
def test_scales_of_a_killed_call_are_not_left_behind(data, here, sources, parts):
    both = ('--scale', '2', '3', '--multiple', '6', *parts)
    data(*both)
    low = OUT / ('LRbicx3_sub' if parts else 'LRbicx3')
    forget_folder(low.name)
    inverted(sources / 'coffee.png')
    before = times()
    printed = data('--scale', '2', '--multiple', '6', *parts, expect=1)
    first = low / ('coffee_s001.png' if parts else 'coffee.png')
    assert f"coffee.png': there is another image in '{first}'" in printed
    assert times() == before
    for file in low.glob('coffee*'):
        file.unlink()
    data('--scale', '2', '--multiple', '6', *parts)
    data(*both)
    here('data', sources, '--out', 'fresh', *both, '--workers', '1')
    assert len(times()) == len(before)
    for file in times():
        assert np.array_equal(read(file), read(Path('fresh') / file.relative_to(OUT))), file


def test_a_part_of_a_killed_call_that_the_picture_no_longer_has(data, sources):
    parts = ('--multiple', '6', '--sub-image', '24', '--step', '24', '--scale', '2')
    data(*parts, '3')
    for folder in ('GTmod6_sub', 'LRbicx2_sub', 'LRbicx3_sub'):
        for file in (OUT / folder).glob('coffee*'):
            if (folder, file.name) != ('LRbicx3_sub', 'coffee_s012.png'):
                file.unlink()
    forget_folder('LRbicx3_sub')
    smaller(sources / 'coffee.png')
    assert "image in 'out/LRbicx3_sub/coffee_s012.png', which" in data(*parts, expect=1)
    (OUT / 'LRbicx3_sub' / 'coffee_s012.png').unlink()
    data(*parts)


@pytest.mark.parametrize('older', [False, True])
def test_a_reduced_image_that_is_not_recorded_is_compared(data, sources, older):
    """Whoever wrote it, it must be of the picture as it is now; it is not written anew."""
    arguments = ('--scale', '2', '3', '--multiple', '6')
    data(*arguments)
    forget_folder('LRbicx3')
    file = OUT / 'LRbicx3' / 'coffee.png'
    if older:
        inverted(file)
    before = times()
    printed = data(*arguments, expect=int(older))
    assert times() == before
    assert (f"there is another image in '{file}', which this command did not write" in printed) == (
        older
    )
    assert ('LRbicx3/coffee.png' in recorded()['coffee']) != older
    assert 'LRbicx3/chelsea.png' in recorded()['chelsea']
    file.unlink()
    data(*arguments)
    low = read(file).astype(int)
    assert abs(low.mean() - read(sources / 'coffee.png').mean()) < 2


def test_folders_that_are_none_of_this_command_are_left_alone(data, sources):
    data()
    names = ('LRbicx3', 'LRbicx2_sub', 'LRbicx1', 'LRbicx', 'GTmod12', 'HR')
    for name in names:
        (OUT / name).mkdir()
        inverted_copy = 255 - read(sources / 'coffee.png')
        cv2.imwrite(str(OUT / name / 'coffee.png'), inverted_copy)
    before = {name: (OUT / name / 'coffee.png').read_bytes() for name in names}
    one_pixel(sources / 'coffee.png')
    data()
    assert {name: (OUT / name / 'coffee.png').read_bytes() for name in names} == before
    folders = {file.split('/')[0] for file in recorded()['coffee']}
    assert not folders & set(names)
    assert folders == {'GTmod2', 'LRbicx2'}


@pytest.mark.skipif(os.name == 'nt', reason='there are no such locks')
@pytest.mark.parametrize('more', [(), ('--validation', '1')])
def test_two_calls_do_not_write_into_one_folder(data, more):
    more = ('--multiple', '6', *more)
    data('--scale', '2', *more)

    def files():
        return {p: p.stat().st_mtime_ns for p in OUT.rglob('[!.]*') if p.is_file()}

    before = files()
    with locked(OUT / '.mtkd_data.lock', ''):
        printed = data('--scale', '2', '3', *more, expect=1)
    assert "--out: another process is writing to 'out'; it has locked out/.mtkd_data.lock" in (
        printed
    )
    assert files() == before
    data('--scale', '2', *more)


def test_pictures_are_recorded_before_a_call_ends(data, monkeypatch):
    """A call that is killed loses what it has not recorded."""
    run = import_module('mtkd_basicsr.commands.prepare_data.run')
    record = import_module('mtkd_basicsr.commands.prepare_data.record')
    process_image = run.process_image
    found = {}

    def looking(task):
        found[task.path.stem] = set(recorded())
        return process_image(task)

    monkeypatch.setattr(run, 'process_image', looking)
    monkeypatch.setattr(record, '_SECONDS', 0)
    monkeypatch.setattr(record, '_TIMES', 0)
    data()
    assert found == {'chelsea': set(), 'coffee': {'chelsea'}}


def test_records_are_not_saved_all_the_time(data, monkeypatch):
    record = import_module('mtkd_basicsr.commands.prepare_data.record')
    saved = []
    save = record.Records.save
    monkeypatch.setattr(record.Records, 'save', lambda self: saved.append(save(self)))
    data()
    assert len(saved) == 2, 'at the beginning and at the end'


@pytest.mark.parametrize('workers', ['1', '2'])
def test_a_call_that_is_killed_between_two_files_of_a_picture(
    data, here, sources, tmp_path, workers
):
    """Whoever takes the old picture back then would have the ground truth of the other one."""
    data()
    before = (sources / 'coffee.png').read_bytes()
    good = {path: path.read_bytes() for path in OUT.rglob('coffee.png')}
    assert len(good) == 2
    inverted(sources / 'coffee.png')
    script = tmp_path / 'killed.py'
    script.write_text(
        'import os, signal, sys\n'
        'from mtkd_basicsr.commands import prepare_data\n'
        'from mtkd_basicsr.commands.prepare_data import process\n'
        'write = process._write\n'
        'def killed(path, image):\n'
        '    if "LRbicx2" in str(path) and path.name == "coffee.png":\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        '    return write(path, image)\n'
        'process._write = killed\n'
        'prepare_data("src", "out", scales=[2], workers=1)\n'
    )
    assert subprocess.run([sys.executable, script], cwd=tmp_path).returncode < 0
    (sources / 'coffee.png').write_bytes(before)
    arguments = ('data', sources, '--out', 'out', '--scale', '2', '--workers', workers)
    printed = here(*arguments, expect=1)
    truth = next(path for path in good if path.parent.name.startswith('GT'))
    assert f"another image in '{truth}', which this command did not write" in printed
    assert 'or did not record before it was killed' in printed
    truth.unlink()
    here(*arguments)
    assert {path: path.read_bytes() for path in good} == good


def test_a_picture_that_was_only_touched_is_not_made_anew(data, sources):
    data()
    before = times()
    record = (OUT / 'mtkd_data.json').read_text()
    (sources / 'coffee.png').touch()
    data()
    assert times() == before
    after = json.loads((OUT / 'mtkd_data.json').read_text())['sources']['coffee']
    known = json.loads(record)['sources']['coffee']
    assert (after['content'], after['results']) == (known['content'], known['results'])
    # Nor is what is known forgotten where the picture cannot be read now.
    content = (sources / 'coffee.png').read_bytes()
    (sources / 'coffee.png').write_bytes(content[:100])
    data(expect=1)
    assert json.loads((OUT / 'mtkd_data.json').read_text())['sources']['coffee'] == after
    (sources / 'coffee.png').write_bytes(content)
    data()
    assert times() == before


def test_a_name_too_long_for_its_parts_is_that_of_one_picture(data, sources):
    name = 'n' * 250
    (sources / 'coffee.png').rename(sources / f'{name}.png')
    printed = data('--scale', '2', '--sub-image', '48', '--step', '24', expect=1)
    assert f"{name}.png': its name is too long for that of '" in printed
    assert '1 of 2 images cannot be used' in printed
    assert list(OUT.glob('GT*/chelsea_s001.png'))
