"""Networks on the device against float64, and teachers against the CPU."""

import copy
import itertools
import math

import torch
from launches import casting_anew

from mtkd_basicsr.archs import DCTSwin
from mtkd_basicsr.archs.upsampling import Upsample, _layer_by_layer, upsample_to_image
from mtkd_basicsr.config import parse_teachers
from mtkd_basicsr.teachers import TeacherEnsemble

from .frame import check, relative, relative_norm, tf32, weigh
from .setups import (
    SCALE,
    paper_networks,
    photographs,
    quiet,
    random_network,
    read_yaml,
    swinir_pair,
)


def _fusion(context, **changes):
    options = {
        'upscale': SCALE,
        'in_chans': 9,
        'depths': context.pick([4, 4], [2]),
        'embed_dim': context.pick(96, 24),
        'num_heads': context.pick([6, 6], [2]),
        'drop_path_rate': 0.0,
    }
    torch.manual_seed(0)
    net = DCTSwin(**{**options, **changes})
    # Otherwise the network is its skip alone.
    torch.nn.init.normal_(net.conv_last.weight, std=0.02)
    return net


def _output_and_gradients(net, x):
    net.zero_grad()
    y = net(x)
    weigh(y).backward()
    found = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    return {'output': y, **found}


def _worst(found, expected):
    """Return the largest relative norm of a difference, and the name of that tensor."""
    errors = {name: relative_norm(found[name], e) for name, e in expected.items()}
    name = max(errors, key=errors.get)
    return errors[name], name


@check(seconds=60, rank=23)
def dctswin(context):
    """Output and gradients of DCTSwin for all skips and norms, against float64."""
    shapes = context.pick(((2, 9, 136, 120), (1, 9, 256, 256)), ((1, 9, 64, 96),))
    skips = context.pick(('none', 'mean', 'learned', 'adaptive'), ('none', 'adaptive'))
    for shape, skip, norm in itertools.product(shapes, skips, ('ortho', 'none')):
        part = f'{shape}, skip {skip}, norm {norm}'
        net = _fusion(context, skip=skip, dct_norm=norm)
        x = torch.rand(shape)
        x = x.to(context.device)
        exact = copy.deepcopy(net).to(context.device).double()
        expected = _output_and_gradients(exact, x.double())
        on_device = net.to(context.device)
        for allowed in (False, True):
            with context.part(f'{part}, TF32 {allowed}'), tf32(allowed):
                found = _output_and_gradients(on_device, x)
                error, name = _worst(found, expected)
                if norm == 'ortho':
                    limit = 5e-2 if allowed else 1e-4
                    context.expect(f'{part}, TF32 {allowed} ({name})', error, limit)
                else:
                    # Coefficients in the hundreds saturate the softmax of the attention, whose
                    # gradients then are what rounding leaves, on a CPU as well (0.03).
                    context.record(f'{part}, TF32 {allowed} ({name})', error)
                    limit = 2e-2 if allowed else 1e-4
                    output = relative(found['output'], expected['output'])
                    context.expect(f'{part}, TF32 {allowed}, output', output, limit)
        with context.part(f'{part}, bf16'), torch.no_grad():
            with torch.autocast(context.device, torch.bfloat16):
                output = on_device(x)
            limit = 2e-2 if norm == 'ortho' else 5e-2
            context.expect(f'{part}, bf16', relative(output, expected['output']), limit)
    with context.part('checkpoint'), tf32(False):
        plain = _fusion(context, skip='mean').to(context.device)
        saving = _fusion(context, skip='mean', use_checkpoint=True).to(context.device)
        found = _output_and_gradients(saving, x)
        expected = _output_and_gradients(plain, x)
        context.expect_same('use_checkpoint: output', found['output'], expected['output'])
        # Gradients are sums in an order that a GPU does not keep.
        error, name = _worst(found, expected)
        context.expect(f'use_checkpoint: gradients ({name})', error, 1e-4)
    with context.part('channels_last'):
        plain = _fusion(context, skip='mean').to(context.device)
        last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
        with tf32(False), torch.no_grad():
            context.expect('weights in channels_last', relative(last(x), plain(x)), 1e-5)


