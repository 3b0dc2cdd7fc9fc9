import pytest
import torch

from mtkd_basicsr.utils.gpus import visible_gpus


@pytest.mark.parametrize(
    ('given', 'count', 'expected'),
    [
        (None, 0, []),
        (None, 3, ['0', '1', '2']),
        ('', 0, []),
        ('2,3', 2, ['2', '3']),
        ('5, GPU-3f1b', 2, ['5', 'GPU-3f1b']),
        (
            'GPU-3f1b8a6e-0000-0000-0000-000000000000',
            1,
            ['GPU-3f1b8a6e-0000-0000-0000-000000000000'],
        ),
        ('MIG-9c1d,MIG-77aa', 2, ['MIG-9c1d', 'MIG-77aa']),
        # CUDA stops at a name that it does not know.
        ('1,-1,0', 1, ['1']),
        ('7,9', 1, ['7']),
    ],
)
def test_gpus_are_those_that_the_process_was_given(given, count, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    if given is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    else:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given)
    assert visible_gpus() == expected
