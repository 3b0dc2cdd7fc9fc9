"""``mtkd demo``: both stages of MTKD on the sample photographs of scikit-image."""

import time
from pathlib import Path

import torch

from ...data import sample_photographs
from ...host.yaml_loader import read_options
from ...utils.machine import usable_cores
from ...utils.precision import Precision, student_precision
from ...utils.resources import option_file
from .._arguments import make_folder
from .._cores import Cores
from .._jobs import chosen_threads
from . import summary, trainings

SCALE = 4


def _precision() -> Precision:
    """Return the precision that the students are trained in on this machine."""
    requested = read_options(option_file('demo', 'mtkd.yml'))['train']['amp']
    return student_precision(requested, 'cuda' if torch.cuda.is_available() else 'cpu')


def run(out: Path, quick: bool) -> tuple[Path, Path]:
    """Run the demo; see :func:`mtkd_basicsr.commands.demo`."""
    start = time.time()
    cores = Cores.of(usable_cores())
    torch.set_num_threads(chosen_threads() or cores.threads)
    make_folder(out)
    sample_photographs.prepare(out / 'datasets', SCALE)
    print(f'Output folder: {out}')
    print(f'Precision: {_precision().reason}', flush=True)
    trainings.run_steps(trainings.steps(quick), out, quick, cores)
    table, picture = summary.report(out, SCALE, quick=quick)
    print(f'\n{table.read_text(encoding="utf-8")}')
    print(f'Table:   {table}')
    print(f'Picture: {picture}')
    print(f'Wall time of this call: {time.time() - start:.0f} s')
    return table, picture
