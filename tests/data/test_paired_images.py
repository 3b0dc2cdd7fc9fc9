"""The loaders of a training read what BasicSR reads, and name the file that they cannot read."""

from pathlib import Path

import cv2
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.paired_image_dataset import PairedImageDataset as BasicSRPairedImageDataset
from basicsr.utils.lmdb_util import LmdbMaker
from conftest import options_for, parsed, stock, with_cache, write_options
from PIL import Image

from mtkd_basicsr.data.paired_images import PairedImageDataset, SingleImageDataset
from mtkd_basicsr.data.whole_images import WholeImagePairs, build_paired_dataset
from mtkd_basicsr.errors import DataError, without_worker


@pytest.fixture
def folders(photographs, tmp_path):
    """The photographs in folders of the test, as files of a format."""

    def make(suffix):
        for kind in ('GT', 'LRx2'):
            (tmp_path / 'train' / kind).mkdir(parents=True)
            for path in (photographs / 'train' / kind).iterdir():
                target = (tmp_path / 'train' / kind / path.name).with_suffix(suffix)
                options = {'compression': 'tiff_lzw'} if suffix == '.tif' else {}
                Image.open(path).save(target, **options)
        opt = options_for(tmp_path, tmp_path, 'KDModel', train__kd={'type': 'Scratch'})
        del opt['datasets']['val']
        return opt

    return make


def block_of(opt, tmp_path, **changes):
    return {**parsed(opt, True, tmp_path)['datasets']['train'], **changes}


