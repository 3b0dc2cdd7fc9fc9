"""Wavelet loss and affinity distance against float64."""

import functools
import itertools

import torch

from mtkd_basicsr.functional.affinity import affinity, affinity_distance
from mtkd_basicsr.functional.wavelet import band_l1, haar_bands, haar_l1
from mtkd_basicsr.losses import WaveletLoss

from .frame import check, relative, relative_norm, tf32


def _value_and_gradient(function, x, *others):
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    value = function(x, *others)
    value.backward()
    return value, x.grad


@check(seconds=20, rank=20)
def haar(context):
    """Value and gradient of the Haar loss against autograd in float64."""
    shapes = context.pick(((16, 3, 128, 128), (2, 3, 37, 45)), ((1, 3, 21, 16),))
    layouts = {
        'contiguous': lambda x: x.contiguous(),
        'channels_last': lambda x: x.contiguous(memory_format=torch.channels_last),
        'sliced': lambda x: torch.nn.functional.pad(x, (1, 1, 1, 1))[..., 1:-1, 1:-1],
    }
    means = (('mean', 'each'), ('sum', 'each'), ('mean', 'joint'))
    for shape, level, (reduction, band_mean) in itertools.product(shapes, (1, 2, 3), means):
        x = torch.rand(shape, dtype=torch.float64)
        y = torch.rand(shape, dtype=torch.float64)
        # Bands of exactly representable values: no sign depends on rounding.
        x = (x * 256).round() / 256
        y = (y * 256).round() / 256 + 2**-12

        def reference(x, y, level=level, reduction=reduction, band_mean=band_mean):
            *high, low = haar_bands(x - y, level)
            if band_mean == 'joint':
                high = [torch.stack(high[i : i + 3]) for i in range(0, len(high), 3)]
            return band_l1([*high, low], reduction)

        value, gradient = _value_and_gradient(reference, x, y)
        for name, layout in layouts.items():
            part = f'{shape}, level {level}, {reduction}, {band_mean}, {name}'
            with context.part(part):
                images = [layout(image.float().to(context.device)) for image in (x, y)]
                loss = functools.partial(
                    haar_l1, level=level, reduction=reduction, band_mean=band_mean
                )
                found = _value_and_gradient(loss, *images)
                context.expect(f'{part}: value', relative(found[0], value), 1e-6)
                context.expect(f'{part}: gradient', relative(found[1], gradient), 1e-6)


@check(seconds=20, rank=21)
def other_wavelets(context):
    """Loss with another wavelet, whose transform is a convolution, against float64."""
    loss = WaveletLoss(wave='bior2.2', level=2)
    size = context.pick(128, 32)
    x = torch.rand(4, 3, size, size)
    y = torch.rand(4, 3, size, size)
    transform = WaveletLoss(wave='bior2.2', level=2).transform.double()
    low, high = transform((x - y).double())
    bands = [low, *(band for bands in high for band in bands.unbind(2))]
    expected = band_l1(bands, 'mean')
    on_device = loss.to(context.device)
    for allowed in (False, True):
        with context.part(f'TF32 {allowed}'), tf32(allowed):
            value = on_device(x.to(context.device), y.to(context.device))
            context.expect(f'TF32 allowed elsewhere: {allowed}', relative(value, expected), 1e-5)


@check(seconds=40, rank=22)
def affinity_distances(context):
    """Value and gradient of FAKD's distance at all sizes of strips, against float64."""
    for side in context.pick((24, 32, 48), (12,)):
        student = torch.randn(context.pick(4, 2), 64, side, side)
        teacher = torch.randn(student.shape[0], context.pick(256, 32), side, side)

        def reference(s, t):
            return (affinity(s) - affinity(t)).abs().mean()

        # normalize_pixels computes in fp32: this is the formula itself.
        def exact(s, t):
            s = s.flatten(2) / (s.flatten(2).norm(dim=1, keepdim=True) + 1e-8)
            t = t.flatten(2) / (t.flatten(2).norm(dim=1, keepdim=True) + 1e-8)
            return (s.mT @ s - t.mT @ t).abs().mean()

        value, gradient = _value_and_gradient(exact, student.double(), teacher.double())
        device_teacher = teacher.to(context.device)
        for allowed in (False, True):
            results = []
            for strip in (1 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 40):
                with context.part(f'{side}², strip {strip}'), tf32(allowed):
                    results.append(
                        _value_and_gradient(
                            functools.partial(affinity_distance, strip_bytes=strip),
                            student.to(context.device),
                            device_teacher,
                        )
                    )
            # The gradient is a sum of signs. Those of differences near zero depend on rounding, and
            # each is some percent of the largest element: its norm says more.
            errors = [max(relative(v, value), relative_norm(g, gradient)) for v, g in results]
            if allowed:
                context.record(f'{side}², TF32', max(errors))
                continue
            context.expect(f'{side}²: value', max(relative(v, value) for v, _ in results), 1e-5)
            context.expect(f'{side}²: gradient', max(errors), 5e-3)
            spread = max(relative(v, results[0][0]) for v, _ in results)
            context.expect(f'{side}²: strips among each other', spread, 1e-6)
