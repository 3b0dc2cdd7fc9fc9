"""What the device is, and what it can do at most."""

import platform
import subprocess
import time

import torch

from mtkd_basicsr.host.scripts import version_lines
from mtkd_basicsr.utils.precision import describe, supports_native_bf16

from .frame import check, report_times, tf32, timing


@check(seconds=20, rank=1)
def facts(context):
    """Device, versions, and what torch decides by itself."""
    context.record('python', platform.python_version())
    context.record('torch', f'{torch.__version__}, CUDA {torch.version.cuda}')
    context.record('device', describe(context.device))
    context.record('native bfloat16', supports_native_bf16(context.device))
    for line in version_lines():
        # Without the folders, which name the machine.
        context.record(*line.partition(' from ')[0].split(': ', 1))
    if context.device != 'cuda':
        return
    context.record('cuDNN', torch.backends.cudnn.version())
    context.record('capability', torch.cuda.get_device_capability())
    context.record('TF32, convolution', torch.backends.cudnn.allow_tf32)
    context.record('TF32, matrix product', torch.backends.cuda.matmul.allow_tf32)
    query = ['nvidia-smi', '--query-gpu=driver_version,clocks.max.sm,memory.total']
    driver = subprocess.run([*query, '--format=csv,noheader'], capture_output=True, text=True)
    context.record('driver, clock, memory', driver.stdout.strip())
    for windows in (16, 1024, 2752):
        for dtype, gradient in (
            (torch.float32, True),
            (torch.bfloat16, True),
            (torch.bfloat16, False),
        ):
            q = torch.zeros(windows, 6, 64, 16, device='cuda', dtype=dtype, requires_grad=gradient)
            bias = torch.zeros(1, 6, 64, 64, device='cuda', dtype=dtype)
            backend = torch._fused_sdp_choice(q, q, q, bias)
            context.record(f'attention, {windows} windows, {dtype}, gradient {gradient}', backend)


@timing(seconds=15, rank=1)
def floors(context):
    """Copy of memory, matrix products, launches, transfers: what no program can beat."""
    device = context.device
    count = context.pick(2**28, 2**20)
    source = torch.empty(count, device=device)
    target = torch.empty_like(source)
    medians = report_times(context, {'copy on the device': lambda: target.copy_(source)})
    rate = 8 * count / medians['copy on the device'] / 1e9
    context.record('copy, read and written', rate, 'GB/s')
    side = context.pick(8192, 128)
    for name, dtype, allowed in (
        ('bf16', torch.bfloat16, True),
        ('TF32', torch.float32, True),
        ('fp32', torch.float32, False),
    ):
        x = torch.randn(side, side, device=device, dtype=dtype)
        with tf32(allowed):
            medians = report_times(context, {f'matmul {name}': lambda x=x: x @ x}, runs=10)
        context.record(f'{name} rate', 2 * side**3 / medians[f'matmul {name}'] / 1e12, 'TFLOP/s')
    one = torch.zeros(1, device=device)
    launches = context.pick(10_000, 100)
    context.synchronize()
    start = time.perf_counter()
    for _ in range(launches):
        one.add_(1)
    queued = time.perf_counter() - start
    context.synchronize()
    context.record('launch', queued / launches * 1e6, 'µs')
    host = torch.empty(context.pick(2**24, 2**16), dtype=torch.uint8)
    copies = {'pageable to the device': lambda: host.to(device)}
    if device == 'cuda':
        pinned = host.pin_memory()
        copies['pinned to the device'] = lambda: pinned.to(device, non_blocking=True)
    report_times(context, copies)
