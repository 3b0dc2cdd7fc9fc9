"""A cache of other images than those of the data set is refused, whatever their names and sizes."""

import json
import os
import shutil
from pathlib import Path

import cv2
import lmdb
import pytest
from basicsr.data import build_dataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from conftest import parsed, write_options
from helpers.caches import record_computed

from mtkd_basicsr.data.cache import sources
from mtkd_basicsr.data.cache.format import data_file, partial_path
from mtkd_basicsr.data.cache.reader import CacheReader, close_map
from mtkd_basicsr.data.source_files import SourceFiles
from mtkd_basicsr.errors import CacheError, DataError
from mtkd_basicsr.host.yaml_loader import read_options

NAMES = ('brick.png', 'moon.png', 'rocket.png')


class Case:
    """A training with a finished cache, and images of its own."""

    def __init__(self, opt, folder):
        self.opt = opt
        self.folder = folder
        self.train = opt['datasets']['train']
        self.gt = Path(self.train['dataroot_gt'])
        self.lq = Path(self.train['dataroot_lq'])
        self.cache = Path(self.train['target_cache'])

    def write(self):
        return write_options(self.folder / 'options.yml', self.opt)

    def dataset(self):
        return build_dataset(parsed(self.opt)['datasets']['train'])


@pytest.fixture
def case(cached, photographs, tmp_path):
    shutil.copytree(photographs / 'train', tmp_path / 'train')
    opt = cached['MTKDFusionModel']
    opt['datasets']['train'].update(
        dataroot_gt=str(tmp_path / 'train' / 'GT'), dataroot_lq=str(tmp_path / 'train' / 'LRx2')
    )
    return Case(opt, tmp_path)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded from now on, to be compared."""
    names = []
    decode = SourceFiles.decode

    def counted(self, index, kind, content):
        names.append(f'{kind} {os.path.basename(self.path(index, kind))}')
        return decode(self, index, kind, content)

    monkeypatch.setattr(SourceFiles, 'decode', counted)
    return names


def rewrite(path, change=lambda image: 255 - image, options=()):
    cv2.imwrite(str(path), change(cv2.imread(str(path))), options)


def swap(a, b):
    a.rename(a.with_name('swap'))
    b.rename(a)
    a.with_name('swap').rename(b)


def to_lmdb(case):
    for root, key in ((case.gt, 'dataroot_gt'), (case.lq, 'dataroot_lq')):
        path = root.with_suffix('.lmdb')
        shutil.rmtree(path, ignore_errors=True)
        keys = [name.removesuffix('.png') for name in NAMES]
        make_lmdb_from_imgs(str(root), str(path), list(NAMES), keys)
        case.train[key] = str(path)
    case.train['io_backend'] = {'type': 'lmdb'}


def another_degradation(case):
    shutil.copytree(case.lq, case.folder / 'blurred')
    for name in NAMES:
        rewrite(case.folder / 'blurred' / name, lambda image: cv2.GaussianBlur(image, (7, 7), 1.6))
    case.train['dataroot_lq'] = str(case.folder / 'blurred')


def degraded_in_place(case):
    for name in NAMES:
        rewrite(case.lq / name, lambda image: cv2.GaussianBlur(image, (7, 7), 1.6))


def other_ground_truth(case):
    rewrite(case.gt / 'moon.png')


def one_pixel(case):
    def change(image):
        image[5, 7, 1] ^= 1
        return image

    rewrite(case.lq / 'moon.png', change)


def compressed(case):
    path = case.lq / 'moon.png'
    _, jpeg = cv2.imencode('.jpg', cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 60])
    cv2.imwrite(str(path), cv2.imdecode(jpeg, cv2.IMREAD_COLOR))


def exchanged(case):
    for root in (case.gt, case.lq):
        swap(root / 'moon.png', root / 'rocket.png')


def exchanged_inputs(case):
    swap(case.lq / 'moon.png', case.lq / 'rocket.png')


def replaced_with_its_time(case):
    path = case.gt / 'moon.png'
    before = path.stat()
    rewrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def of_another_size(case):
    rewrite(case.gt / 'moon.png', lambda image: image[:64, :64])
    rewrite(case.lq / 'moon.png', lambda image: image[:32, :32])


GT, LQ = 'datasets.train.dataroot_gt: ', 'datasets.train.dataroot_lq: '
ONE = '1 of 3 images have other contents than in the cache (moon.png)'
TWO = '2 of 3 images have other contents than in the cache (moon.png, rocket.png)'
ALL = '3 of 3 images have other contents than in the cache (brick.png, moon.png, rocket.png)'


@pytest.mark.parametrize(
    ('change', 'texts'),
    [
        (another_degradation, [LQ + ALL]),
        (degraded_in_place, [LQ + ALL]),
        (other_ground_truth, [GT + ONE]),
        (one_pixel, [LQ + ONE]),
        (compressed, [LQ + ONE]),
        (exchanged, [LQ + TWO, GT + TWO]),
        (exchanged_inputs, [LQ + TWO]),
        (replaced_with_its_time, [GT + ONE]),
        (of_another_size, [LQ + ONE, GT + ONE]),
    ],
)
def test_other_images_are_refused_by_name(case, here, change, texts):
    case.dataset()
    change(case)
    with pytest.raises(CacheError) as error:
        case.dataset()
    assert f"target cache '{case.cache}' was made of other images: " in str(error.value)
    assert 'mtkd cache -opt FILE --overwrite' in str(error.value)
    printed = here('cache', '-opt', case.write(), expect=1)
    for text in texts:
        assert text in str(error.value)
        assert text in printed or change is of_another_size
    assert '--overwrite' in printed
    assert 'other contents' in here('cache', '-opt', case.write(), '--verify', expect=1)


@pytest.mark.slow
def test_check_and_train_refuse_other_images(case, here):
    other_ground_truth(case)
    with pytest.raises(SystemExit):
        here('check', '-opt', case.write(), '--no-steps')
    assert GT + ONE in here.printed()
    assert GT + ONE in here('train', '-opt', case.write(), expect=1)
    assert not (case.folder / 'experiments').exists()


def nothing(case):
    pass


def copied_elsewhere(case):
    shutil.copytree(case.folder / 'train', case.folder / 'copy', copy_function=shutil.copyfile)
    for key in ('dataroot_gt', 'dataroot_lq'):
        case.train[key] = case.train[key].replace('/train/', '/copy/')


def touched(case):
    for name in NAMES:
        os.utime(case.gt / name)


def encoded_anew(case):
    for name in NAMES:
        rewrite(case.gt / name, lambda image: image, [cv2.IMWRITE_PNG_COMPRESSION, 0])


@pytest.mark.parametrize(
    ('change', 'decodes'), [(nothing, 0), (copied_elsewhere, 0), (touched, 0), (encoded_anew, 3)]
)
def test_the_same_images_in_other_files_are_used(case, here, decoded, change, decodes):
    case.dataset()
    assert decoded == [], 'the bytes of a copy are those that the cache knows'
    change(case)
    case.dataset()
    assert len(decoded) == decodes
    case.dataset()
    assert len(decoded) == decodes, 'what was found is remembered'
    assert 'is complete' in here('cache', '-opt', case.write())
    assert len(decoded) == decodes
    printed = here('cache', '-opt', case.write(), '--verify')
    assert 'the images of datasets.train are those that it was made of' in printed
    assert len(decoded) == decodes + 6


def test_what_is_remembered_of_one_cache_is_not_believed_of_another(case, here):
    encoded_anew(case)
    case.dataset()
    rewrite(case.gt / 'moon.png')
    here('cache', '-opt', case.write(), '--overwrite', '--workers', '0')
    case.dataset()
    rewrite(case.gt / 'moon.png')
    with pytest.raises(CacheError, match='other contents than in the cache'):
        case.dataset()


def test_a_cache_that_cannot_be_written_to_is_used(case, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(sources, 'write_text', refuse)
    case.dataset()
    assert not (case.cache / 'sources.json').exists()
    rewrite(case.gt / 'moon.png')
    with pytest.raises(CacheError, match='other contents'):
        case.dataset()


@pytest.mark.parametrize('content', ['', '[]', '{"x": 1}', '{'])
def test_damaged_notes_are_made_anew(case, content):
    (case.cache / 'sources.json').write_text(content)
    case.dataset()
    found = json.loads((case.cache / 'sources.json').read_text())
    assert len(found[str(case.gt / 'moon.png')]) == len(sources.SourceNote._fields)


def test_images_in_lmdbs(case, here, decoded):
    to_lmdb(case)
    case.cache = case.folder / 'lmdb_targets.lmdb'
    case.train['target_cache'] = str(case.cache)
    here('cache', '-opt', case.write(), '--workers', '0')
    decoded.clear()
    case.dataset()
    to_lmdb(case)
    case.dataset()
    assert decoded == [], 'the same values in a new LMDB'
    rewrite(case.folder / 'train' / 'LRx2' / 'moon.png')
    case.gt, case.lq = case.folder / 'train' / 'GT', case.folder / 'train' / 'LRx2'
    to_lmdb(case)
    with pytest.raises(CacheError, match=r'dataroot_lq: 1 of 3 images .*\(moon\)'):
        case.dataset()
    assert 'dataroot_lq: 1 of 3 images' in here('cache', '-opt', case.write(), expect=1)


@pytest.fixture
def computed(monkeypatch):
    """The names of the images whose targets are computed from now on."""
    return record_computed(monkeypatch)


def test_overwrite_computes_only_what_has_changed(case, here, computed):
    before = CacheReader(case.cache).array(0, 'teacher/edsr').copy()
    rewrite(case.lq / 'moon.png')
    printed = here('cache', '-opt', case.write(), '--overwrite', '--workers', '0')
    assert "was made of other images: 1 of 3 images: lq of 'moon.png'" in printed
    assert computed == ['moon.png']
    reader = CacheReader(case.cache)
    assert (reader.array(0, 'teacher/edsr') == before).all()
    assert (reader.array(1, 'lq') == cv2.imread(str(case.lq / 'moon.png'))).all()
    case.dataset()


def make_unfinished(case):
    """Two of three images of the cache are done."""
    close_map(case.cache)
    partial = Path(partial_path(case.cache))
    shutil.move(case.cache, partial)
    env = lmdb.open(str(partial), map_size=1 << 26)
    with env.begin(write=True) as txn:
        txn.delete(b'2/crc')
    env.close()
    return partial


def test_images_that_change_while_a_cache_is_unfinished(case, here, computed):
    partial = make_unfinished(case)
    rewrite(case.gt / 'moon.png')
    before = Path(data_file(partial)).read_bytes()
    printed = here('cache', '-opt', case.write(), '--workers', '0', expect=1)
    assert f"an unfinished cache of other images exists at '{partial}': {GT}1 of 2" in printed
    assert 'moon.png' in printed
    assert computed == []
    assert Path(data_file(partial)).read_bytes() == before, 'nothing is lost'
    here('cache', '-opt', case.write(), '--workers', '0', '--overwrite')
    assert computed == ['moon.png', 'rocket.png']
    case.dataset()


def test_an_image_that_is_not_done_may_change(case, here, computed):
    make_unfinished(case)
    rewrite(case.gt / 'rocket.png')
    here('cache', '-opt', case.write(), '--workers', '0')
    assert computed == ['rocket.png']
    case.dataset()


def test_a_cache_of_version_0_1_0_is_compared_by_a_few_images(version_0_1_0, here, monkeypatch):
    monkeypatch.setattr(sources, '_SAMPLE', 2)
    block = parsed(read_options('stage_1.yml'))['datasets']['train']
    assert CacheReader('teachers.lmdb').sources(0) == {}
    comparison = sources.compare(
        CacheReader('teachers.lmdb'),
        'teachers.lmdb',
        SourceFiles(build_dataset({**block, 'target_cache': None})),
        {0: 0, 1: 1, 2: 2},
    )
    assert (comparison.changed, comparison.compared) == ({}, 2)
    text = 'the contents of 2 of 3 images were compared, and are the same'
    assert text in comparison.describe_rest('teachers.lmdb')
    assert text in here('cache', '-opt', 'stage_1.yml')
    here('cache', '-opt', 'stage_1.yml', '--verify')
    assert 'WARNING' not in here('cache', '-opt', 'stage_1.yml'), 'all are known after --verify'
    rewrite(Path('images/train/GT/moon.png'))
    with pytest.raises(CacheError, match=r'dataroot_gt: 1 of 3 .*\(moon.png\)'):
        build_dataset(block)


def test_an_unfinished_cache_of_version_0_1_0_is_compared_by_all_images(version_0_1_0, here):
    rewrite(Path('images/train/LRx2/brick.png'))
    printed = here('cache', '-opt', 'unfinished.yml', '--workers', '0', expect=1)
    assert 'dataroot_lq: 1 of 2 images have other contents than in the cache (brick.png)' in printed


def test_images_that_are_not_on_this_machine_are_not_compared(case, here):
    shutil.rmtree(case.gt)
    printed = here('cache', '-opt', case.write(), '--verify')
    assert 'matches its checksums' in printed
    assert f"were not compared: no '{case.gt}'" in printed


def test_an_image_that_cannot_be_read_is_named(case):
    (case.gt / 'moon.png').write_bytes(b'')
    with pytest.raises(DataError, match=r"moon.png' cannot be read as an image"):
        case.dataset()
