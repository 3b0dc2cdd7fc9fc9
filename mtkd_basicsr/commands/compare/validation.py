"""Checks of a plan before its first run."""

import json
import os
from pathlib import Path
from typing import Any

from ...checks.findings import ERROR, Findings, listed
from ...checks.images import check_pairs
from ...checks.optimizer import check_values
from ...checks.paired import build_paired
from ...checks.result_names import of_one_name
from ...checks.static import check_losses
from ...checks.student import check_student
from ...config import PRECOMPUTED_TYPES, DatasetConfig, TeacherOptions, require
from ...config.plan import PlanOptions
from ...config.teachers import parse_teacher
from ...distillers.teacher_provider import choose_teacher
from ...errors import DataError, OptionError, WeightsError
from ...host.option_schema import REQUIRED_FOR_TRAINING, is_number
from ...teachers import NetworkTeacher, check_channels
from ...utils.json_types import of_other_types
from ...utils.paths import expanded
from ...utils.resources import weights_file
from ...weights.networks import build, is_inferred
from .evaluation_sets import evaluation_sets
from .runs import Run

# Keys of the folders of a dataset.
_ROOTS = ('dataroot_gt', 'dataroot_lq')


def _inside(path: str, folder: Path) -> bool:
    return os.path.abspath(os.path.expanduser(path)).startswith(str(folder) + os.sep)


def _check_recorded_options(run: Run) -> None:
    """Raise if the option file or the results of a run could not hold a value."""
    for name, value in run.options.items():
        for key in of_other_types(value, name):
            raise OptionError(
                f'{run.name}: {key}: a class or function, which the option files and results of a '
                'comparison cannot hold; expected a network that has it as default'
            )


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
        # The archs of BasicSR call their factor so. A fusion network enlarges nothing, and its
        # `upscale` may be any: it is the size that it works at.
        is_fusion = key == 'fusion.network' or (key == 'network_g' and run.config.is_fusion_stage)
        factor = None if is_fusion else block.get('upscale')
        if is_number(factor, 1) and factor != run.scale:
            raise OptionError(
                f'{run.name}: {key}.upscale: {factor}; the scale of the run is {run.scale}; '
                "expected it, or '{scale}' for any"
            )
        teachers = list(run.options.get('teachers') or {}) if is_fusion else []
        text = json.dumps([block, teachers], default=str)
        # Spandrel reads the arch from the weights.
        if text not in seen and not is_inferred(block):
            net = build(block, f'{run.name}: {key}')
            if is_fusion:
                check_channels(net, teachers, f'{run.name}: {key}')
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
        exists = path is not None and os.path.isfile(expanded(path))
        if not exists and (path is None or Path(path).parent not in written):
            raise WeightsError(
                f"{run.name}: {key}.weights: no file '{path}', and no run of the plan writes it"
            )
    path = run.config.pretrained_network
    if run.kind == 'references' or path is None:
        return
    path = weights_file(path, f'{run.name}: path.pretrain_network_g')
    if not os.path.isfile(os.path.expanduser(path)) and Path(path).parent not in written:
        raise WeightsError(
            f"{run.name}: path.pretrain_network_g: no file '{path}', and no run of the plan "
            'writes it'
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


def _check_options(run: Run, seen: set[str]) -> None:
    """Check the values that no other check looks at; whether this machine can train is left out."""
    findings = Findings()
    config = run.config
    same_for_all_seeds = {**run.options, 'name': '', 'manual_seed': 0}
    text = json.dumps(same_for_all_seeds, default=str)
    if text in seen:
        return
    seen.add(text)
    for path in REQUIRED_FOR_TRAINING:
        with findings.collect_errors():
            require(run.options, *path)
    if not findings.failed:
        check_values(config, findings)
        check_losses(config, findings)
        with findings.collect_errors():
            check_student(config)
    distillation = config.distillation
    if distillation is not None and config.uses_teachers:
        main = distillation.main.options.teacher
        with findings.collect_errors():
            if main is not None or not config.uses_fusion:
                choose_teacher(main, config.teachers, 'train.kd.teacher')
        for method in distillation.all:
            name = method.options.teacher
            for error in method.problems():
                findings.error(str(error), type(error))
            with findings.collect_errors():
                if name is not None:
                    choose_teacher(name, config.teachers, f'{method.key}.teacher')
    _raise_for(run.name, findings)


def _raise_for(name: str, findings: Findings) -> None:
    """Raise the errors of a run, each with its name."""
    named = Findings()
    for finding in findings:
        if finding.level == ERROR:
            named.error(f'{name}: {finding.text}', finding.kind)
    named.raise_errors()


def _check_names(dataset: DatasetConfig, scale: int, findings: Findings) -> None:
    """Check that each image of a test set has a name of its own in results."""
    same = of_one_name(path['gt_path'] for path in build_paired(dataset, scale).paths)
    if same:
        findings.error(
            f'{dataset.key}.dataroot_gt: images that differ only in folder or ending would count '
            f'as one: {listed(same)}; rename them',
            DataError,
        )


def _check_images(
    key: str,
    dataset: DatasetConfig,
    scale: int,
    created: Path | None,
    seen: set[str],
    is_measured: bool = False,
) -> None:
    """Check the folders of a dataset, and the sizes of its images.

    Args:
        key: Key of the dataset, for messages.
        dataset: The dataset.
        scale: Upscaling factor.
        created: Folder whose contents the plan creates; None if it creates none.
        seen: Datasets that were checked before; this one is added.
        is_measured: Whether results are kept by the names of its images, as of a test set.
    """
    options = {**dataset.options, 'target_cache': None}
    text = json.dumps([dataset.phase == 'train', is_measured, options, scale], default=str)
    if text in seen:
        return
    seen.add(text)
    for name in _ROOTS:
        folder = dataset.options.get(name)
        if folder is not None and created is not None and _inside(folder, created):
            return
        if folder is None or not Path(folder).expanduser().exists():
            raise DataError(f"{key}.{name}: no folder '{folder}'")
    findings = Findings()
    if dataset.is_paired:
        with findings.collect_errors():
            check_pairs(dataset, scale, findings)
            if is_measured:
                _check_names(dataset, scale, findings)
    for finding in findings:
        if finding.level == ERROR:
            raise finding.kind(finding.text.replace(dataset.key, key))


def _check_datasets(run: Run, plan: PlanOptions, out: Path, seen: set[str]) -> None:
    created = out if plan.photographs else None
    for phase, dataset in run.config.datasets.items():
        _check_images(f'{run.name}: datasets.{phase}', dataset, run.scale, created, seen)
    for name, dataset in evaluation_sets(plan.test, run.scale, out).items():
        _check_images(f'test.{name}', dataset, run.scale, created, seen, is_measured=True)


def check(plan: PlanOptions, runs: list[Run], out: Path) -> None:
    """Build every network once, and check options, files, and the sizes of the images.

    Args:
        plan: The plan.
        runs: Its runs.
        out: Folder of the results, which the plan itself fills.

    Raises:
        OptionError, WeightsError, DataError: A run is invalid; names the run, the key, the value
            and what was expected.
    """
    seen: set[str] = set()
    # A message about a training says more than one about the measurement of its teachers.
    for run in sorted(runs, key=lambda run: run.kind == 'references'):
        if run.kind == 'cache':
            continue
        _check_recorded_options(run)
        if run.kind == 'student':
            _check_student(run)
        _check_networks(run, seen)
        _check_weights(run, runs, out)
        _check_datasets(run, plan, out, seen)
        if run.kind != 'references':
            _check_options(run, seen)
