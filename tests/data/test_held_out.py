"""Images that ``mtkd data`` keeps apart for validation are never trained on."""

import cv2
import pytest

from mtkd_basicsr.data.sample_photographs import load


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(6):
        image = load('coffee')[20 * i : 20 * i + 24, :36, ::-1]
        cv2.imwrite(str(folder / f'p{i}.png'), image)
    return folder


@pytest.fixture
def data(here, photos):
    def run(count=3, expect=0):
        return here(
            *('data', photos, '--out', 'o', '--scale', '2', '--workers', '1'),
            *('--validation', count),
            expect=expect,
        )

    return run


def stems(folder):
    return {path.stem for path in folder.iterdir()}


@pytest.fixture
def record(data, tmp_path):
    """``validation.txt`` of a first call, which kept p1, p3 and p5 apart."""
    data()
    path = tmp_path / 'o' / 'validation.txt'
    assert path.read_bytes() == b'p1.png\np3.png\np5.png\n'
    return path


def assert_apart(out, apart=('p1', 'p3', 'p5')):
    for folder in ('GTmod2', 'LRbicx2'):
        assert stems(out / 'val' / folder) == set(apart)
        assert stems(out / 'train' / folder).isdisjoint(apart)


def test_an_image_that_is_replaced_by_another_format(data, photos, record):
    cv2.imwrite(str(photos / 'p1.bmp'), 255 - cv2.imread(str(photos / 'p1.png')))
    (photos / 'p1.png').unlink()
    assert 'not there any more' not in data()
    assert_apart(record.parent)
    found = cv2.imread(str(record.parent / 'val' / 'GTmod2' / 'p1.png'))
    assert (found == cv2.imread(str(photos / 'p1.bmp'))).all()
    assert 'p1' not in (record.parent / 'train' / 'meta_info.txt').read_text()
    assert record.read_bytes() == b'p1.png\np3.png\np5.png\n'


@pytest.mark.parametrize(
    'text',
    [
        '\ufeffp1.png\np3.png\np5.png\n',
        'p1.png\np3.png\np5.png',
        '\ufeffp1.png\r\np3.png\r\np5.png\r\n',
        'p1.png\n\np3.png \n  \np5.png\n\n',
    ],
    ids=['mark', 'no end', 'Windows', 'blanks'],
)
def test_a_record_that_an_editor_has_saved(data, record, text):
    record.write_bytes(text.encode())
    data()
    assert_apart(record.parent)
    assert record.read_bytes() == text.encode()
    printed = data(2, expect=1)
    assert "validation.txt' names 3 images of an earlier call" in printed


def test_a_record_in_another_encoding_is_named(data, record):
    record.write_bytes('p1.png\np3.png\np5.png\n'.encode('utf-16'))
    printed = data(expect=1)
    assert "--validation: 'o/validation.txt' is not in UTF-8; expected one name on each" in printed


def test_an_image_that_is_gone_is_named(data, photos, record):
    (photos / 'p3.png').unlink()
    printed = data()
    text = "Warning: 1 of 3 images that 'o/validation.txt' names are not there any more: p3.png;"
    assert text in printed
    assert record.read_bytes() == b'p1.png\np3.png\np5.png\n'
    assert_apart(record.parent)
    (photos / 'p1.png').unlink()
    assert 'Warning: 2 of 3 images that ' in data()
    (photos / 'p5.png').unlink()
    assert 'names p1.png, p3.png, p5.png, which are not there any more; expected' in data(expect=1)


def test_a_name_with_a_separator_of_lines(data, photos, tmp_path):
    (photos / 'p1.png').rename(photos / 'p1\u2028.png')
    data()
    data()
    assert_apart(tmp_path / 'o', ('p1\u2028', 'p3', 'p5'))