def with_zeros(content):
    return content[: len(content) // 2] + bytes(99) + content[len(content) // 2 + 99 :]


DAMAGES = [
    ('.png', with_zeros),
    ('.png', lambda content: content[:-30]),
    ('.png', lambda content: b''),
    ('.png', lambda content: b'no image'),
    ('.jpg', lambda content: content[: len(content) * 2 // 3] + b'\xff\xd9'),
    ('.tif', with_zeros),
    ('.webp', lambda content: content[:-30]),
    ('.bmp', lambda content: content[:-30]),
]


@pytest.mark.parametrize('kind', ['GT', 'LRx2'])
@pytest.mark.parametrize(('suffix', 'damage'), DAMAGES)
def test_a_damaged_file_is_named(folders, tmp_path, kind, suffix, damage):
    opt = folders(suffix)
    path = (tmp_path / 'train' / kind / 'moon.png').with_suffix(suffix)
    path.write_bytes(damage(path.read_bytes()))
    block = block_of(opt, tmp_path)
    dataset = build_dataset(block)
    assert type(dataset) is PairedImageDataset
    index = next(i for i, pair in enumerate(dataset.paths) if 'moon' in pair['gt_path'])
    with pytest.raises(DataError, match=rf"^'{path}' cannot be read as an image"):
        dataset[index]
    pairs = WholeImagePairs(build_paired_dataset(block, 'train'), 2)
    with pytest.raises(DataError, match=rf"^'{path}' cannot be read as an image"):
        pairs.pair(index)
    with pytest.raises(DataError, match=rf"^'{path}' cannot be read as an image"):
        build_dataset({**block, 'type': 'DistillImageDataset'})[index]
    single = SingleImageDataset({**block, 'dataroot_lq': str(path.parent)})
    with pytest.raises(DataError, match=rf"^'{path}' cannot be read as an image"):
        single[single.paths.index(str(path))]


def test_a_file_that_is_gone_is_named(folders, tmp_path):
    dataset = build_dataset(block_of(folders('.png'), tmp_path))
    path = dataset.paths[1]['lq_path']
    (tmp_path / path).unlink()
    with pytest.raises(DataError, match=f"^'{path}' cannot be read: FileNotFoundError"):
        dataset[1]


def test_a_worker_process_names_it_too(folders, tmp_path):
    opt = folders('.png')
    path = tmp_path / 'train' / 'GT' / 'moon.png'
    path.write_bytes(with_zeros(path.read_bytes()))
    block = block_of(opt, tmp_path, num_worker_per_gpu=1, batch_size_per_gpu=3)
    loader = build_dataloader(build_dataset(block), block, num_gpu=0, seed=0)
    with pytest.raises(DataError) as error:
        list(loader)
    assert without_worker(error.value) == (
        f"'{path}' cannot be read as an image: it is damaged: the checksum of its chunk IDAT is "
        'wrong'
    )


def test_keys_of_an_lmdb_are_named(folders, tmp_path):
    opt = folders('.png')
    for kind, name in (('GT', 'gt'), ('LRx2', 'lq')):
        maker = LmdbMaker(str(tmp_path / f'{name}.lmdb'))
        for path in sorted((tmp_path / 'train' / kind).iterdir()):
            content = path.read_bytes()
            if (path.stem, name) == ('moon', 'lq'):
                content = with_zeros(content)
            maker.put(content, path.stem, (*cv2.imread(str(path)).shape[:2], 3))
        maker.close()
    block = block_of(
        opt,
        tmp_path,
        io_backend={'type': 'lmdb'},
        dataroot_gt=str(tmp_path / 'gt.lmdb'),
        dataroot_lq=str(tmp_path / 'lq.lmdb'),
    )
    dataset = build_dataset(block)
    index = next(i for i, pair in enumerate(dataset.paths) if pair['gt_path'] == 'moon')
    with pytest.raises(DataError, match=r"^'moon' \(lq\) cannot be read as an image: it is dam"):
        dataset[index]


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.webp', '.tif', '.bmp'])
def test_items_are_basicsrs(folders, tmp_path, suffix):
    block = block_of(folders(suffix), tmp_path, phase='val')
    ours = build_dataset(block)
    basicsrs = BasicSRPairedImageDataset(block_of(folders_block(block), tmp_path, phase='val'))
    for index in range(len(ours)):
        for kind in ('gt', 'lq'):
            assert torch.equal(ours[index][kind], basicsrs[index][kind])


def folders_block(block):
    """Return options with a copy of a block, which BasicSR changes when it reads."""
    return {
        'name': 'copy',
        'scale': 2,
        'path': {},
        'datasets': {'train': {**block, 'io_backend': {'type': 'disk'}}},
    }


@pytest.mark.slow
def test_a_stock_training_ends_with_the_name_of_the_file(folders, tmp_path, basicsr_tree):
    opt = folders('.png')
    # More files than are decoded before a training; some image is always in a batch.
    for kind in ('GT', 'LRx2'):
        folder = tmp_path / 'train' / kind
        for i in range(30):
            (folder / f'copy{i:02d}.png').write_bytes((folder / 'moon.png').read_bytes())
    opt['name'] = 'stock_damaged'
    opt['datasets']['train'].update(num_worker_per_gpu=1, dataset_enlarge_ratio=1)
    opt['train'].update(total_iter=100)
    names = [pair['gt_path'] for pair in build_dataset(block_of(opt, tmp_path)).paths]
    unseen = names[1]
    Path(unseen).write_bytes(with_zeros(Path(unseen).read_bytes()))
    printed = stock(
        basicsr_tree, 'train.py', '-opt', write_options(tmp_path / 'o.yml', opt), expect=1
    )
    assert f"DataError: '{unseen}' cannot be read as an image: it is damaged" in printed


def test_a_cache_names_it(folders, tmp_path, here, photographs):
    opt = folders('.png')
    path = tmp_path / 'train' / 'LRx2' / 'moon.png'
    path.write_bytes(with_zeros(path.read_bytes()))
    opt = with_cache(options_for(tmp_path, tmp_path, 'MTKDModel'), tmp_path / 'c.lmdb')
    del opt['datasets']['val']
    printed = here('cache', '-opt', write_options(tmp_path / 'o.yml', opt), expect=1)
    assert f"'{path}' cannot be read as an image: it is damaged" in printed
