"""Which patches of an image a training draws: out of whole images and out of sub-images."""

import collections
import math
import random

import cv2
import numpy as np
import pytest
import scipy.stats
from basicsr.data.data_sampler import EnlargedSampler

from mtkd_basicsr.commands.prepare_data.layout import corners
from mtkd_basicsr.data.cache.inputs import CachedImage
from mtkd_basicsr.data.cache.key import CacheKey
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.data.distill_dataset import DistillImageDataset

SCALE = 2
PATCH = 48
SUB = 96
STEP = 48
# Height and width; the second one is a single sub-image.
SIZES = {'large': (148, 192), 'small': (96, 96)}
DRAWS = 6000


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    """Images whose pixels tell their places: the column, the row, and which image it is."""
    folder = tmp_path_factory.mktemp('places')
    (folder / 'HR').mkdir()
    for i, (name, (h, w)) in enumerate(SIZES.items()):
        y, x = np.indices((h, w), np.uint8)
        cv2.imwrite(str(folder / 'HR' / f'{name}.png'), np.dstack([x, y, np.full_like(x, i)]))
    return folder / 'HR'


def dataset(folder, end, target_cache=None):
    return DistillImageDataset(
        {
            'phase': 'train',
            'scale': SCALE,
            'gt_size': PATCH,
            'use_hflip': False,
            'use_rot': False,
            'filename_tmpl': '{}',
            'io_backend': {'type': 'disk'},
            'dataroot_gt': str(folder / f'GTmod4{end}'),
            'dataroot_lq': str(folder / f'LRbicx2{end}'),
            'target_cache': target_cache,
        }
    )


def with_cache(folder):
    """The same data set out of a cache, whose targets are the ground truths."""
    plain = dataset(folder, '')
    images = [
        {
            'lq': cv2.imread(paths['lq_path']),
            'gt': cv2.imread(paths['gt_path']),
            'target': cv2.imread(paths['gt_path']),
        }
        for paths in plain.paths
    ]
    listed = []
    for paths, arrays in zip(plain.paths, images, strict=True):
        listed.append(CachedImage(paths['gt_path'].split('/')[-1], *arrays['gt'].shape[:2]))
    path = folder / 'cache.lmdb'
    with CacheWriter(path, CacheKey('target', SCALE, images=tuple(listed))) as writer:
        for i, arrays in enumerate(images):
            writer.put(i, arrays)
        writer.finish()
    return dataset(folder, '', str(path))


def drawn(data):
    """Draw patches as a training of BasicSR does, and count their places in each image."""
    random.seed(0)
    found = collections.defaultdict(collections.Counter)
    sampler = EnlargedSampler(data, 1, 0, math.ceil(DRAWS / len(data)))
    sampler.set_epoch(1)
    for index in sampler:
        first = (data[index]['gt'][:, 0, 0] * 255).round().int().tolist()
        image, y, x = first
        assert y % SCALE == x % SCALE == 0
        found[list(SIZES)[image]][y, x] += 1
    return found


def places_of_parts(size):
    """Count in how many sub-images each place of a patch lies, in one direction."""
    counts = collections.Counter()
    for corner in corners(size, SUB, STEP):
        counts.update(range(corner, corner + SUB - PATCH + 1, SCALE))
    return counts


def fits(counts, expected):
    """Return the p-value that counts were drawn with weights, in each direction."""
    values = []
    for axis in (0, 1):
        found = collections.Counter()
        for place, count in counts.items():
            found[place[axis]] += count
        weights = expected[axis]
        assert set(found) <= set(weights)
        total = sum(found.values())
        mean = {place: total * weight / sum(weights.values()) for place, weight in weights.items()}
        observed = [found[place] for place in mean]
        values.append(scipy.stats.chisquare(observed, list(mean.values())).pvalue)
    return min(values)


def evenly(size):
    return dict.fromkeys(range(0, size - PATCH + 1, SCALE), 1)


def prepared(here, photographs, out, *more):
    """Make folders with ``mtkd data``."""
    arguments = ('--workers', '1', '--scale', str(SCALE), '--multiple', '4')
    here('data', photographs, '--out', out, *arguments, *more)
    return out


@pytest.mark.parametrize('cached', [True, False])
def test_whole_images_give_every_place_equally_often(photographs, here, tmp_path, cached):
    folder = prepared(here, photographs, tmp_path / 'whole')
    counts = drawn(with_cache(folder) if cached else dataset(folder, ''))
    for name, size in SIZES.items():
        assert fits(counts[name], [evenly(n) for n in size]) > 0.01
    # Images are drawn equally often, whatever their size: places of small ones more often.
    totals = {name: sum(found.values()) for name, found in counts.items()}
    assert totals['large'] == totals['small']


def test_sub_images_give_places_in_their_overlaps_more_often(photographs, here, tmp_path):
    parts = ('--sub-image', str(SUB), '--step', str(STEP))
    folder = prepared(here, photographs, tmp_path / 'parts', *parts)
    data = dataset(folder, '_sub')
    counts = drawn(data)
    weights = [places_of_parts(n) for n in SIZES['large']]
    assert fits(counts['large'], weights) > 0.01
    assert fits(counts['large'], [evenly(n) for n in SIZES['large']]) < 1e-6, 'not evenly'
    # All places that a whole image has, twice where sub-images overlap by a patch or more.
    for size, found in zip(SIZES['large'], weights, strict=True):
        assert set(found) == set(evenly(size))
        assert max(found.values()) == 2
    assert fits(counts['small'], [evenly(n) for n in SIZES['small']]) > 0.01
    # Images are drawn by their number of sub-images, about by their area.
    totals = {name: sum(found.values()) for name, found in counts.items()}
    assert len(data) == 3 * 3 + 1
    assert totals['large'] == 9 * totals['small']
