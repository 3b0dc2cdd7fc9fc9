"""Where the pixels of an image lie in a cache, and crops out of it."""

import itertools
import mmap
import random

import lmdb
import numpy as np
import pytest
import skimage.data
import torch
from basicsr.data.transforms import paired_random_crop

from mtkd_basicsr.data.cache.format import data_file
from mtkd_basicsr.data.cache.inputs import CachedImage
from mtkd_basicsr.data.cache.key import FORMAT, READABLE, CacheKey
from mtkd_basicsr.data.cache.layout import StoredImage, to_stored
from mtkd_basicsr.data.cache.positions import large_values
from mtkd_basicsr.data.cache.reader import CacheReader, close_map
from mtkd_basicsr.data.cache.writer import CacheWriter

SCALE = 2
IMAGE = skimage.data.astronaut()


@pytest.mark.parametrize('cache_format', READABLE)
@pytest.mark.parametrize('width', [1, 63, 64, 65, 128, 200])
def test_parts_are_those_of_the_image(width, cache_format):
    image = IMAGE[100:190, 50 : 50 + width]
    stored = to_stored(image, cache_format)
    assert stored.size == image.size, 'each format takes the same space'
    buffer = memoryview(b'before' + stored.tobytes() + b'behind')
    found = StoredImage(buffer, len(b'before'), image.shape, cache_format)
    assert found.shape == image.shape
    assert np.array_equal(found.whole(), image)
    assert not found.whole().flags.writeable
    draw = np.random.default_rng(0)
    for _ in range(50):
        top, bottom = sorted(draw.choice(91, 2, replace=False))
        left, right = sorted(draw.choice(width + 1, 2, replace=False))
        expected = image[top:bottom, left:right]
        assert np.array_equal(found[top:bottom, left:right, ...], expected)


def test_rows_are_one_after_the_other_in_the_first_format_only():
    first = [to_stored(IMAGE, n)[: IMAGE.shape[1] * 3] for n in READABLE]
    assert np.array_equal(first[0], IMAGE[0].reshape(-1))
    # A strip of 64 columns.
    assert np.array_equal(first[1], IMAGE[:8, :64].reshape(-1))


def write(path, cache_format):
    images = {'a.png': IMAGE[:300, :402], 'b.png': IMAGE[:20, :30], 'c.png': IMAGE}
    listed = tuple(CachedImage(name, *image.shape[:2]) for name, image in images.items())
    with CacheWriter(path, CacheKey('target', SCALE, images=listed, format=cache_format)) as writer:
        for i, image in enumerate(images.values()):
            low = np.ascontiguousarray(image[::SCALE, ::SCALE])
            writer.put(i, {'lq': low, 'gt': image, 'target': image[::-1]})
        assert writer.finish()
    return list(images.values())


@pytest.mark.parametrize('cache_format', READABLE)
def test_crops_of_a_cache_are_those_of_basicsr(tmp_path, cache_format, monkeypatch):
    images = write(tmp_path / 'cache', cache_format)
    reader = CacheReader(tmp_path / 'cache')
    assert reader.key.format == cache_format
    small = reader.image(1, 'lq')
    assert np.array_equal(small.whole(), images[1][::SCALE, ::SCALE]), 'a value within the tree'
    # py-lmdb would read whole images.
    monkeypatch.setattr(CacheReader, '_get', lambda *_: pytest.fail('asked py-lmdb for an image'))
    for i, seed in itertools.product((0, 2), range(20)):
        gt = images[i]
        random.seed(seed)
        expected = paired_random_crop([gt, gt[::-1]], gt[::SCALE, ::SCALE], 96, SCALE, '')
        random.seed(seed)
        stored = [reader.image(i, name) for name in ('lq', 'gt', 'target')]
        found = paired_random_crop(stored[1:], stored[0], 96, SCALE, '')
        for a, b in zip([*expected[0], expected[1]], [*found[0], found[1]], strict=True):
            assert np.array_equal(a, b)


