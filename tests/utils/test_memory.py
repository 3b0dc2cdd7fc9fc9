"""Free memory as the system tells it, and what functions need."""

import numpy as np
import pytest
import torch

from mtkd_basicsr.utils import memory
from mtkd_basicsr.utils.memory import available_memory, is_out_of_memory, peak_bytes

MB = 2**20


def groups(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return list(memory._free_in_groups(root))


@pytest.mark.parametrize(
    ('files', 'free'),
    [
        (
            {
                'proc/self/cgroup': '0::/job/step\n',
                'sys/fs/cgroup/job/step/memory.max': '1000\n',
                'sys/fs/cgroup/job/step/memory.current': '700\n',
                'sys/fs/cgroup/job/step/memory.stat': 'anon 5\ninactive_file 200\nfile 3\n',
                'sys/fs/cgroup/job/memory.max': '900\n',
                'sys/fs/cgroup/job/memory.current': '800\n',
            },
            [500, 100],
        ),
        (
            {
                'proc/self/cgroup': '0::/job\n',
                'sys/fs/cgroup/job/memory.max': 'max\n',
                'sys/fs/cgroup/job/memory.current': '700\n',
            },
            [],
        ),
        (  # the path is that of the host, in a container
            {
                'proc/self/cgroup': '5:cpu:/docker/1\n4:memory:/docker/1\n',
                'sys/fs/cgroup/memory/memory.limit_in_bytes': '1000\n',
                'sys/fs/cgroup/memory/memory.usage_in_bytes': '600\n',
                'sys/fs/cgroup/memory/memory.stat': 'inactive_file 7\ntotal_inactive_file 50\n',
            },
            [450],
        ),
        ({}, []),
    ],
    ids=['version 2', 'no limit', 'version 1', 'no Linux'],
)
def test_control_groups_limit_what_is_free(tmp_path, files, free):
    assert groups(tmp_path, files) == free


def test_what_the_machine_has_free_is_read(tmp_path):
    (tmp_path / 'proc').mkdir()
    (tmp_path / 'proc/meminfo').write_text('MemFree: 5 kB\nMemAvailable:   123 kB\n')
    assert memory._free_on_machine(tmp_path) == 123 * 1024
    (tmp_path / 'proc/meminfo').unlink()
    assert memory._free_on_machine(tmp_path) > 100 * MB, 'half of what there is'


@pytest.mark.parametrize('name', ['RLIMIT_AS', 'RLIMIT_DATA'])
def test_limits_of_the_process_are_known(name):
    resource = pytest.importorskip('resource')
    before = resource.getrlimit(getattr(resource, name))
    used = memory._entry(memory.Path('/proc/self/status'), 'VmSize')
    if used is None:
        pytest.skip('only Linux tells what a process uses')
    try:
        resource.setrlimit(getattr(resource, name), (1024 * used + 300 * MB, before[1]))
        free = available_memory(torch.device('cpu'))
    finally:
        resource.setrlimit(getattr(resource, name), before)
    assert free <= 300 * MB + (0 if name == 'RLIMIT_AS' else 1024 * used)
    assert free > 0


def test_errors_of_memory_are_known_from_others():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    with pytest.raises(MemoryError) as no_array:
        np.empty(2**62, np.uint8)
    assert is_out_of_memory(no_array.value)
    with pytest.raises(RuntimeError) as other:
        torch.zeros(2) @ torch.zeros(3)
    assert not is_out_of_memory(other.value)
    assert not is_out_of_memory(ValueError('out of memory'))


@pytest.mark.parametrize(
    'text',
    [
        'DefaultCPUAllocator: not enough memory: you tried to allocate 5 bytes.',
        'std::bad_alloc',
        'MPS backend out of memory (MPS allocated: 5 GB)',
        'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`',
        'could not create a memory object',
    ],
)
def test_texts_of_other_systems_are_known(text):
    assert is_out_of_memory(RuntimeError(text))


def test_the_peak_is_that_of_tensors_alive_at_one_time():
    x = torch.zeros(1000)

    def three_at_a_time(x):
        a = x + 1  # 4000 bytes
        b = a.view(10, 100) * 2  # 4000 more; a view is no memory
        del a
        c = torch.cat([b, b])  # 8000 more, after 4000 less
        c.add_(1)
        return c.sum()

    assert 12000 <= peak_bytes(three_at_a_time, x) <= 12100
    assert peak_bytes(lambda x: [x + 1 for _ in range(5)], x) == 20000
    assert peak_bytes(lambda x: [(x + 1).sum() for _ in range(5)], x) < 4100


def test_a_view_keeps_its_storage_alive():
    def keep_views(x):
        views = []
        for _ in range(3):
            views.append((x + 1)[:1])
        return views

    assert peak_bytes(keep_views, torch.zeros(1000)) == 12000
