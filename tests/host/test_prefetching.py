"""``prefetch_mode: cpu``: the images of a training without it, and errors that end it."""

import random
import threading

import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.data.prefetch_dataloader import CPUPrefetcher
from conftest import dataset
from helpers.waiting import wait_until

from mtkd_basicsr.host import prefetching


@pytest.fixture(autouse=True)
def repaired():
    prefetching.apply()
    prefetching.apply()


def batches(photographs, epochs=2, **changes):
    """All ground truths that BasicSR's loop takes, in its order of calls."""
    block = {**dataset(photographs, 'train', 2), 'phase': 'train', 'scale': 2, **changes}
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
    plain = batches(photographs, num_worker_per_gpu=workers)
    before = threading.active_count()  # with the threads of torch's workers
    mode = {'prefetch_mode': 'cpu', 'num_prefetch_queue': queue}
    assert torch.equal(batches(photographs, num_worker_per_gpu=workers, **mode), plain)
    wait_until(lambda: threading.active_count() <= before, 'the end of the thread', timeout=30)


class Processes:
    """Counts the processes that are started."""

    def __init__(self, monkeypatch):
        self.count = 0
        start = torch.multiprocessing.Process.start

        def counted(process):
            self.count += 1
            start(process)

        monkeypatch.setattr(torch.multiprocessing.Process, 'start', counted)


@pytest.mark.parametrize(
    ('options', 'started'),
    [
        ({'num_worker_per_gpu': 0}, 0),
        ({'num_worker_per_gpu': 2}, 2),
        ({'num_worker_per_gpu': 2, 'persistent_workers': True}, 2),
    ],
)
def test_workers_start_once_with_the_random_numbers_of_before(
    photographs, monkeypatch, options, started
):
    block = {**dataset(photographs, 'train', 2), 'phase': 'train', 'scale': 2, **options}

    def epoch(kind):
        random.seed(5)
        torch.manual_seed(5)
        data = build_dataset(block)
        sampler = EnlargedSampler(data, 1, 0, 4)
        loader = build_dataloader(data, block, num_gpu=0, seed=0, sampler=sampler)
        processes = Processes(monkeypatch)
        prefetcher = kind(loader)
        prefetcher.reset()
        taken = []
        while (batch := prefetcher.next()) is not None:
            taken.append(batch['gt'])
        monkeypatch.undo()
        return torch.cat(taken), torch.get_rng_state(), random.getstate(), processes.count

    *expected, _ = epoch(CPUPrefetcher)
    *found, count = epoch(prefetching.CPUPrefetcher)
    assert count == started
    for one, other in zip(found, expected):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_prefetcher_that_is_never_reset_starts_by_itself(photographs):
    block = {**dataset(photographs, 'train', 2), 'phase': 'train', 'scale': 2}
    block['num_worker_per_gpu'] = 1
    data = build_dataset(block)
    sampler = EnlargedSampler(data, 1, 0, 4)
    loader = build_dataloader(data, block, num_gpu=0, seed=0, sampler=sampler)
    assert prefetching.CPUPrefetcher(loader).next() is not None


class Broken(torch.utils.data.Dataset):
    """Images, the second of which cannot be read."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 1:
            raise ValueError('cannot be read')
        return {'gt': torch.zeros(3, 4, 4)}


@pytest.mark.parametrize('workers', [0, 2])
def test_an_error_of_a_dataset_is_raised(workers):
    """BasicSR's thread would end, and the training wait for ever."""
    block = {
        'phase': 'train',
        'batch_size_per_gpu': 1,
        'num_worker_per_gpu': workers,
        'prefetch_mode': 'cpu',
    }
    order = torch.utils.data.SequentialSampler(range(4))
    loader = build_dataloader(Broken(), block, num_gpu=0, seed=0, sampler=order)
    prefetcher = CPUPrefetcher(loader)
    prefetcher.reset()
    assert prefetcher.next()['gt'].shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match='cannot be read'):
        prefetcher.next()


def test_validation_images_are_prefetched_too(photographs):
    block = {**dataset(photographs, 'val', 2), 'phase': 'val', 'scale': 2, 'prefetch_mode': 'cpu'}
    found = [batch['gt_path'][0] for batch in build_dataloader(build_dataset(block), block)]
    plain = build_dataset(block)
    assert found == [plain[i]['gt_path'] for i in range(len(plain))]
