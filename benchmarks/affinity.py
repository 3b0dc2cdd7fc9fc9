"""Forward and backward pass of FAKD's affinity distance, against the formula and against strips
with a pass for each operation.

    python benchmarks/affinity.py [--device cpu|cuda] [--threads N] [--runs N] [--batch N]
"""

import functools

import torch
from timing import interleaved_medians, machine, parser

from mtkd_basicsr.functional.affinity import affinity_distance, normalize_pixels

# Height and width of feature maps: patches of 96, 128 and 192 pixels at ×4.
SIDES = (24, 32, 48)
CHANNELS = (64, 256)
STRIP_BYTES = {'cpu': 1 << 20, 'cuda': 64 << 20}


def formula(student, teacher):
    """The distance of whole maps; autograd has its gradient."""
    s = normalize_pixels(student)
    t = normalize_pixels(teacher)
    return (s.mT @ s - t.mT @ t).abs().mean()


class Passes(torch.autograd.Function):
    """The distance by strips of rows, with a product, a difference and a sum for each, also where
    a strip is the last one of a map and nothing is left beside it.
    """

    @staticmethod
    def forward(ctx, student, teacher, strip_bytes):
        b, _, n = student.shape
        images = min(b, max(1, strip_bytes // (4 * n * n)))
        rows = max(1, strip_bytes // (4 * n * images))
        total = student.new_zeros((), dtype=torch.float64)
        gradient = torch.zeros_like(student)
        for first in range(0, b, images):
            s = student[first : first + images]
            t = teacher[first : first + images]
            for start in range(0, n, rows):
                end = min(start + rows, n)
                width = end - start
                difference = s[:, :, start:end].mT @ s[:, :, start:]
                difference -= t[:, :, start:end].mT @ t[:, :, start:]
                total += difference[:, :, :width].abs().sum(dtype=torch.float64)
                total += 2 * difference[:, :, width:].abs().sum(dtype=torch.float64)
                sign = difference.sign_()
                part = gradient[first : first + images]
                part[:, :, start:end] += s[:, :, start:] @ sign.mT
                part[:, :, end:] += s[:, :, start:end] @ sign[:, :, width:]
        count = b * n * n
        ctx.save_for_backward(gradient.mul_(2 / count))
        return (total / count).float()

    @staticmethod
    def backward(ctx, grad):
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None


def by_passes(student, teacher):
    """The distance by :class:`Passes`."""
    strip_bytes = STRIP_BYTES[student.device.type]
    return Passes.apply(normalize_pixels(student), normalize_pixels(teacher), strip_bytes)


def gradient_of(function, student, teacher):
    """The value of a distance, and its gradient."""
    value = function(student, teacher)
    return value.detach(), torch.autograd.grad(value, student)[0]


def main():
    p = parser(__doc__.splitlines()[0], runs=11)
    p.add_argument('--batch', type=int, default=4, help='feature maps at a time')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rows = []
    for side in SIDES:
        student, teacher = (
            torch.randn(args.batch, channels, side, side, device=args.device)
            for channels in CHANNELS
        )
        student.requires_grad_()
        functions = [
            functools.partial(gradient_of, function, student, teacher)
            for function in (formula, by_passes, affinity_distance)
        ]
        (value, gradient), _, (our_value, our_gradient) = (function() for function in functions)
        whole, passes, ours = interleaved_medians(functions, args.runs, args.device)
        # Differences of almost 0 have either sign, by rounding.
        wrong = (gradient - our_gradient).abs().max() / gradient.abs().max()
        rows.append(
            f'| {side}×{side} | {whole * 1e3:.1f} | {passes * 1e3:.1f} | {ours * 1e3:.1f} '
            f'| {whole / ours:.2f} | {passes / ours:.2f} | {abs(our_value / value - 1).item():.1e} '
            f'| {wrong.item():.1e} |'
        )
    print(f'Affinity distance, batch {args.batch}, {CHANNELS[0]} against {CHANNELS[1]} channels,')
    print(f'fp32, forward and backward, median of {args.runs}')
    print(machine(args.device))
    print()
    print(
        '| maps | formula, ms | a pass for each operation, ms | ours, ms | ratio to the formula '
        '| ratio to the passes | difference of values | of gradients |'
    )
    print('|---|---|---|---|---|---|---|---|')
    print('\n'.join(rows))


if __name__ == '__main__':
    main()
