"""Machines of other kinds than this one: what torch says about them, and how long a layer takes."""

import torch

from mtkd_basicsr.utils import precision

# By name: device; what the questions to torch give; seconds of a layer in (bf16, fp32), None where
# there are no kernels; whether bfloat16 is native; and what the machine is called. A value of None
# is a question that this torch has not.
MACHINES = {
    'CPU with AMX': (
        'cpu',
        {'capability': 'AVX512', 'features': {'avx512_bf16': True, 'amx_bf16': True}},
        (1.0, 2.0),
        True,
        'AVX512 with AMX, native bfloat16',
    ),
    'CPU with AVX512_BF16 alone': (
        'cpu',
        {'capability': 'AVX512', 'features': {'avx512_bf16': True, 'amx_bf16': False}},
        (1.0, 2.0),
        True,
        'AVX512, native bfloat16',
    ),
    'CPU with AVX512_BF16, torch 2.6': (
        'cpu',
        {'capability': 'AVX512', 'features': {}, 'instructions': True},
        (1.0, 2.0),
        True,
        'AVX512, native bfloat16',
    ),
    'CPU with AVX512 alone': (
        'cpu',
        {'capability': 'AVX512', 'features': {'avx512_bf16': False}},
        (9.0, 1.0),
        False,
        'AVX512, no native bfloat16',
    ),
    'CPU with AVX2': (
        'cpu',
        {'capability': 'AVX2', 'features': {'avx512_bf16': False}},
        (9.0, 1.0),
        False,
        'AVX2, no native bfloat16',
    ),
    'CPU with AVX2, torch 2.1': (
        'cpu',
        {'capability': 'AVX2', 'features': {}},
        (9.0, 1.0),
        False,
        'AVX2, no native bfloat16',
    ),
    # Timed: torch does not say.
    'CPU with AVX512_BF16, torch 2.1': (
        'cpu',
        {'capability': 'AVX512', 'features': {}},
        (1.0, 2.0),
        True,
        'AVX512, native bfloat16',
    ),
    'CPU with AVX512 alone, torch 2.1': (
        'cpu',
        {'capability': 'AVX512', 'features': {}},
        (9.0, 1.0),
        False,
        'AVX512, no native bfloat16',
    ),
    'CPU that converts in hardware': (
        'cpu',
        {'capability': 'AVX2', 'features': {'avx512_bf16': False, 'avx_ne_convert': True}},
        (1.0, 2.0),
        True,
        'AVX2, native bfloat16',
    ),
    'ARM with bfloat16': (
        'cpu',
        {'x86': False, 'capability': 'SVE256', 'instructions': False},
        (1.0, 2.0),
        True,
        'SVE256, native bfloat16',
    ),
    'ARM without': (
        'cpu',
        {'x86': False, 'capability': 'DEFAULT', 'instructions': False},
        (1.0, 1.0),
        False,
        'DEFAULT, no native bfloat16',
    ),
    'GPU': ('cuda', {'gpu': True}, (1.0, 2.0), True, 'Some GPU, native bfloat16'),
    'GPU that emulates it': (
        'cuda',
        {'gpu': False},
        (3.0, 1.0),
        False,
        'Some GPU, no native bfloat16',
    ),
    'GPU without kernels': ('cuda', {'gpu': False}, None, False, 'Some GPU, no native bfloat16'),
}


def pretend(monkeypatch, name):
    """From now on the machine is another one; gives its device.

    Timing is pretended alone, so that all that trains runs as it does here.
    """
    device, says, seconds, *_ = MACHINES[name]
    timed = []

    def time_layer(device, bf16):
        if seconds is None and bf16:
            raise RuntimeError('no kernel')
        timed.append(bf16)
        return seconds[0 if bf16 else 1]

    for function, value in (
        ('is_x86', says.get('x86', True)),
        ('cpu_capability', says.get('capability', 'AVX2')),
        ('cpu_features', says.get('features', {})),
        ('cpu_has_bf16_instructions', says.get('instructions')),
    ):
        monkeypatch.setattr(precision, function, lambda value=value: value)
    monkeypatch.setattr(precision, 'gpu_has_bf16_instructions', lambda device: says['gpu'])
    monkeypatch.setattr(precision, 'gpu_name', lambda device: 'Some GPU')
    monkeypatch.setattr(precision, 'time_convolution', time_layer)
    precision.forget_devices()
    return torch.device(device), timed
