"""What tiles change in the output of each teacher and of the fusion network, by the overlap of the
tiles.

    cd mtkd_demo && python ../benchmarks/tiling.py -opt ../options/demo/mtkd.yml

Reads the teachers and the validation images of an option file, whose paths are taken from the
current directory. Differences from the whole image are in levels of 255.
"""

import argparse
from pathlib import Path

import cv2
import torch
import yaml
from basicsr.utils.options import ordered_yaml
from timing import machine

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.config import parse_fusion, parse_teachers
from mtkd_basicsr.functional.tiling import run_tiled
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble

OVERLAPS = (0, 8, 16, 24, 32, 48)


def differences(network, lq, scale, tile, parts):
    """Mean and largest difference of each part of the output, for each overlap."""
    whole = network(lq).split(3, 1)
    for overlap in OVERLAPS:
        tiled = run_tiled(network, lq, scale, tile, overlap).split(3, 1)
        for name, a, b in zip(parts, whole, tiled):
            error = (a - b).abs() * 255
            yield name, overlap, error.mean().item(), error.max().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('-opt', required=True, metavar='FILE')
    parser.add_argument('--tile', type=int, default=64, help='low-resolution pixels')
    args = parser.parse_args()
    opt = yaml.load(Path(args.opt).read_text(), Loader=ordered_yaml()[0])
    target = FusedTeachers(TeacherEnsemble(parse_teachers(opt), opt['scale']), parse_fusion(opt))
    rows = {}
    for path in sorted(Path(opt['datasets']['val']['dataroot_lq']).iterdir()):
        lq = (
            torch.from_numpy(cv2.imread(str(path))[..., ::-1].copy()).permute(2, 0, 1)[None].float()
            / 255
        )
        for network, parts in ((target.ensemble, target.ensemble.names), (target, ['fused'])):
            for name, overlap, mean, largest in differences(
                network, lq, opt['scale'], args.tile, parts
            ):
                rows.setdefault(name, {}).setdefault(overlap, []).append((mean, largest))
    print(
        f'Tiles of {args.tile} pixels against whole images: mean / largest difference, levels of '
        '255'
    )
    print(f'{machine("cpu")}\n\n| overlap | ' + ' | '.join(map(str, OVERLAPS)) + ' |')
    print('|---' * (1 + len(OVERLAPS)) + '|')
    for name, by_overlap in rows.items():
        cells = [
            f'{sum(m for m, _ in v) / len(v):.3f} / {max(x for _, x in v):.1f}'
            for v in by_overlap.values()
        ]
        print(f'| {name} | ' + ' | '.join(cells) + ' |')


if __name__ == '__main__':
    main()
