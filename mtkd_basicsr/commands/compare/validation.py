"""What can be wrong with a plan, found before its first run."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config import PRECOMPUTED_TYPES, DatasetConfig
from ...config.plan import PlanOptions
from ...errors import DataError, OptionError, WeightsError
from ...host.option_schema import is_number
from ...utils.resources import weights_file
from ...weights.networks import SPANDREL, build
from .overlay import fill
from .runs import Run


def _inside(path: str, folder: Path) -> bool:
    return os.path.abspath(os.path.expanduser(path)).startswith(str(folder) + os.sep)


def _check_networks(run: Run, seen: set[str]) -> None:
    blocks = {'network_g': run.options.get('network_g')}
    for name, teacher in (run.options.get('teachers') or {}).items():
        for key in PRECOMPUTED_TYPES if isinstance(teacher, dict) else ():
            if key not in teacher:
                continue
            raise OptionError(
                f'{run.name}: teachers.{name}.{key}: a plan measures its teachers on every test '
                'set; expected network and '
                'weights'
            )
        blocks[f'teachers.{name}.network'] = (
            teacher.get('network') if isinstance(teacher, dict) else teacher
        )
    if run.options.get('fusion'):
        blocks['fusion.network'] = run.options['fusion'].get('network')
    for key, block in blocks.items():
        if not isinstance(block, dict):
            raise OptionError(
                f'{run.name}: {key}: {block!r}; expected a mapping with the type of a network'
            )
        text = json.dumps(block, default=str)
        # Of some the arch stands in the weights alone.
        if text not in seen and block.get('type') != SPANDREL:
            build(block, f'{run.name}: {key}')
            seen.add(text)


def _check_weights(run: Run, runs: list[Run], out: Path) -> None:
    written = {
        Path(out) / 'experiments' / other.name / 'models'
        for other in runs
        if other.name in run.after
    }
    blocks = {
        f'teachers.{name}': block for name, block in (run.options.get('teachers') or {}).items()
    }
    blocks.update({'fusion': run.options['fusion']} if run.options.get('fusion') else {})
    for key, block in blocks.items():
        path = weights_file(block.get('weights'), f'{run.name}: {key}.weights')
        if path is None or (
            not os.path.isfile(os.path.expanduser(path)) and Path(path).parent not in written
        ):
            raise WeightsError(
                f"{run.name}: {key}.weights: no file '{path}', and no run of the plan writes it"
            )


def check(plan: PlanOptions, runs: list[Run], out: Path) -> None:
    """Build every network once, and look for every folder and file that is read.

    Args:
        plan: The plan.
        runs: What it consists of.
        out: Folder of the results; what is inside of it is made by the plan itself.

    Raises:
        OptionError, WeightsError, DataError: names the run, the key, the value, and what was
        expected.
    """
    seen: set[str] = set()
    for run in runs:
        train = run.options['datasets']['train']
        if run.kind == 'cache':
            continue
        if run.kind == 'student':
            if not run.config.is_fusion_stage and run.config.distillation is None:
                raise OptionError(
                    f'{run.name}: train.kd.type: missing; name a method, or Scratch for none '
                    f'(model_type is {run.options["model_type"]})'
                )
            if not is_number(train.get('gt_size'), 1, whole=True) or train['gt_size'] % run.scale:
                raise OptionError(
                    f'{run.name}: datasets.train.gt_size: {train.get("gt_size")!r}; expected a '
                    f'multiple of {run.scale}'
                )
        _check_networks(run, seen)
        _check_weights(run, runs, out)
        folders = [
            block.get(key)
            for block in run.options['datasets'].values()
            for key in ('dataroot_gt', 'dataroot_lq')
        ]
        folders += [
            dataset.options[key]
            for dataset in evaluation_sets(plan.test, run.scale, out).values()
            for key in ('dataroot_gt', 'dataroot_lq')
        ]
        for folder in folders:
            if folder is None or not (
                Path(folder).expanduser().exists() or (plan.photographs and _inside(folder, out))
            ):
                raise DataError(f"{run.name}: no folder '{folder}'")


def evaluation_sets(folders: Mapping[str, Any], scale: int, out: Path) -> dict[str, DatasetConfig]:
    """Return the test sets of a plan for one scale, each a whole ``PairedImageDataset``.

    Args:
        folders: ``test`` of the plan: by name ``dataroot_gt`` and ``dataroot_lq``.
        scale: Factor, which stands in for ``{scale}``.
        out: Folder of the results, which stands in for ``{out}``.
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
