"""Networks that fold for use: as they are trained, in ``eval()``, and folded as ``mtkd export``
folds them.

    python benchmarks/folding.py [--device cpu|cuda] [--threads N] [--runs N] [--size H W]
"""

import torch
from timing import interleaved_medians, machine, parser

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.weights.folding import fold
from mtkd_basicsr.weights.networks import build

NETWORKS = {
    'SPAN': {
        'type': 'Spandrel',
        'arch': 'SPAN',
        'num_in_ch': 3,
        'num_out_ch': 3,
        'feature_channels': 48,
        'upscale': 4,
    },
    'ECBSR': {
        'type': 'ECBSR',
        'num_in_ch': 3,
        'num_out_ch': 3,
        'num_block': 10,
        'num_channel': 32,
        'with_idt': True,
        'act_type': 'prelu',
        'scale': 4,
    },
}


def function(net, lq):
    def run():
        with torch.no_grad():
            return net(lq)

    return run


def count(net):
    return sum(p.numel() for p in net.parameters())


def main():
    p = parser(__doc__.splitlines()[0], runs=10)
    p.add_argument('--size', type=int, nargs=2, default=(64, 96), metavar=('H', 'W'))
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for name, block in NETWORKS.items():
        forms = []
        for form in ('trained', 'eval', 'folded'):
            torch.manual_seed(0)
            net = build(block, name).to(args.device)
            net.train(form == 'trained')
            forms.append(fold(net) if form == 'folded' else net)
        lq = torch.rand(1, 3, *args.size, device=args.device)
        functions = [function(net, lq) for net in forms]
        trained, evaluated, folded = interleaved_medians(functions, args.runs, args.device)
        with torch.no_grad():
            expected = forms[0](lq)
            difference = (forms[2](lq) - expected).abs().max() / expected.abs().max()
        rows.append(
            f'| {name} | {count(forms[0]):,d} | {count(forms[2]):,d} | {1e3 * folded:.1f} | '
            f'{trained / folded:.2f} | {evaluated / folded:.2f} | {difference.item():.0e} |'
        )
    print(f'one image of {args.size[0]} x {args.size[1]}, x4, fp32, median of {args.runs}')
    print(machine(args.device))
    print()
    print(
        '| network | parameters | folded | folded, ms | trained / folded | eval() / folded | '
        'difference, of the largest value |'
    )
    print('|---|---|---|---|---|---|---|')
    print('\n'.join(rows))


if __name__ == '__main__':
    main()
