"""``prefetch_mode: cpu``: the images of a training without it, and errors that end it."""

import random
import threading

import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.prefetch_dataloader import CPUPrefetcher
from conftest import dataset

from mtkd_basicsr.host import prefetching


@pytest.fixture(autouse=True)
def repaired():
    prefetching.apply()
    prefetching.apply()


def batches(photographs, epochs=2, **changes):
    """All ground truths that BasicSR's loop takes, in its order of calls."""
    block = dataset(photographs, 'train', 2, phase='train', scale=2, **changes)
    random.seed(5)
    torch.manual_seed(5)
    loader = build_dataloader(build_dataset(block), block, num_gpu=0, seed=0)
    prefetcher = CPUPrefetcher(loader)
    taken = []
    for _ in range(epochs):
        prefetcher.reset()
        while (batch := prefetcher.next()) is not None:
            taken.append(batch['gt'])
    return torch.cat(taken)


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('queue', [1, 3])
def test_the_images_are_those_of_a_training_without_it(photographs, workers, queue):
    before = threading.active_count()
    plain = batches(photographs, num_worker_per_gpu=workers)
    mode = {'prefetch_mode': 'cpu', 'num_prefetch_queue': queue}
    assert torch.equal(batches(photographs, num_worker_per_gpu=workers, **mode), plain)
    assert threading.active_count() == before, 'a thread is left over'


def test_an_error_of_a_dataset_is_raised(photographs):
    """BasicSR's thread would end, and the training wait for ever."""
    block = dataset(photographs, 'train', 2, phase='train', scale=2, prefetch_mode='cpu')
    images = build_dataset(block)
    images.paths[1]['gt_path'] = 'gone.png'
    loader = build_dataloader(images, block, num_gpu=0, seed=0)
    with pytest.raises(FileNotFoundError, match=r'gone\.png'):
        list(loader)


def test_validation_images_are_prefetched_too(photographs):
    block = dataset(photographs, 'val', 2, phase='val', scale=2, prefetch_mode='cpu')
    found = [batch['gt_path'][0] for batch in build_dataloader(build_dataset(block), block)]
    plain = build_dataset(block)
    assert found == [plain[i]['gt_path'] for i in range(len(plain))]