@check(seconds=20, rank=24)
def merged_convolution(context):
    """The merged 5×5 convolution of the upsampling against layer by layer."""
    for scale, allowed in itertools.product((2, 3, 4), (False, True)):
        torch.manual_seed(0)
        final = torch.nn.Conv2d(64, 3, 3, 1, 1)
        layers = [*Upsample(scale, 64), final]
        for layer in layers:
            layer.to(context.device).requires_grad_(False)
        side = context.pick(64, 12)
        x = torch.randn(4, 64, side, side, device=context.device)
        part = f'×{scale}, TF32 {allowed}'
        with context.part(part), tf32(allowed):
            error = relative(upsample_to_image(layers, x, scale), _layer_by_layer(layers, x))
            context.expect(part, error, 2e-3 if allowed else 1e-5)


def _psnr(image, gt):
    error = (image.clamp(0, 1).double().cpu() - gt).square().mean().item()
    return -10 * math.log10(error)


@check(seconds=60, rank=9)
def teachers_precision(context):
    """Teachers in TF32 and bf16 against fp32 on the CPU, in levels of 255 and in dB."""
    teachers = parse_teachers(read_yaml('demo', 'mtkd.yml'))
    with quiet():
        ensemble = TeacherEnsemble(teachers, SCALE, 'cpu', 'fp32')
    for name in context.pick(ensemble.names, ensemble.names[:1]):
        cpu = ensemble.network(name)
        cast = copy.deepcopy(cpu).to(context.device)
        device = casting_anew(cast)
        pictures = photographs(context, context.pick(256, 64))
        worst = {}
        for gt, lq in pictures:
            gt = torch.from_numpy(gt.copy()).permute(2, 0, 1)[None].double() / 255
            with torch.no_grad():
                expected = cpu(lq)
                x = lq.to(context.device)
                found = {}
                for mode, allowed in (('fp32', False), ('TF32', True)):
                    with tf32(allowed):
                        found[mode] = device(x)
                with torch.autocast(context.device, torch.bfloat16):
                    found['bf16'] = device(x).float()
                    for _ in range(2):  # the first one makes the casts
                        found['bf16, cast once'] = cast(x).float()
            for mode, output in found.items():
                error = 255 * (output.cpu() - expected)
                values = (
                    error.square().mean().sqrt().item(),
                    error.abs().max().item(),
                    abs(_psnr(output, gt) - _psnr(expected, gt)),
                )
                worst[mode] = [max(pair) for pair in zip(values, worst.get(mode, (0, 0, 0)))]
            equal = torch.equal(found['bf16'], found['bf16, cast once'])
            context.expect_true(f'{name}: weights cast once, equal bits', equal)
        limits = {
            'fp32': (0.01, 0.05, 0.001),
            'TF32': (0.1, 1, 0.01),
            'bf16': (0.3, 3, 0.02),
            'bf16, cast once': (0.3, 3, 0.02),
        }
        for mode, values in worst.items():
            units = ('rms, levels', 'largest, levels', 'PSNR, dB')
            for unit, value, limit in zip(units, values, limits[mode]):
                context.expect(f'{name}, {mode}: {unit}', value, limit)


@check(seconds=60, rank=10)
def swinir_masks(context):
    """SwinIR with the package's attention masks against BasicSR's, at several sizes."""
    ours, theirs = swinir_pair(context)
    for h, w in context.pick(((32, 32), (48, 40), (120, 120), (64, 64)), ((16, 16), (24, 16))):
        for bf16 in (False, True):
            part = f'{h}×{w}, {"bf16" if bf16 else "fp32"}'
            with (
                context.part(part),
                torch.no_grad(),
                torch.autocast(context.device, torch.bfloat16, enabled=bf16),
            ):
                x = torch.rand(1, 3, h, w, device=context.device)
                context.expect_same(f'{part}, equal bits', ours(x), theirs(x))


@check(seconds=60, rank=25)
def random_networks(context):
    """Networks of the paper with random weights on the device against the CPU."""
    for name, options in paper_networks(context).items():
        channels = options.get('in_chans', 3) if name == 'fusion' else 3
        side = context.pick(64, 16) * (SCALE if name == 'fusion' else 1)
        x = torch.rand(1, channels, side, side)
        with context.part(name), torch.no_grad(), tf32(False):
            net = random_network(options, spread=0.02)
            expected = net(x)
            found = net.to(context.device)(x.to(context.device))
            context.expect(f'{name} ({options["type"]})', relative(found, expected), 1e-4)
