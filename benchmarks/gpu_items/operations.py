"""Times of single operations: moving average, optimizer, DCTSwin, losses."""

import functools

import torch
from affinity import by_passes, formula
from basicsr.models.sr_model import SRModel
from fusion import NETWORK, VARIANTS, frozen_forward, reference, step, without

from mtkd_basicsr.archs import DCTSwin
from mtkd_basicsr.archs.upsampling import (
    MergedConvolution,
    Upsample,
    _layer_by_layer,
    upsample_to_image,
)
from mtkd_basicsr.functional.affinity import affinity_distance
from mtkd_basicsr.functional.least_squares_mix import normal_equations, pixel_products
from mtkd_basicsr.functional.wavelet import band_l1, haar_bands, haar_l1
from mtkd_basicsr.losses import WaveletLoss

from .frame import report_times, tf32, timing
from .setups import STUDENTS, batch, patch_size, stepper, student_options, training


@timing(seconds=20, rank=3)
def moving_average_and_adam(context):
    """BasicSR's moving average against the model's; Adam with and without fused kernels."""
    for student in context.pick(STUDENTS, STUDENTS[:1]):
        with context.part(student):
            model = training(student_options(context, student), context.device)
            stepper(model, batch(context, patch_size(context), 2))()
            parameters = list(model.net_g.parameters())
            optimizers = {'Adam': torch.optim.Adam(parameters, 1e-6)}
            if context.device == 'cuda':
                optimizers['Adam, fused'] = torch.optim.Adam(parameters, 1e-6, fused=True)
            functions = {
                "BasicSR's average": lambda m=model: SRModel.model_ema(m, decay=0.999),
                'average': lambda m=model: type(m).model_ema(m, decay=0.999),
                **{name: optimizer.step for name, optimizer in optimizers.items()},
            }
            named = {f'{student}, {name}': function for name, function in functions.items()}
            report_times(context, named)


def _forward_and_backward(function, *tensors):
    for tensor in tensors:
        tensor.grad = None
    function(*tensors).backward()


@timing(seconds=30, rank=7)
def fusion_network(context):
    """DCTSwin, forward and backward, against a straightforward implementation."""
    shape = context.pick((16, 9, 256, 256), (1, 9, 64, 64))
    size = {} if not context.tiny else {'depths': [2], 'embed_dim': 24, 'num_heads': [2]}
    x = torch.rand(shape, device=context.device)
    for name, changes in VARIANTS.items():
        with context.part(name):
            torch.manual_seed(0)
            net = DCTSwin(**{**NETWORK, **size, **changes}).to(context.device).train()
            torch.nn.init.normal_(net.conv_last.weight, std=0.05)
            nets = {
                'straightforward': functools.partial(reference, net),
                'nothing kept': functools.partial(without, net, net._merged),
                'DCTSwin': net,
            }
            functions = {
                f'{name}, {kind}': functools.partial(step, each, net, x)
                for kind, each in nets.items()
            }
            medians = report_times(context, functions, runs=20, warmup=3)
            *slow, fast = medians.values()
            for kind, seconds in zip(nets, slow):
                context.record(f'{name}: {kind} / DCTSwin', seconds / fast)
            net.eval().requires_grad_(False)
            small = torch.rand(context.pick((16, 9, 128, 128), (1, 9, 32, 32)), device=x.device)
            frozen = {
                f'{name}, frozen, {kind}': functools.partial(frozen_forward, nets[kind], small)
                for kind in ('nothing kept', 'DCTSwin')
            }
            report_times(context, frozen, runs=20, warmup=3)
    with context.part('a whole image'):
        h, w = context.pick((2040, 1356), (96, 64))
        image = torch.rand(1, 9, h, w, device=context.device)

        def in_bf16():
            with torch.no_grad(), torch.autocast(context.device, torch.bfloat16):
                net(image)

        report_times(context, {f'{h}×{w}, bf16': in_bf16}, runs=5, warmup=2)


@timing(seconds=15, rank=8)
def haar_loss(context):
    """Haar loss, forward and backward, against autograd and pytorch_wavelets."""
    pytorch_wavelets = WaveletLoss(wave='db1', level=1).to(context.device)
    for side in context.pick((128, 192), (32,)):
        x = torch.rand(context.pick(16, 2), 3, side, side, device=context.device)
        x.requires_grad_()
        y = torch.rand_like(x)
        for level in (1, 3):
            losses = {
                'closed form': lambda a, y=y, level=level: haar_l1(a, y, level),
                'autograd': lambda a, y=y, level=level: band_l1(haar_bands(a - y, level)),
            }
            if level == 1:
                losses['pytorch_wavelets'] = lambda a, y=y: pytorch_wavelets(a, y)
            functions = {
                f'{side}², level {level}, {name}': functools.partial(_forward_and_backward, loss, x)
                for name, loss in losses.items()
            }
            report_times(context, functions)


