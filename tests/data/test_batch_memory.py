"""Shared memory of worker processes, which holds one batch after another."""

import os

import pytest
import torch
from basicsr.data.prefetch_dataloader import CPUPrefetcher, PrefetchDataLoader

from mtkd_basicsr.data import batch_memory
from mtkd_basicsr.data.batch_memory import new_bytes
from mtkd_basicsr.host import prefetching

METHODS = torch.multiprocessing.get_all_start_methods()
BATCHES = 40


class Numbers(torch.utils.data.Dataset):
    """Batches whose bytes are the number of the batch; the last ones may be smaller."""

    def __init__(self, count=BATCHES, smaller=0):
        self.count = count
        self.smaller = smaller

    def __len__(self):
        return 2 * self.count

    def __getitems__(self, indices):
        number = indices[0] // 2
        size = 5000 if number < self.count - self.smaller else 3000
        content, sent = new_bytes(size)
        content.fill_(number)
        return {'pixels': sent, 'number': number}


def as_it_is(batch):
    return batch


def loader_of(dataset, workers=1, kind=torch.utils.data.DataLoader, **options):
    return kind(dataset=dataset, batch_size=2, num_workers=workers, collate_fn=as_it_is, **options)


def assert_right(batch):
    assert isinstance(batch['pixels'], torch.Tensor)
    assert batch['pixels'].dtype == torch.uint8
    assert batch['pixels'].eq(batch['number']).all()


@pytest.mark.parametrize(
    ('method', 'workers'),
    [('fork', 1), ('fork', 2), pytest.param('spawn', 1, marks=pytest.mark.slow)],
)
def test_few_places_hold_many_batches(method, workers):
    if method not in METHODS:
        pytest.skip(f'no {method}')
    places = set()
    numbers = []
    loader = loader_of(Numbers(), workers, multiprocessing_context=method)
    for batch in loader:
        assert_right(batch)
        numbers.append(batch['number'])
        places.add(batch['pixels'].data_ptr())
    assert numbers == list(range(BATCHES))
    assert len(places) <= workers * batch_memory._COUNT < BATCHES


def test_batches_that_are_kept_are_not_overwritten():
    """Then there is no free slot, and a batch gets memory of its own."""
    batches = list(loader_of(Numbers()))
    assert [batch['number'] for batch in batches] == list(range(BATCHES))
    for batch in batches:
        assert_right(batch)
    assert len({batch['pixels'].data_ptr() for batch in batches}) == BATCHES


def test_batches_of_another_size():
    kept = []
    for batch in loader_of(Numbers(smaller=20)):
        assert_right(batch)
        kept = [*kept[-2:], batch]
        for earlier in kept:
            assert_right(earlier)


def test_two_loaders_at_once_as_in_basicsrs_prefetcher():
    """It starts the workers of an epoch before it drops those of the one before."""
    loader = loader_of(Numbers())
    before = iter(loader)
    held = [next(before) for _ in range(2)]
    for batch in loader:
        assert_right(batch)
        for earlier in held:
            assert_right(earlier)
    for batch in before:
        assert_right(batch)


@pytest.mark.parametrize('queue', [1, 8])
def test_the_queue_of_a_prefetcher(queue):
    prefetching.apply()
    loader = loader_of(Numbers(), 2, PrefetchDataLoader, num_prefetch_queue=queue)
    prefetcher = CPUPrefetcher(loader)
    prefetcher.reset()
    numbers = []
    while (batch := prefetcher.next()) is not None:
        assert_right(batch)
        numbers.append(batch['number'])
    assert numbers == list(range(BATCHES))


def test_memory_of_workers_that_have_ended_is_given_back():
    for _ in range(3):
        for batch in loader_of(Numbers(6), 2):
            assert_right(batch)
    del batch
    running = {process.pid for process in torch.multiprocessing.active_children()}
    assert len(set(batch_memory._memories) - running) <= 2


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_the_end_of_a_copy_in_another_process_frees_nothing():
    batches = iter(loader_of(Numbers()))
    batch = next(batches)
    number = batch['number']
    process = torch.multiprocessing.get_context('fork').Process(target=batch.clear)
    process.start()
    process.join()
    assert process.exitcode == 0
    for later in batches:
        assert_right(later)
        assert batch['pixels'].eq(number).all()


def test_without_workers_there_is_no_shared_memory():
    content, sent = new_bytes(10)
    assert sent is content
    assert not content.is_shared()
