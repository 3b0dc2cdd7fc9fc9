"""PSNR and SSIM of the reference teachers, and of their plain mean.

    python benchmarks/teachers.py [--data DIR] [--sets Set5 B100] [--json FILE]

DIR (datasets) has Set5/GTmod12, Set5/LRbicx4 and so on, as `mtkd data` makes them. Without it the
three photographs that `mtkd demo` validates on are used.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands.compare.evaluation_sets import evaluation_sets
from mtkd_basicsr.commands.compare.store import describe_machine
from mtkd_basicsr.data import sample_photographs
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.evaluation.measure import measure, references
from mtkd_basicsr.host.yaml_loader import read_options
from mtkd_basicsr.utils.resources import option_file
from mtkd_basicsr.weights.networks import build

SCALE = 4


def sets_to_measure(args, temporary):
    """Name -> dataset."""
    if args.data is None:
        sample_photographs.prepare(temporary, SCALE)
        folders = {'photographs': (f'{temporary}/val/GT', f'{temporary}/val/LRbicx{SCALE}')}
    else:
        folders = {
            name: (f'{args.data}/{name}/GTmod12', f'{args.data}/{name}/LRbicx{SCALE}')
            for name in args.sets
        }
    return evaluation_sets(
        {name: {'dataroot_gt': gt, 'dataroot_lq': lq} for name, (gt, lq) in folders.items()},
        SCALE,
        temporary,
    )


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--data', metavar='DIR')
    p.add_argument('--sets', nargs='+', default=['Set5', 'B100'])
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    p.add_argument('--json', metavar='FILE', help='write the values of each image')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    opt = read_options(option_file('demo', 'mtkd.yml'))
    config = dataclasses.replace(training_config(opt), fusion=None)
    networks = {f'teacher {name}': block['network'] for name, block in opt['teachers'].items()}
    functions, _ = references(config, 'cuda' if torch.cuda.is_available() else 'cpu')
    results = {name: {} for name in functions}
    with tempfile.TemporaryDirectory() as temporary:
        sets = sets_to_measure(args, Path(temporary))
        for test_set, dataset in sets.items():
            for name, function in functions.items():
                results[name][test_set] = measure(function, dataset, SCALE, 'cpu')
    print(
        f'PSNR (dB) / SSIM on Y, ×{SCALE}, {SCALE} pixels cut from each border\n'
        f'{describe_machine()}\n'
    )
    print(
        '\n'.join(
            [
                '| | parameters |' + ''.join(f' {name} |' for name in sets),
                '|---|---|' + '---|' * len(sets),
            ]
        )
    )
    for name, found in results.items():
        size = (
            sum(p.numel() for p in build(networks[name], name).parameters())
            if name in networks
            else None
        )
        means = [np.mean(list(found[test_set].values()), 0) for test_set in sets]
        print(
            f'| {name} | {f"{size:,d}" if size else "–"} |'
            + ''.join(f' {psnr:.2f} / {ssim:.4f} |' for psnr, ssim in means)
        )
    if args.json:
        Path(args.json).write_text(
            json.dumps({'machine': describe_machine(), 'results': results}, indent=1)
        )


if __name__ == '__main__':
    main()
