"""Checks of a plan before its first run."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config import PRECOMPUTED_TYPES, DatasetConfig, TeacherOptions
from ...config.plan import PlanOptions
from ...config.teachers import parse_teacher
from ...errors import DataError, OptionError, WeightsError
from ...host.option_schema import is_number
from ...teachers import NetworkTeacher
from ...utils.resources import weights_file
from ...weights.networks import SPANDREL, build
from .overlay import fill
from .runs import Run

# Keys of the folders of a dataset.
_ROOTS = ('dataroot_gt', 'dataroot_lq')


def _inside(path: str, folder: Path) -> bool:
    return os.path.abspath(os.path.expanduser(path)).startswith(str(folder) + os.sep)


def _check_networks(run: Run, seen: set[str]) -> None:
    blocks = {'network_g': run.options.get('network_g')}
    for name, teacher in (run.options.get('teachers') or {}).items():
        for key in PRECOMPUTED_TYPES if isinstance(teacher, dict) else ():
            if key not in teacher:
                continue
            raise OptionError(
                f'{run.name}: teachers.{name}.{key}: not allowed in a plan, which measures its '
                'teachers on every test set; expected network and weights'
            )
        network = teacher.get('network') if isinstance(teacher, dict) else teacher
        if network is None and isinstance(teacher, dict) and teacher.get('weights') is not None:
            _check_recorded(teacher, f'{run.name}: teachers.{name}')
            continue
        blocks[f'teachers.{name}.network'] = network
    if run.options.get('fusion'):
        blocks['fusion.network'] = run.options['fusion'].get('network')
    for key, block in blocks.items():
        if not isinstance(block, dict):
            raise OptionError(
                f'{run.name}: {key}: {block!r}; expected a mapping with the type of a network'
            )
        text = json.dumps(block, default=str)
        # Spandrel reads the arch from the weights.
        if text not in seen and block.get('type') != SPANDREL:
            build(block, f'{run.name}: {key}')
            seen.add(text)


def _check_recorded(teacher: dict[str, Any], key: str) -> None:
    """Raise if a teacher without a network has weights that do not tell which it is."""
    options = parse_teacher(teacher, key)
    # A file that a run of the plan writes records its network.
    if isinstance(options, TeacherOptions) and os.path.isfile(os.path.expanduser(options.weights)):
        NetworkTeacher(options, key)


def _check_weights(run: Run, runs: list[Run], out: Path) -> None:
    written = {
        Path(out) / 'experiments' / other.name / 'models'
        for other in runs
        if other.name in run.after
    }
    blocks = {}
    for name, block in (run.options.get('teachers') or {}).items():
        blocks[f'teachers.{name}'] = block
    if run.options.get('fusion'):
        blocks['fusion'] = run.options['fusion']
    for key, block in blocks.items():
        path = weights_file(block.get('weights'), f'{run.name}: {key}.weights')
        exists = path is not None and os.path.isfile(os.path.expanduser(path))
        if not exists and (path is None or Path(path).parent not in written):
            raise WeightsError(
                f"{run.name}: {key}.weights: no file '{path}', and no run of the plan writes it"
            )


def _check_student(run: Run) -> None:
    if not run.config.is_fusion_stage and run.config.distillation is None:
        raise OptionError(
            f'{run.name}: train.kd.type: missing; expected a method, or Scratch for none '
            f'(model_type is {run.options["model_type"]})'
        )
    gt_size = run.options['datasets']['train'].get('gt_size')
    if not is_number(gt_size, 1, whole=True) or gt_size % run.scale:
        raise OptionError(
            f'{run.name}: datasets.train.gt_size: {gt_size!r}; expected a multiple of {run.scale}'
        )


def _check_folders(run: Run, plan: PlanOptions, out: Path) -> None:
    datasets = [*run.options['datasets'].values()]
    folders = [block.get(key) for block in datasets for key in _ROOTS]
    for dataset in evaluation_sets(plan.test, run.scale, out).values():
        folders += [dataset.options[key] for key in _ROOTS]
    for folder in folders:
        if folder is None:
            raise DataError(f"{run.name}: no folder '{folder}'")
        # The plan creates its photographs inside its own folder.
        created = plan.photographs and _inside(folder, out)
        if not created and not Path(folder).expanduser().exists():
            raise DataError(f"{run.name}: no folder '{folder}'")


def check(plan: PlanOptions, runs: list[Run], out: Path) -> None:
    """Build every network once, and check that all folders and files exist.

    Args:
        plan: The plan.
        runs: Its runs.
        out: Folder of the results, which the plan itself fills.

    Raises:
        OptionError, WeightsError, DataError: A run is invalid; names the run, the key, the value
            and what was expected.
    """
    seen: set[str] = set()
    for run in runs:
        if run.kind == 'cache':
            continue
        if run.kind == 'student':
            _check_student(run)
        _check_networks(run, seen)
        _check_weights(run, runs, out)
        _check_folders(run, plan, out)


def evaluation_sets(folders: Mapping[str, Any], scale: int, out: Path) -> dict[str, DatasetConfig]:
    """Return the test sets of a plan for one scale, each a whole ``PairedImageDataset``.

    Args:
        folders: ``test`` of the plan: ``dataroot_gt`` and ``dataroot_lq`` by name.
        scale: Factor, which replaces ``{scale}``.
        out: Folder of the results, which replaces ``{out}``.
    """
    blocks = fill(dict(folders), {'scale': scale, 'out': str(out)}, 'test')
    sets = {}
    for name, block in blocks.items():
        options = {
            'type': 'PairedImageDataset',
            'io_backend': {'type': 'disk'},
            'phase': 'val',
            'scale': scale,
            'name': name,
            **block,
        }
        sets[name] = DatasetConfig('val', options)
    return sets
