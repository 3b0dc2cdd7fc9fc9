"""Choose the precision for a machine: bfloat16 where it is native, float32 where it is emulated."""

import functools
import platform
import time
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from ..errors import OptionError

# Where torch does not say whether bfloat16 is native, a convolution is timed: bfloat16 is used if
# it takes less than this share of the time of float32.
_MAX_RELATIVE_TIME = 0.9
_TIMED_RUNS = 3
# Batch, channels, height and width of the convolution that is timed.
_TIMED_SHAPE = {'cpu': (8, 16, 48, 48), 'cuda': (16, 64, 96, 96)}

Device: TypeAlias = str | torch.device


@dataclass(frozen=True)
class Precision:
    """The precision that networks run in, and the reason for it.

    Attributes:
        name: ``'bf16'`` (autocast) or ``'fp32'``.
        reason: For the log: ``'auto: fp32 (AVX2, no native bfloat16)'``.
        warning: If ``name`` is slow on this device, what to do about it, beginning with the option
            key; else None.
    """

    name: str
    reason: str
    warning: str | None = None


# What torch says about a machine. Tests put other machines in the place of these.


def cpu_capability() -> str:
    """Return the vector instructions that torch uses, for example ``'AVX2'``."""
    return torch.backends.cpu.get_cpu_capability()


def cpu_features() -> dict[str, Any]:
    """Return the features of the CPU by name, from torch 2.12 on; nothing in older ones."""
    ask = getattr(torch.cpu, 'get_capabilities', None)
    return dict(ask()) if ask is not None else {}


def cpu_has_bf16_instructions() -> bool | None:
    """Return what torch 2.6 and later say about an x86 CPU; None in older ones."""
    names = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    questions: list[Any] = [getattr(torch.cpu, name, None) for name in names]
    if None in questions:
        return None
    return any(ask() for ask in questions)


def gpu_has_bf16_instructions(device: torch.device) -> bool:
    """Return whether a CUDA or ROCm device has native bfloat16."""
    with torch.cuda.device(device):
        try:
            native: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        except TypeError:  # torch before 2.5 has no such argument
            return torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
        return native


def gpu_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device)


def is_x86() -> bool:
    return platform.machine().lower() in ('x86_64', 'amd64', 'i386', 'i686', 'x86')


