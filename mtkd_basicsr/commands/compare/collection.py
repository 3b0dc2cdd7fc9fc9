"""Collection of the results of runs, as the report of a comparison needs them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...config.plan import PlanOptions
from ...errors import DataError
from ...evaluation.statistics import HIGHEST_PSNR
from ...utils.texts import listed
from .evaluation_sets import evaluation_sets
from .precision_records import recorded
from .results import Cell, Results
from .runs import Run
from .store import has_all_sets, result_of


def collect(plan: PlanOptions, runs: list[Run], out: Path) -> Results:
    """Read the results of all finished runs.

    Args:
        plan: The plan.
        runs: Its runs, from :func:`~mtkd_basicsr.commands.compare.expansion.expand`.
        out: Folder of the results.

    Returns:
        All results.
    """
    return assemble(plan, [(run, result_of(run, out)) for run in runs], out)


def assemble(
    plan: PlanOptions, found: Iterable[tuple[Run, dict[str, Any] | None]], out: Path
) -> Results:
    """Combine the results of runs.

    Args:
        plan: The plan.
        found: Each run with its result; None for an unfinished run.
        out: Folder of the results.

    Returns:
        All results.

    Raises:
        DataError: Two students were measured on different images of a test set.
    """
    runs: dict[str, Run] = {}
    cells: dict[tuple[str, int, str], Cell] = {}
    values: dict[tuple[str, int, str], dict[str, list[Any]]] = {}
    references: dict[int, dict[str, dict[str, tuple[float, ...]]]] = {}
    missing: list[str] = []
    prepared: dict[str, float] = {}
    prepared_machines: dict[str, str] = {}
    machines: dict[str, None] = {}
    # The run that was read first, and its images, by scale and test set.
    first_images: dict[tuple[int, str], tuple[str, Mapping[str, Any]]] = {}
    for run, tested in found:
        runs[run.name] = run
        if tested is None or not has_all_sets(tested, run, plan, out):
            missing.append(run.name)
            continue
        machines.setdefault(tested['machine'], None)
        if run.kind in ('cache', 'prepare'):
            prepared[run.name] = tested['seconds' if run.kind == 'cache' else 'training_seconds']
            prepared_machines[run.name] = tested['machine']
        elif run.kind == 'references':
            references[run.scale] = _mean_values(tested['results'])
        else:
            assert run.student is not None  # every student has these three
            assert run.method is not None
            assert run.seed is not None
            key = run.student, run.scale, run.method
            cell = cells.setdefault(key, Cell())
            of_seeds = values.setdefault(key, {})
            for test_set in evaluation_sets(plan.test, run.scale, out):
                images = tested['results'][run.method][test_set]
                first = first_images.setdefault((run.scale, test_set), (run.name, images))
                _refuse_others(test_set, *first, run.name, images)
                cell.names[test_set] = list(first[1])
                in_order = [images[name] for name in first[1]]
                of_seeds.setdefault(test_set, []).append(in_order)
            cell.seeds.append(run.seed)
            cell.curves.append([(i, s, min(psnr, HIGHEST_PSNR)) for i, s, psnr in tested['curve']])
            cell.seconds.append(tested['training_seconds'])
            cell.precisions.append(recorded(tested))
            cell.machines.append(tested['machine'])
    for key, cell in cells.items():
        for test_set, lists in values[key].items():
            # SSIM is not above 1.
            cell.values[test_set] = np.minimum(np.array(lists), HIGHEST_PSNR)
    return Results(
        plan, cells, references, runs, missing, prepared, list(machines), prepared_machines
    )


def _refuse_others(
    test_set: str,
    first_name: str,
    first: Mapping[str, Any],
    name: str,
    images: Mapping[str, Any],
) -> None:
    """Raise if a student was measured on other images than the first one.

    Their results could not be compared image by image.

    Raises:
        DataError: Names both runs.
    """
    if set(first) != set(images):
        only = sorted(set(first) ^ set(images))
        raise DataError(
            f'test.{test_set}: {first_name} and {name} were measured on different images '
            f'({listed(only, 3)}: in one of them only); expected results of one test set; remove '
            'those of the other one from results/'
        )


def _mean_values(
    results: dict[str, dict[str, dict[str, list[float]]]],
) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return the means over images of PSNR and SSIM: name -> test set -> means."""
    means: dict[str, dict[str, tuple[float, ...]]] = {}
    for name, sets in results.items():
        means[name] = {}
        for test_set, images in sets.items():
            finite = np.minimum(list(images.values()), HIGHEST_PSNR)
            means[name][test_set] = tuple(finite.mean(0))
    return means
