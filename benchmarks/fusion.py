"""Forward and backward pass of DCTSwin, against a straightforward implementation of the same
network.

    python benchmarks/fusion.py [--device cpu|cuda] [--threads N] [--runs N]

The reference is written as window transformers and spectral layers usually are: the DCT by an FFT
inside of window partition and window reverse, attention spelled out, the shift mask made anew at
each call. It works with the parameters of the network that it is compared with.

A second table compares the network with itself without what it keeps between forward passes: the
orders of windows, the authors' masks and the merged convolution of frozen layers.
"""

import contextlib
import functools
import math

import torch
from timing import arguments, interleaved_medians, machine
from torch.nn import functional as F  # noqa: N812

from mtkd_basicsr.archs import DCTSwin, dctswin_arch, window_layout

NETWORK = {
    'upscale': 4,
    'in_chans': 9,
    'depths': [4, 4],
    'embed_dim': 96,
    'num_heads': [6, 6],
    'drop_path_rate': 0.0,
    'skip': 'mean',
}
VARIANTS = {
    'default': {},
    "authors'": {'dct_norm': 'none', 'shift_mask': 'authors', 'skip': 'none'},
}
SHAPE = (2, 9, 256, 256)
# What a frozen network gets in trainings without a cache, and in small validation images.
FROZEN_SHAPES = ((1, 9, 128, 128), (2, 9, 256, 256))


def phases(n, sign, device):
    """exp(sign · iπk / 2n) for k = 0 … n - 1: what turns a DFT of n values into a DCT, and back."""
    angle = sign * math.pi * torch.arange(n, device=device) / (2 * n)
    return torch.complex(angle.cos(), angle.sin())


def dct(x, norm):
    """DCT-II of the last axis, by one FFT of the even values and then the odd ones, backwards."""
    n = x.shape[-1]
    reordered = torch.cat([x[..., 0::2], x[..., 1::2].flip(-1)], dim=-1)
    y = 2 * (torch.fft.fft(reordered) * phases(n, -1, x.device)).real
    if norm == 'ortho':
        y = torch.cat([y[..., :1] / math.sqrt(4 * n), y[..., 1:] / math.sqrt(2 * n)], dim=-1)
    return y