def _wait_for(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def time_convolution(device: torch.device, bf16: bool) -> float:
    """Time a convolution, forward and backward, in seconds: the fastest of a few runs."""
    batch, channels, height, width = _TIMED_SHAPE.get(device.type, _TIMED_SHAPE['cpu'])
    # Not drawn from torch's generator, whose state a measurement must not change.
    pixels = torch.linspace(0, 1, batch * channels * height * width, device=device)
    image = pixels.view(batch, channels, height, width).requires_grad_()
    numbers = torch.linspace(-1, 1, channels * channels * 9, device=device)
    weight = numbers.view(channels, channels, 3, 3).requires_grad_()
    shortest = float('inf')
    for _ in range(1 + _TIMED_RUNS):
        _wait_for(device)
        start = time.perf_counter()
        with torch.enable_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output = torch.nn.functional.conv2d(image, weight, padding=1)
            torch.autograd.grad(output.float().sum(), (image, weight))
        _wait_for(device)
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


# What is made of it


@functools.cache
def _slowdown(device: torch.device) -> float:
    return time_convolution(device, bf16=True) / time_convolution(device, bf16=False)


def bf16_slowdown(device: Device) -> float:
    """Measure the time of a convolution in bfloat16 autocast relative to float32.

    The convolution, forward and backward, is timed once per process and device, in well under a
    second, with torch's current number of threads.

    Args:
        device: The device.

    Returns:
        Seconds in bfloat16 divided by those in float32: below 1 where bfloat16 is faster.

    Raises:
        RuntimeError: If the device has no kernels for bfloat16.
    """
    return _slowdown(torch.device(device))


def _cpu_is_native() -> bool:
    if is_x86():
        features = cpu_features()
        if features.get('avx512_bf16') or features.get('amx_bf16'):
            return True
        # Some CPUs with AVX2 convert in hardware. Whether that is fast enough has to be measured.
        if not features.get('avx_ne_convert'):
            known = False if 'avx512_bf16' in features else cpu_has_bf16_instructions()
            if known is not None:
                return known
            if cpu_capability() != 'AVX512':  # its instructions for bfloat16 belong to AVX512
                return False
    return bf16_slowdown('cpu') < _MAX_RELATIVE_TIME


@functools.cache
def _native(device: torch.device) -> bool:
    if device.type == 'cuda':
        return gpu_has_bf16_instructions(device)
    # Other devices (mps, xpu, …) have not been measured.
    return device.type == 'cpu' and _cpu_is_native()


def supports_native_bf16(device: Device) -> bool:
    """Return whether a device computes in bfloat16 natively, rather than emulating it.

    Torch is asked first. On a CPU that torch has no answer for (not an x86, or an old version of
    torch), a convolution is timed.

    Args:
        device: The device.

    Returns:
        Whether bfloat16 is native; False for devices that are neither a CPU nor a CUDA device.
    """
    return _native(torch.device(device))


def forget_devices() -> None:
    """Ask and time anew: what has been found out so far in this process is of another machine."""
    _native.cache_clear()
    _slowdown.cache_clear()


def describe(device: Device) -> str:
    """Describe a device in a few words.

    Args:
        device: The device.

    Returns:
        ``'AVX2, no native bfloat16'``, ``'AVX512 with AMX, native bfloat16'``, ``'NVIDIA H100,
        native bfloat16'``.
    """
    device = torch.device(device)
    name = device.type
    if name == 'cpu':
        name = cpu_capability()
        if is_x86() and cpu_features().get('amx_bf16'):
            name += ' with AMX'
    elif name == 'cuda':
        name = gpu_name(device)
    return f'{name}, {"native" if supports_native_bf16(device) else "no native"} bfloat16'


def describe_cpu() -> str:
    """Describe the CPU in a few words: ``'AVX2, no native bfloat16'``."""
    return describe('cpu')


def _drawback(device: torch.device, key: str, advice: str) -> str | None:
    """Return a warning if bfloat16 is not native on a device; None if it is.

    Raises:
        OptionError: If the device has no kernels for bfloat16.
    """
    if supports_native_bf16(device):
        return None
    kind = {'cpu': 'CPU', 'cuda': 'GPU'}.get(device.type, device.type)
    try:
        factor = bf16_slowdown(device)
    except RuntimeError as error:
        raise OptionError(
            f'{key}: bf16, but this {kind} ({describe(device)}) has no kernels for it; {advice}'
        ) from error
    slower = f'{factor:.1f} times slower than fp32' if factor >= 1.05 else 'no slower than fp32'
    return (
        f'{key}: bf16 is emulated on this {kind} ({describe(device)}): a convolution is '
        f'{slower}; {advice}'
    )


def resolve(asked: str, device: Device, key: str, began: str | None = None) -> Precision:
    """Decide on the precision that networks run in.

    Args:
        asked: ``'auto'`` (bf16 where the device has it natively, else fp32), ``'bf16'``,
            ``'fp32'``.
        device: The device that they run on.
        key: The option, for messages: ``'train.amp'``.
        began: The precision that ``auto`` meant at the start of a run that is resumed, which
            continues with it; None at the start.

    Returns:
        The precision, never ``'auto'``.

    Raises:
        OptionError: If the device has no kernels for it.
    """
    device = torch.device(device)
    if asked == 'fp32':
        return Precision('fp32', 'fp32')
    if asked == 'bf16':
        return Precision('bf16', 'bf16', _drawback(device, key, 'use auto'))
    if began is None:
        name = 'bf16' if supports_native_bf16(device) else 'fp32'
        return Precision(name, f'auto: {name} ({describe(device)})')
    warning = None
    if began == 'bf16':
        warning = _drawback(device, key, 'the run began with it; set fp32 to change that')
    return Precision(began, f'auto: {began} (as at the start)', warning)


def student_precision(asked: str | None, device: Device, began: str | None = None) -> Precision:
    """Resolve ``train.amp``: as :func:`resolve`, but ``~`` is fp32."""
    if asked is None:
        return Precision('fp32', 'fp32 (the default)')
    return resolve(asked, device, 'train.amp', began)


def teacher_precision(
    asked: str | None,
    device: Device,
    began: str | None = None,
    key: str = 'train.teacher_precision',
) -> Precision:
    """Resolve ``train.teacher_precision``.

    As :func:`resolve`, but ``~`` is ``auto`` on a GPU and fp32 on a CPU.
    """
    if asked is None and began is None and torch.device(device).type != 'cuda':
        return Precision('fp32', 'fp32 (the default on a CPU)')
    return resolve(asked or 'auto', device, key, began)