@timing(seconds=25, rank=9)
def affinity_loss(context):
    """FAKD's distance at several strips and with TF32, against the formula and single passes."""
    for side in context.pick((24, 32, 48), (12,)):
        student = torch.randn(context.pick(16, 2), 64, side, side, device=context.device)
        student.requires_grad_()
        teacher = torch.randn(student.shape[0], 256, side, side, device=context.device)

        def run(distance, allowed=False, student=student, teacher=teacher):
            with tf32(allowed):
                _forward_and_backward(lambda x: distance(x, teacher), student)

        functions = {
            f'{side}², formula': functools.partial(run, formula),
            f'{side}², a pass for each operation': functools.partial(run, by_passes),
        }
        for strip in (16, 64, 256, 1024):
            distance = functools.partial(affinity_distance, strip_bytes=strip << 20)
            functions[f'{side}², strips of {strip} MiB'] = functools.partial(run, distance)
        functions[f'{side}², TF32'] = functools.partial(run, affinity_distance, True)
        report_times(context, functions, runs=15, warmup=3)


@timing(seconds=15, rank=10)
def merged_upsampling(context):
    """DCTSwin's upsampling as one convolution against layer by layer."""
    layers = [*Upsample(4, 64), torch.nn.Conv2d(64, 3, 3, 1, 1)]
    for layer in layers:
        layer.to(context.device).requires_grad_(False)
    for side, number in context.pick(((64, 16), (340, 1)), ((12, 1),)):
        x = torch.randn(number, 64, side, side, device=context.device)
        kept = MergedConvolution()
        functions = {
            f'{number} × {side}², merged anew': lambda x=x: upsample_to_image(layers, x, 4),
            f'{number} × {side}², merged': lambda x=x, m=kept: upsample_to_image(layers, x, 4, m),
            f'{number} × {side}², layers': lambda x=x: _layer_by_layer(layers, x),
        }
        report_times(context, functions, runs=15, warmup=3)


def _shuffled_in_place(x, factor):
    """Pixel shuffle of a tensor in channels_last, whose result is in channels_last, too."""
    b, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).view(b, h, w, c // factor**2, factor, factor)
    x = x.permute(0, 1, 4, 2, 5, 3).reshape(b, h * factor, w * factor, c // factor**2)
    return x.permute(0, 3, 1, 2)


@timing(seconds=15, rank=11)
def pixel_shuffle(context):
    """The upsampler of a large EDSR in channels_last: torch's pixel shuffle, and one that keeps it.

    On a GPU torch's gives a contiguous tensor, which the next convolution has to convert.
    """
    channels = context.pick(256, 16)
    first = torch.nn.Conv2d(channels, 4 * channels, 3, 1, 1)
    last = torch.nn.Conv2d(channels, 3, 3, 1, 1)
    for layer in (first, last):
        layer.to(context.device, torch.bfloat16, memory_format=torch.channels_last)
        layer.requires_grad_(False)
    for number, h, w in context.pick(((16, 32, 32), (1, 340, 512)), ((1, 12, 8),)):
        x = torch.randn(number, channels, h, w, dtype=torch.bfloat16, device=context.device)
        x = x.contiguous(memory_format=torch.channels_last)
        part = f'{number} × {h}×{w}'
        with context.part(part):
            shuffles = {
                'torch': torch.nn.functional.pixel_shuffle,
                'in channels_last': _shuffled_in_place,
            }
            y = first(x)
            context.expect_same(f'{part}: equal bits', *(f(y, 2) for f in shuffles.values()))
            functions = {
                f'{part}, {name}': lambda f=f, x=x: last(f(first(x), 2))
                for name, f in shuffles.items()
            }
            report_times(context, functions, runs=15, warmup=3)


@timing(seconds=15, rank=17)
def sums_of_the_mix(context):
    """Sums of the fit of the mix: of whole numbers against those of a step, and their bits."""
    h, w = context.pick((1356, 2040), (48, 64))
    planes = torch.randint(0, 256, (12, h, w), dtype=torch.uint8, device=context.device)
    context.expect_same('as on a CPU', pixel_products(planes).cpu(), pixel_products(planes.cpu()))
    images = planes[None, :9].float() / 255
    truth = planes[None, 9:].float() / 255
    functions = {
        'whole numbers': lambda: pixel_products(planes),
        'as in a step': lambda: normal_equations(images, truth),
    }
    report_times(context, functions, runs=15, warmup=3)
