"""Batches as one tensor of bytes: the bits of the float batches that other models get."""

import copy
import random

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.paired_image_dataset import PairedImageDataset as BasicSRPairedImageDataset
from basicsr.data.prefetch_dataloader import CPUPrefetcher
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from conftest import dataset

from mtkd_basicsr import DistillImageDataset, KDModel, MTKDModel
from mtkd_basicsr.data.cache.inputs import CachedImage, CacheInput
from mtkd_basicsr.data.cache.key import CacheKey
from mtkd_basicsr.data.cache.writer import CacheWriter
from mtkd_basicsr.data.packed_batches import to_device
from mtkd_basicsr.data.sample_photographs import load, low_resolution
from mtkd_basicsr.host.training_loop import prepare_loader, with_prepared_loader

CPU = torch.device('cpu')
TEACHERS = {'one': CacheInput({'type': 'EDSR'}), 'two': CacheInput({'type': 'RCAN'})}


def pictures():
    """Pairs of photographs, one of them grey, by name: BGR, uint8."""
    found = {}
    for name in ('rocket', 'brick', 'coffee'):
        gt = np.ascontiguousarray(load(name)[100:180, 120:216, ::-1])
        found[name] = gt, low_resolution(gt, 2)
    return found


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    """By kind: keys of a dataset for the same photographs."""
    folder = tmp_path_factory.mktemp('sources')
    deep = np.random.default_rng(0)
    for name, pair in pictures().items():
        for kind, image in zip(('GT', 'LQ'), pair):
            for bits in ('png', 'png16'):
                (folder / bits / kind).mkdir(parents=True, exist_ok=True)
            if name == 'brick':  # a grey photograph, in a file of one channel
                image = image[..., 0]
            cv2.imwrite(str(folder / 'png' / kind / f'{name}.png'), image)
            image = image.astype(np.uint16) * 256 + deep.integers(0, 256, image.shape, np.uint16)
            cv2.imwrite(str(folder / 'png16' / kind / f'{name}.png'), image)
    names = sorted(pictures())
    found = {}
    for bits in ('png', 'png16'):
        roots = {
            'dataroot_gt': str(folder / bits / 'GT'),
            'dataroot_lq': str(folder / bits / 'LQ'),
        }
        found[bits] = {**roots, 'io_backend': {'type': 'disk'}}
        for key, root in roots.items():
            files = [f'{name}.png' for name in names]
            make_lmdb_from_imgs(root, f'{root}.lmdb', files, names, map_size=2**24)
            roots[key] = f'{root}.lmdb'
        found[f'{bits} in an LMDB'] = {**roots, 'io_backend': {'type': 'lmdb'}}
    return found


def write_cache(folder, source, contents):
    """A cache of the decoded images, with targets that differ from them."""
    # BasicSR's class changes its options.
    block = copy.deepcopy({**dataset(folder, 'val', 2), **source, 'phase': 'val', 'scale': 2})
    pairs = list(BasicSRPairedImageDataset(block))
    listed = []
    for path in sorted(pair['gt_path'] for pair in pairs):
        name = path.rpartition('/')[2]
        listed.append(CachedImage(name, 80, 96))
    names = TEACHERS if contents == 'teachers' else {}
    key = CacheKey(contents, 2, images=tuple(listed), teachers=names)
    writer = CacheWriter(str(folder / 'cache.lmdb'), key)
    for i, pair in enumerate(sorted(pairs, key=lambda pair: pair['gt_path'])):
        arrays = {}
        for kind in ('lq', 'gt'):
            pixels = (pair[kind] * 255).round().byte().numpy()
            arrays[kind] = np.ascontiguousarray(pixels.transpose(1, 2, 0)[..., ::-1])
        outputs = [f'teacher/{name}' for name in names] or ['target']
        for k, output in enumerate(outputs):
            arrays[output] = np.roll(arrays['gt'], k + 1, 0)
        writer.put(i, arrays)
    writer.finish()
    return str(folder / 'cache.lmdb')


