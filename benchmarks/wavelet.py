"""Forward and backward pass of WaveletLoss, against the same loss over pytorch_wavelets.

python benchmarks/wavelet.py [--device cpu|cuda] [--threads N] [--runs N]
"""

import itertools

import torch
from timing import arguments, interleaved_medians, machine

from mtkd_basicsr.host import patches
from mtkd_basicsr.losses import WaveletLoss

with patches.pkg_resources():
    from pytorch_wavelets import DWTForward

SHAPE = (16, 3, 192, 192)
LEVELS = (1, 2, 4)
BAND_MEANS = ('each', 'joint')


def over_pytorch_wavelets(level, band_mean, device):
    """The loss with pytorch_wavelets' transform, taken once, of the difference."""
    transform = DWTForward(J=level, wave='haar', mode='zero').to(device)

    def loss(pred, target):
        low, high = transform(pred - target)
        if band_mean == 'joint':
            return low.abs().mean() + sum(bands.abs().mean() for bands in high)
        return low.abs().mean() + sum(
            bands[:, :, i].abs().mean() for bands in high for i in range(3)
        )

    return loss


def forward_backward(loss, pred, target):
    """Function that gives the value of a loss and its gradient with respect to ``pred``."""

    def run():
        value = loss(pred, target)
        return value.detach(), torch.autograd.grad(value, pred)[0]

    return run


def main():
    args = arguments(__doc__.splitlines()[0], runs=40)
    torch.manual_seed(0)
    pred = torch.rand(SHAPE, device=args.device).requires_grad_()
    target = torch.rand(SHAPE, device=args.device)
    rows = []
    for level, band_mean in itertools.product(LEVELS, BAND_MEANS):
        losses = (
            over_pytorch_wavelets(level, band_mean, args.device),
            WaveletLoss(level=level, band_mean=band_mean),
        )
        runs = [forward_backward(loss, pred, target) for loss in losses]
        (value, gradient), (our_value, our_gradient) = (run() for run in runs)
        # A band of almost 0 can have either sign, by rounding: gradients are compared where they
        # agree on it.
        wrong = ((gradient - our_gradient).abs() > 1e-9).float().mean().item()
        theirs, ours = interleaved_medians(runs, args.runs, args.device)
        rows.append(
            f'| {level} | {band_mean} | {theirs * 1e3:.2f} | {ours * 1e3:.2f} '
            f'| {theirs / ours:.1f} | {abs(value - our_value).item():.1e} | {wrong:.1e} |'
        )
    print(f'WaveletLoss, Haar, {SHAPE}, fp32, forward and backward, median of {args.runs}')
    print(machine(args.device))
    print()
    print(
        '| level | band_mean | pytorch_wavelets, ms | ours, ms | ratio | difference of values '
        '| share of gradients that differ |'
    )
    print('|---|---|---|---|---|---|---|')
    print('\n'.join(rows))


if __name__ == '__main__':
    main()
