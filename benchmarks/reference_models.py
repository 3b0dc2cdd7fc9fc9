"""PSNR and SSIM of the networks that come with the package, students and teachers, of the students
in benchmarks/weights, and of the plain mean of the teachers.

    python benchmarks/reference_models.py [--data DIR] [--write [--experiments FOLDER ...]]

DIR has Set5/GTmod4, Set5/LRbicx4 and so on, as `mtkd data` makes them (Set5 with --multiple 4, or
as published). Without it the three photographs that `mtkd demo` validates on are used.

--write puts the values into benchmarks/results/reference_models.json and
mtkd_basicsr/reference/students.json, by which `mtkd upscale` chooses its student; what the former
has of the same files is not measured again. FOLDER is that of the training of a student,
experiments/NAME, whose validations are written too.
`python benchmarks/tables.py` puts all of it into docs/reference_models.md.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

import mtkd_basicsr
from mtkd_basicsr.commands.compare.evaluation_sets import evaluation_sets
from mtkd_basicsr.commands.compare.report.document import Table, markdown
from mtkd_basicsr.commands.compare.store import describe_machine
from mtkd_basicsr.data import sample_photographs
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.evaluation.measure import ImageFunction, enlarger, measure, references
from mtkd_basicsr.host.log_parser import read_training
from mtkd_basicsr.host.yaml_loader import read_options
from mtkd_basicsr.utils.atomic import write_json
from mtkd_basicsr.utils.digest import sha256
from mtkd_basicsr.utils.resources import STUDENTS, option_file
from mtkd_basicsr.weights.loading import load_weights
from mtkd_basicsr.weights.networks import build
from mtkd_basicsr.weights.reading import network_of

SCALE = 4
SETS = ('Set5', 'B100')
RESULTS = Path(__file__).resolve().parent / 'results' / 'reference_models.json'
FOLDER = Path(mtkd_basicsr.__file__).parent / 'reference'
WEIGHTS = Path(__file__).resolve().parent / 'weights'
# Methods by their names in the tables of papers.
TITLES = {
    'scratch': 'no teacher',
    'LogitKD': 'Basic KD',
    'LogitKD-edsr': 'Basic KD from EDSR',
}


def read_results(path=RESULTS):
    """What --write has written."""
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}


def sets_to_measure(args, temporary):
    """Name -> dataset."""
    if args.data is None:
        sample_photographs.prepare(temporary, SCALE)
        folders = {'photographs': (f'{temporary}/val/GT', f'{temporary}/val/LRbicx{SCALE}')}
    else:
        folders = {}
        for name in SETS:
            (gt,) = Path(args.data, name).glob('GTmod*')
            folders[name] = (str(gt), str(gt.with_name(f'LRbicx{SCALE}')))
    return evaluation_sets(
        {name: {'dataroot_gt': gt, 'dataroot_lq': lq} for name, (gt, lq) in folders.items()},
        SCALE,
        temporary,
    )


def students():
    """Name in a table -> file of a student, by its name."""
    files = sorted(FOLDER.glob(f'student_*_x{SCALE}.safetensors'))
    return {file.stem.removesuffix(f'_x{SCALE}').replace('_', ' '): file for file in files}


def others():
    """Name in a table -> file of a student that is not in the package: those of long trainings
    first.
    """
    found = {}
    for file in WEIGHTS.glob(f'*_x{SCALE}.safetensors'):
        student, method, iterations = file.stem.removesuffix(f'_x{SCALE}').split('_')
        title = f'{student.lower()}, {TITLES.get(method, method)}, {int(iterations):,d} iterations'
        found[-int(iterations), title] = file
    return {title: file for (_, title), file in sorted(found.items())}


@dataclasses.dataclass
class Row:
    """A row of the table: a function of images, and the files and parameters of its network."""

    function: ImageFunction
    files: list[str]
    parameters: int | None = None

    def digests(self):
        """What the values of this row depend on."""
        return [sha256(file) for file in self.files]


def networks(config, blocks, device):
    """Name -> row."""
    functions, _ = references(config, device)
    found = {'bicubic': Row(functions.pop('bicubic'), [])}
    for name, file in {**students(), **others()}.items():
        block, _ = network_of(None, str(file))
        net = build(block, name)
        load_weights(net, str(file), name)
        function = enlarger(net.eval().requires_grad_(False).to(device), config)
        found[name] = Row(function, [str(file)], sum(p.numel() for p in net.parameters()))
    files = {f'teacher {name}': config.teachers[name].weights for name in blocks}
    for name, function in functions.items():
        found[name] = Row(function, [files[name]] if name in files else list(files.values()))
    for name, block in blocks.items():
        net = build(block['network'], name)
        found[f'teacher {name}'].parameters = sum(p.numel() for p in net.parameters())
    return found


def same(results, others):
    """Whether the results of a row are those of the same images."""
    for test_set, values in results.items():
        before = others.get(test_set, {})
        if list(values) != list(before):
            return False
        # Another machine adds in another order.
        if not np.allclose(list(values.values()), list(before.values()), rtol=0, atol=1e-4):
            return False
    return True


def measured(rows, sets, device, known):
    """The results: what depends on the same files is taken from those that are known."""
    content = {'machines': {}, 'files': {}, 'parameters': {}, 'results': {}}
    for name, row in rows.items():
        digests = row.digests()
        values = known.get('results', {}).get(name, {})
        machine = known.get('machines', {}).get(name)
        is_known = known.get('files', {}).get(name) == digests and set(values) == set(sets)
        # Bicubic interpolation has no file, and takes no time: it shows whether the images are
        # those of the known results.
        if not is_known or not digests:
            where = device if digests else 'cpu'
            before = values
            values = {n: measure(row.function, images, SCALE, where) for n, images in sets.items()}
            machine = describe_machine()
            if not digests and not same(values, before):
                known = {}
        content['machines'][name] = machine
        content['files'][name] = digests
        content['parameters'][name] = row.parameters
        content['results'][name] = values
    return content


def mean(values):
    """PSNR and SSIM over the images of a test set."""
    return [float(value) for value in np.mean(list(values.values()), 0)]


def quality(content):
    """The table of PSNR and SSIM."""
    rows = []
    for name, found in content['results'].items():
        size = content['parameters'][name]
        cells = [name, f'{size:,d}' if size else '–']
        for values in found.values():
            cells.append('{:.2f} / {:.4f}'.format(*mean(values)))
        rows.append(cells)
    sets = next(iter(content['results'].values()))
    return Table(['', 'parameters', *sets], rows)


def course(content):
    """The table of the trainings of the students."""
    curves = content['curves']
    iterations = sorted({step for curve in curves.values() for step, _ in curve['psnr']})
    rows = []
    for name, curve in curves.items():
        values = dict(curve['psnr'])
        cells = [f'{values[step]:.2f}' if step in values else '–' for step in iterations]
        rows.append([name, *cells, f'{curve["seconds"] / 60:.0f}'])
    return Table(['iterations', *(f'{step:,d}' for step in iterations), 'minutes'], rows)


def curves(folders):
    """Name of a student -> PSNR of the validations of its training, and its seconds."""
    blocks = {name: network_of(None, str(file))[0] for name, file in students().items()}
    found = {}
    for folder in folders:
        opt = read_options(folder / f'{folder.name}.yml')
        network = opt['network_g']
        for name, block in blocks.items():
            # The file of EDSR and RCAN records the colour mean of the weights, in fp32.
            if all(block.get(key) == network[key] for key in network if key != 'rgb_mean'):
                curve, seconds = read_training(folder, opt)
                found[name] = {'psnr': [(step, psnr) for step, _, psnr in curve]}
                found[name]['seconds'] = seconds
                break
        else:
            raise SystemExit(f'{folder}: no student of the package has this network')
    return found


def write(content):
    """Write the results of this repository, and what the package knows of its students."""
    write_json(RESULTS, content)
    entries = {}
    for name, file in students().items():
        block, scale = network_of(None, str(file))
        rows = {'results': content['results'][name], 'bicubic': content['results']['bicubic']}
        entries[file.stem] = {
            'arch': block['type'],
            'scale': scale,
            'parameters': content['parameters'][name],
            'sha256': content['files'][name][0],
            # PSNR on Y in dB, and SSIM
            **{key: {n: mean(values) for n, values in row.items()} for key, row in rows.items()},
        }
    write_json(FOLDER / STUDENTS, entries)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.add_argument('--data', metavar='DIR')
    p.add_argument('--write', action='store_true')
    p.add_argument('--experiments', nargs='+', type=Path, default=[], metavar='FOLDER')
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = p.parse_args()
    if args.write and args.data is None:
        p.error('--write needs --data')
    torch.set_num_threads(args.threads)
    opt = read_options(option_file('demo', 'mtkd.yml'))
    config = dataclasses.replace(training_config(opt), fusion=None)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    rows = networks(config, opt['teachers'], device)
    known = read_results() if args.write else {}
    with tempfile.TemporaryDirectory() as temporary:
        content = measured(rows, sets_to_measure(args, Path(temporary)), device, known)
    print(f'PSNR (dB) / SSIM on Y, ×{SCALE}, {SCALE} pixels cut from each border')
    print('\n'.join(sorted(set(content['machines'].values()))), end='\n\n')
    print(markdown([quality(content)]))
    if args.write:
        content['curves'] = {**known.get('curves', {}), **curves(args.experiments)}
        print(markdown([course(content)]))
        write(content)


if __name__ == '__main__':
    main()