def batches(block, workers=0, packed=False, kind=None):
    """The batches of two epochs as BasicSR's loop takes them, on the device."""
    block = copy.deepcopy({**block, 'num_worker_per_gpu': workers})
    random.seed(3)
    torch.manual_seed(3)
    data = build_dataset(block) if kind is None else kind(block)
    order = torch.utils.data.RandomSampler(data, replacement=True, num_samples=12)
    loader = build_dataloader(data, block, num_gpu=0, seed=0, sampler=order)
    if packed:
        prepare_loader(MTKDModel, loader)
    prefetcher = CPUPrefetcher(loader)
    found = []
    for _ in range(2):
        prefetcher.reset()
        while (batch := prefetcher.next()) is not None:
            assert ('pixels' in batch) == packed
            found.append(to_device(batch, CPU))
    return found, random.random() if workers == 0 else None


def assert_same(ours, expected):
    assert len(ours[0]) == len(expected[0]) == 12
    assert ours[1] == expected[1], 'other random numbers were drawn'
    for batch, other in zip(ours[0], expected[0]):
        assert batch.keys() == other.keys()
        for name, value in other.items():
            if isinstance(value, torch.Tensor):
                assert batch[name].dtype == torch.float32
                assert batch[name].stride() == value.contiguous().stride()
                assert torch.equal(batch[name], value), name
            else:
                assert batch[name] == value, name


KINDS = ('png', 'png16', 'png in an LMDB', 'png16 in an LMDB')
NORMALIZED = {'mean': [0.45, 0.44, 0.4], 'std': [0.3, 0.25, 0.2]}


@pytest.fixture
def block_of(sources, tmp_path):
    def make(kind='png', contents=None, **changes):
        block = {**dataset(tmp_path, 'train', 2), **sources[kind]}
        block.update(type='DistillImageDataset', phase='train', scale=2, **changes)
        if contents is not None:
            block['target_cache'] = write_cache(tmp_path, sources[kind], contents)
        return block

    return make


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('normalized', [{}, NORMALIZED])
def test_files_give_the_bits_of_basicsr(block_of, kind, normalized):
    block = block_of(kind, **normalized)
    expected = batches(block, kind=BasicSRPairedImageDataset)
    assert_same(batches(block), expected)
    assert_same(batches(block, packed=True), expected)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('contents', ['target', 'teachers'])
@pytest.mark.parametrize('normalized', [{}, NORMALIZED])
def test_a_cache_gives_the_bits_of_its_floats(block_of, kind, contents, normalized):
    block = block_of(kind, contents, **normalized)
    expected = batches(block)
    assert expected[0][0][contents].shape[1] == (3 if contents == 'target' else 6)
    assert_same(batches(block, packed=True), expected)
    plain = batches({**block, 'target_cache': None}, kind=BasicSRPairedImageDataset)
    for batch, other in zip(expected[0], plain[0]):
        assert all(torch.equal(batch[name], other[name]) for name in ('lq', 'gt'))


@pytest.mark.parametrize('contents', [None, 'target'])
@pytest.mark.parametrize('changes', [{'use_hflip': False}, {'use_rot': False}])
def test_flips_and_rotations_alone(block_of, contents, changes):
    block = block_of('png', contents, **changes)
    assert_same(batches(block, packed=True), batches(block))


@pytest.mark.parametrize('contents', [None, 'target'])
@pytest.mark.parametrize('prefetch', [{}, {'prefetch_mode': 'cpu', 'num_prefetch_queue': 2}])
def test_workers_and_prefetchers(block_of, contents, prefetch):
    block = block_of('png', contents)
    packed = batches({**block, **prefetch}, workers=2, packed=True)
    assert_same(packed, batches({**block, **prefetch}, workers=2))


