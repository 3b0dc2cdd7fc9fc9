"""Times of single operations: moving average, optimizer, DCTSwin, losses."""

import functools

import torch
from basicsr.models.sr_model import SRModel
from fusion import NETWORK, VARIANTS, reference, step

from mtkd_basicsr.archs import DCTSwin
from mtkd_basicsr.functional.affinity import affinity_distance, normalize_pixels
from mtkd_basicsr.functional.least_squares_mix import normal_equations, pixel_products
from mtkd_basicsr.functional.wavelet import band_l1, haar_bands, haar_l1
from mtkd_basicsr.losses import WaveletLoss

from .frame import report_times, timing
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
            nets = {'straightforward': functools.partial(reference, net), 'DCTSwin': net}
            functions = {
                f'{name}, {kind}': functools.partial(step, each, net, x)
                for kind, each in nets.items()
            }
            medians = report_times(context, functions, runs=20, warmup=3)
            slow, fast = medians.values()
            context.record(f'{name}: ratio', slow / fast)
    with context.part('a whole image'):
        net.eval().requires_grad_(False)
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


def _formula(student, teacher):
    s = normalize_pixels(student)
    t = normalize_pixels(teacher)
    return (s.mT @ s - t.mT @ t).abs().mean()


@timing(seconds=20, rank=9)
def affinity_loss(context):
    """FAKD's distance at several strips against the formula with autograd."""
    for side in context.pick((24, 32, 48), (12,)):
        student = torch.randn(context.pick(16, 2), 64, side, side, device=context.device)
        student.requires_grad_()
        teacher = torch.randn(student.shape[0], 256, side, side, device=context.device)
        functions = {
            f'{side}², formula': lambda s=student, t=teacher: _forward_and_backward(
                lambda x: _formula(x, t), s
            )
        }
        for strip in (16, 64, 256):
            functions[f'{side}², strips of {strip} MiB'] = (
                lambda s=student, t=teacher, strip=strip: _forward_and_backward(
                    lambda x: affinity_distance(x, t, strip << 20), s
                )
            )
        report_times(context, functions, runs=15, warmup=3)


@timing(seconds=15, rank=10)
def merged_upsampling(context):
    """DCTSwin's upsampling as one convolution against layer by layer."""
    from mtkd_basicsr.archs.upsampling import Upsample, _layer_by_layer, upsample_to_image

    layers = [*Upsample(4, 64), torch.nn.Conv2d(64, 3, 3, 1, 1)]
    for layer in layers:
        layer.to(context.device).requires_grad_(False)
    for side, number in context.pick(((64, 16), (340, 1)), ((12, 1),)):
        x = torch.randn(number, 64, side, side, device=context.device)
        functions = {
            f'{number} × {side}², merged': lambda x=x: upsample_to_image(layers, x, 4),
            f'{number} × {side}², layers': lambda x=x: _layer_by_layer(layers, x),
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
