"""Window attention of DCTSwin on the kernels that torch has for it."""

import copy
import itertools

import torch

from mtkd_basicsr.archs.dct_attention import WindowAttention
from mtkd_basicsr.archs.window_layout import authors_shift_mask

from .frame import check, relative, tf32, weigh

DIM = 96
HEADS = 6
SIZE = 8


def _backends(context):
    """Return torch's backends by name; ``default`` is what the package uses."""
    found = {'default': None}
    if context.device == 'cuda':
        from torch.nn.attention import SDPBackend

        found.update(
            math=SDPBackend.MATH,
            efficient=SDPBackend.EFFICIENT_ATTENTION,
            cudnn=SDPBackend.CUDNN_ATTENTION,
        )
    return found


def _run(layer, x, mask, backend, dtype=None):
    """Return the output and the gradients of input and parameters."""
    from torch.nn.attention import sdpa_kernel

    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    device = x.device.type
    with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
        if backend is None:
            y = layer(x, mask)
        else:
            with sdpa_kernel(backend):
                y = layer(x, mask)
    weigh(y).backward()
    return [y, x.grad, *(p.grad for p in layer.parameters())]


@check(seconds=40, rank=2)
def window_attention(context):
    """Output and gradients of window attention on every backend, against float64."""
    layer = WindowAttention(DIM, SIZE, HEADS)
    torch.nn.init.normal_(layer.relative_position_bias_table, std=0.5)
    exact = copy.deepcopy(layer).double()
    on_device = copy.deepcopy(layer).to(context.device)
    masks = {'none': None, 'authors': authors_shift_mask(32, 32, SIZE, SIZE // 2, 'none').float()}
    windows = context.pick((48, 1024), (16,))
    for number, (name, mask) in itertools.product(windows, masks.items()):
        x = torch.randn(number, SIZE**2, DIM)
        expected = _run(exact, x.double(), None if mask is None else mask.double(), None)
        device_mask = None if mask is None else mask.to(context.device)
        for backend, kernel in _backends(context).items():
            for dtype, limit in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
                part = f'{backend}, {number} windows, mask {name}, {dtype}'
                with context.part(part), tf32(False):
                    found = _run(on_device, x.to(context.device), device_mask, kernel, dtype)
                    errors = [relative(a, e) for a, e in zip(found, expected)]
                    context.expect(part, max(errors), limit)


@check(seconds=20, rank=3)
def attention_nan(context):
    """No NaN in gradients in bf16 where all logits of a row are far below zero."""
    layer = WindowAttention(DIM, SIZE, HEADS).to(context.device)
    x = torch.randn(context.pick(1024, 16), SIZE**2, DIM, device=context.device)
    # Softmax does not change, but the logarithm of its sum is below -88.7, where exp underflows.
    layer.relative_position_bias_table.data.fill_(-120.0)
    for backend, kernel in _backends(context).items():
        with context.part(backend):
            gradients = _run(layer, x, None, kernel, torch.bfloat16)
            finite = all(g.isfinite().all() for g in gradients)
            if backend == 'default':
                context.expect_true('default', finite)
            else:
                context.record(backend, f'finite: {finite}')


@check(seconds=40, rank=4)
def many_windows(context):
    """More windows than a CUDA grid has blocks in a direction, 65535."""
    layer = WindowAttention(DIM, SIZE, HEADS).to(context.device).requires_grad_(False)
    number = context.pick(70_000, 64)
    x = torch.randn(number, SIZE**2, DIM, device=context.device)
    for dtype in (torch.float32, torch.bfloat16):
        with (
            context.part(str(dtype)),
            torch.autocast(context.device, torch.bfloat16, enabled=dtype == torch.bfloat16),
        ):
            whole = layer(x)
            halves = torch.cat([layer(part) for part in x.chunk(2)])
            limit = 1e-5 if dtype == torch.float32 else 1e-2
            context.expect(str(dtype), relative(whole, halves), limit)