def test_every_byte_becomes_the_float_of_basicsr(tmp_path):
    levels = np.arange(256, dtype=np.uint8)
    expected = levels.astype(np.float32) / 255.0  # as `imfrombytes` has it
    batch = {
        'pixels': torch.from_numpy(levels.repeat(3)),
        'layout': {'lq': [1, 3, 16, 16]},
        'normalization': None,
    }
    found = to_device(batch, CPU)['lq'].flatten()
    assert torch.equal(found, torch.from_numpy(expected.repeat(3)))


def test_floats_and_other_entries_stay():
    batch = {'lq': torch.rand(2, 3, 4, 4), 'gt_path': ['a', 'b']}
    moved = to_device(batch, CPU)
    assert moved['lq'] is batch['lq']
    assert moved['gt_path'] == ['a', 'b']


# Who gets packed batches


class OwnItems(DistillImageDataset):
    def __getitem__(self, index):
        return {**super().__getitem__(index), 'index': index}


class OwnFeed(KDModel):
    def feed_data(self, data):
        super().feed_data({**data, 'lq': data['lq'] / 2})


class OwnLosses(KDModel):
    def losses(self, current_iter):
        return super().losses(current_iter)


@pytest.mark.parametrize(
    ('model', 'kind', 'changes', 'packed'),
    [
        (KDModel, DistillImageDataset, {}, True),
        (OwnLosses, DistillImageDataset, {}, True),
        (OwnFeed, DistillImageDataset, {}, False),
        (KDModel, OwnItems, {}, False),
        (KDModel, DistillImageDataset, {'color': 'y'}, False),
        (KDModel, BasicSRPairedImageDataset, {}, False),
    ],
)
def test_classes_of_users_get_floats(block_of, model, kind, changes, packed):
    block = block_of(**changes)
    loader = build_dataloader(kind(copy.deepcopy(block)), block, num_gpu=0, seed=0)
    prepare_loader(model, loader)
    batch = next(iter(loader))
    assert ('pixels' in batch) == packed
    assert packed or batch['lq'].dtype == torch.float32
    assert ('index' in batch) == (kind is OwnItems)


@pytest.mark.parametrize('name', ['SRModel', 'MTKDModel', 'NoModel'])
@pytest.mark.parametrize('gpus', [0, 1])
def test_only_our_models_get_packed_batches_in_basicsrs_loop(block_of, name, gpus):
    block = block_of(pin_memory=True)
    opt = {'model_type': name, 'num_gpu': gpus}

    def create(opt, logger):
        return build_dataloader(build_dataset(block), block, gpus, seed=0), 'sampler', []

    loader, *others = with_prepared_loader(create)(opt, None)
    assert others == ['sampler', []]
    assert loader.pin_memory == (gpus > 0), 'a training on a CPU would occupy a GPU'
    loader.pin_memory = False
    assert ('pixels' in next(iter(loader))) == (name == 'MTKDModel')


@pytest.mark.gpu
@pytest.mark.parametrize('contents', [None, 'teachers'])
def test_a_gpu_gives_the_same_bits(block_of, contents):
    block = block_of(contents=contents, **NORMALIZED)
    loader = build_dataloader(build_dataset(block), {**block, 'pin_memory': True}, seed=0)
    prepare_loader(MTKDModel, loader)
    for batch in loader:
        assert batch['pixels'].is_pinned()
        found = to_device(batch, torch.device('cuda'))
        for name, value in to_device(batch, CPU).items():
            if isinstance(value, torch.Tensor):
                assert found[name].is_cuda
                assert torch.equal(found[name].cpu(), value), name


def test_crops_of_images_that_are_too_small_are_refused_as_before(block_of):
    block = block_of(gt_size=200)
    loader = build_dataloader(build_dataset(block), block, num_gpu=0, seed=0)
    with pytest.raises(ValueError, match='is smaller than patch size'):
        next(iter(loader))
    prepare_loader(MTKDModel, loader)
    with pytest.raises(ValueError, match='is smaller than patch size'):
        next(iter(loader))