def inverse_dct(y, norm):
    """Inverse of :func:`dct`, by one inverse FFT."""
    n = y.shape[-1]
    if norm == 'ortho':
        y = torch.cat([y[..., :1] * math.sqrt(4 * n), y[..., 1:] * math.sqrt(2 * n)], dim=-1)
    imaginary = torch.cat([torch.zeros_like(y[..., :1]), -y[..., 1:].flip(-1)], dim=-1)
    reordered = torch.fft.ifft(torch.complex(y, imaginary) * phases(n, 1, y.device) / 2).real
    x = torch.zeros_like(y)
    x[..., 0::2] = reordered[..., : (n + 1) // 2]
    x[..., 1::2] = reordered[..., (n + 1) // 2 :].flip(-1)
    return x


def in_two_dimensions(transform, x, norm):
    """A transform of both axes of the windows in (n, size, size, c)."""
    x = x.permute(0, 3, 1, 2)
    x = transform(transform(x, norm).transpose(-1, -2), norm).transpose(-1, -2)
    return x.permute(0, 2, 3, 1)


def window_partition(x, size, norm):
    """(b, h, w, c) -> the coefficients of its windows, (n, size, size, c)."""
    b, h, w, c = x.shape
    x = x.view(b, h // size, size, w // size, size, c)
    windows = x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size, size, c)
    return in_two_dimensions(dct, windows, norm).contiguous()


def window_reverse(windows, size, h, w, norm):
    """Inverse of :func:`window_partition`."""
    windows = in_two_dimensions(inverse_dct, windows, norm).contiguous()
    x = windows.view(-1, h // size, w // size, size, size, windows.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, h, w, windows.shape[-1])


def attention_mask(h, w, size, shift, norm, device):
    """The authors' mask: differences of the coefficients of an image of region numbers, (windows,
    size², size²).
    """
    labels = torch.full((1, h, w, 1), 8.0, dtype=torch.float64, device=device)
    if shift:
        parts = (slice(0, -size), slice(-size, -shift), slice(-shift, None))
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts):
                labels[:, rows, columns] = 3 * i + j
    windows = window_partition(labels, size, norm).view(-1, size * size)
    different = (windows.unsqueeze(1) - windows.unsqueeze(2)).abs() > 1e-6
    return torch.zeros(different.shape, device=device).masked_fill(different, -100.0)


def attention(layer, x, mask):
    """Window attention, step by step; (n, tokens, dim) -> the same."""
    n, tokens, dim = x.shape
    heads = layer.num_heads
    qkv = layer.qkv(x).reshape(n, tokens, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
    q = qkv[0]
    k = qkv[1]
    v = qkv[2]
    scores = (q * (dim // heads) ** -0.5) @ k.transpose(-2, -1)
    bias = layer.relative_position_bias_table[layer.relative_position_index.view(-1)]
    scores = scores + bias.view(tokens, tokens, heads).permute(2, 0, 1).contiguous().unsqueeze(0)
    if mask is not None:
        scores = scores.view(-1, mask.shape[0], heads, tokens, tokens) + mask.unsqueeze(
            1
        ).unsqueeze(0)
        scores = scores.view(-1, heads, tokens, tokens)
    x = (torch.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(n, tokens, dim)
    return layer.proj(x)


def block(layer, x):
    """One transformer block; (b, h, w, dim) -> the same."""
    _, h, w, dim = x.shape
    size = layer.size
    shift = layer.shift
    norm = layer.dct_norm
    y = layer.norm1(x)
    if shift:
        y = torch.roll(y, shifts=(-shift, -shift), dims=(1, 2))
    windows = window_partition(y, size, norm).view(-1, size * size, dim)
    mask = None
    if layer.shift_mask == 'authors' and (shift or not h == w == layer.img_size):
        mask = attention_mask(h, w, size, shift, norm, x.device)
    windows = attention(layer.attn, windows, mask).view(-1, size, size, dim)
    y = window_reverse(windows, size, h, w, norm)
    if shift:
        y = torch.roll(y, shifts=(shift, shift), dims=(1, 2))
    x = x + y
    return x + layer.mlp.fc2(F.gelu(layer.mlp.fc1(layer.norm2(x))))


def reference(net, x):
    """The network on an image whose size is a multiple of ``upscale · window_size``."""
    features = net.conv_first(F.pixel_unshuffle(x, net.upscale))
    y = net.patch_embed.norm(features.permute(0, 2, 3, 1))
    for group in net.layers:
        residual = y
        for layer in group.residual_group.blocks:
            y = block(layer, y)
        y = residual + group.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    features = features + net.conv_after_body(net.norm(y).permute(0, 3, 1, 2))
    y = net.conv_last(net.upsample(net.conv_before_upsample(features)))
    if net.skip == 'none':
        return y / 255 + net.rgb_mean
    return y + x.unflatten(1, (-1, 3)).mean(1)


def rearranged_anew(x, h, w, size, start, end):
    """``rearrange`` without anything kept: orders by sorting, moved by ``index_select`` alone."""
    place = torch.arange(h * w, device=x.device)
    if start is not None:
        place = window_layout.window_order(h, w, size, start, x.device).argsort()
    if end is not None:
        place = place[window_layout.window_order(h, w, size, end, x.device)]
    return x.index_select(1, place)


@contextlib.contextmanager
def nothing_kept(net):
    """Compute what DCTSwin keeps between forward passes in each of them."""
    kept = dctswin_arch.rearrange
    dctswin_arch.rearrange = rearranged_anew
    net._merged = None
    window_layout._masks.clear()
    window_layout._kinds.clear()
    try:
        yield
    finally:
        dctswin_arch.rearrange = kept


def without(net, merged, x):
    """The network with nothing kept; ``merged`` is put back into it."""
    with nothing_kept(net):
        y = net(x)
    net._merged = merged
    return y


def frozen_forward(function, x):
    """A forward pass without gradients."""
    with torch.no_grad():
        function(x)


def step(function, net, x):
    """One training step without an optimizer."""
    net.zero_grad()
    function(x).abs().mean().backward()


def random_network(changes, device):
    torch.manual_seed(0)
    net = DCTSwin(**{**NETWORK, **changes}).to(device).train()
    torch.nn.init.normal_(net.conv_last.weight, std=0.05)
    return net


def kept_functions(net, shapes):
    """Steps and forward passes of frozen networks, by name: with nothing kept, and as it is."""
    device = net.rgb_mean.device
    merged = net._merged
    anew = functools.partial(without, net, merged)
    found = {}
    x = torch.rand(SHAPE, device=device)
    found[f'training, {SHAPE}'] = [functools.partial(step, each, net, x) for each in (anew, net)]
    for shape in shapes:
        x = torch.rand(shape, device=device)
        found[f'frozen, {shape}'] = [functools.partial(frozen_forward, f, x) for f in (anew, net)]
    return found


def compare_with_nothing_kept(args):
    rows = []
    for name, changes in VARIANTS.items():
        net = random_network(changes, args.device)
        for case, functions in kept_functions(net, FROZEN_SHAPES).items():
            is_frozen = case.startswith('frozen')
            net.train(not is_frozen).requires_grad_(not is_frozen)
            anew, ours = interleaved_medians(functions, args.runs, args.device)
            rows.append(
                f'| {name}, {case} | {anew * 1e3:.1f} | {ours * 1e3:.1f} | {anew / ours:.3f} |'
            )
    return rows


def main():
    args = arguments(__doc__.splitlines()[0], runs=10)
    rows = []
    for name, changes in VARIANTS.items():
        net = random_network(changes, args.device)
        x = torch.rand(SHAPE, device=args.device)
        with torch.no_grad():
            difference = (reference(net, x) - net(x)).abs().max().item()
        nets = (functools.partial(reference, net), net)
        functions = [functools.partial(step, each, net, x) for each in nets]
        theirs, ours = interleaved_medians(functions, args.runs, args.device)
        rows.append(
            f'| {name} | {theirs * 1e3:.0f} | {ours * 1e3:.0f} | {theirs / ours:.2f} | '
            f'{difference:.1e} |'
        )
    print(f'DCTSwin, {SHAPE}, fp32, training, forward and backward, median of {args.runs}')
    print(machine(args.device))
    print()
    print('| options | reference, ms | ours, ms | ratio | largest difference of outputs |')
    print('|---|---|---|---|---|')
    print('\n'.join(rows))
    rows = compare_with_nothing_kept(args)
    print()
    print('| options | nothing kept, ms | ours, ms | ratio |')
    print('|---|---|---|---|')
    print('\n'.join(rows))


if __name__ == '__main__':
    main()