def test_whole_images_are_equal_in_all_formats(tmp_path):
    for cache_format in READABLE:
        images = write(tmp_path / str(cache_format), cache_format)
        reader = CacheReader(tmp_path / str(cache_format))
        for i, image in enumerate(images):
            assert np.array_equal(reader.array(i, 'gt'), image)
            assert np.array_equal(reader.image(i, 'target').whole(), image[::-1])
    checksums = [CacheReader(tmp_path / str(n)).checksums(0) for n in READABLE]
    assert checksums[0] == checksums[1]


def test_an_unfinished_cache_keeps_its_format(tmp_path):
    path = tmp_path / 'cache'
    images = (CachedImage('a.png', 100, 200), CachedImage('b.png', 100, 200))
    image = IMAGE[:100, :200]
    arrays = {'lq': np.ascontiguousarray(image[::2, ::2]), 'gt': image, 'target': image}
    for i, cache_format in enumerate((1, FORMAT)):
        with CacheWriter(path, CacheKey('target', 2, images=images, format=cache_format)) as writer:
            writer.put(i, arrays)
            writer.flush()
            writer.finish()
    reader = CacheReader(path)
    assert reader.key.format == 1
    assert all(np.array_equal(reader.array(i, 'gt'), image) for i in range(2))


@pytest.mark.parametrize('count', [0, 3, 700])
def test_large_values_are_where_the_lmdb_has_them(tmp_path, count):
    """With 700 values the tree has several levels."""
    path = str(tmp_path / 'values')
    draw = np.random.default_rng(0)
    sizes = {f'{i}/some array'.encode(): int(draw.integers(1, 9000)) for i in range(count)}
    contents = {key: draw.bytes(size) for key, size in sizes.items()}
    with lmdb.open(path, map_size=1 << 25) as env:
        for part in (0, 1, 0):  # values are written again, so that pages are in no order
            with env.begin(write=True) as txn:
                for key, value in list(contents.items())[part::2]:
                    txn.put(key, value)
    with open(data_file(path), 'rb') as file:
        found = large_values(file)
    whole = (tmp_path / 'values' / 'data.mdb').read_bytes()
    for key, (offset, size) in found.items():
        assert whole[offset : offset + size] == contents[key]
    # LMDB keeps values of less than about half a page in the tree.
    assert set(found) >= {key for key, size in sizes.items() if size > 2048}
    assert not any(sizes[key] < 1900 for key in found)


@pytest.mark.parametrize('damage', ['other file', 'other version', 'root', 'short'])
def test_an_unknown_file_has_no_positions(tmp_path, damage):
    write(tmp_path / 'cache', FORMAT)
    content = bytearray((tmp_path / 'cache' / 'data.mdb').read_bytes())
    page = mmap.PAGESIZE
    if damage == 'other file':
        content = bytearray(IMAGE.tobytes())
    elif damage == 'other version':
        content[20] += 1
    elif damage == 'root':
        for meta in (0, page):
            content[meta + 16 + 24 + 48 + 40] += 1
    else:
        content = content[: page + 10]
    (tmp_path / 'other').write_bytes(content)
    with open(tmp_path / 'other', 'rb') as file:
        assert large_values(file) is None


def test_without_positions_images_come_from_the_lmdb(tmp_path, monkeypatch):
    images = write(tmp_path / 'cache', FORMAT)
    monkeypatch.setattr('mtkd_basicsr.data.cache.reader.large_values', lambda _: None)
    reader = CacheReader(tmp_path / 'cache')
    assert np.array_equal(reader.image(2, 'gt')[7:90, 60:140], images[2][7:90, 60:140])


def test_crops_stay_when_the_map_is_closed(tmp_path):
    images = write(tmp_path / 'cache', FORMAT)
    reader = CacheReader(tmp_path / 'cache')
    crop = reader.image(0, 'gt')[5:50, 60:140]
    close_map(tmp_path / 'cache')
    assert np.array_equal(crop, images[0][5:50, 60:140])
    assert torch.from_numpy(crop).shape == (45, 80, 3)
