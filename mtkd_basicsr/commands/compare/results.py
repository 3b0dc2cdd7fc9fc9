"""What has been measured so far: values of all students and methods."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...config.plan import PlanOptions
from ...evaluation.statistics import mean_and_deviation
from .precisions import mixed, recorded
from .runs import Run
from .store import has_all_sets, result_of
from .validation import evaluation_sets


@dataclass
class Cell:
    """One method for one student at one scale.

    Attributes:
        values: By test set: (seeds, images, 2), PSNR in dB and SSIM.
        names: By test set: the images.
        seeds: Those that are finished.
        curves: Of each seed: [(iteration, seconds, PSNR)].
        seconds: Of each seed: training alone.
        precisions: Of each seed: what student and teachers ran in.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    curves: list[list[tuple[int, float, float]]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    precisions: list[dict[str, str]] = field(default_factory=list)

    def summary(self, test_set: str) -> tuple[float, float | None, float, float | None]:
        """Return mean PSNR, its standard deviation over seeds, and the same of SSIM.

        The deviations are None for one seed.
        """
        means = self.values[test_set].mean(1)
        return *mean_and_deviation(means[:, 0]), *mean_and_deviation(means[:, 1])

    def mean_seconds(self) -> float:
        """Return the seconds of a training, mean over seeds."""
        return sum(self.seconds) / len(self.seconds)

    def validation(self) -> tuple[float, float | None] | None:
        """Return the mean over seeds of the PSNR of the last validation, and its deviation.

        The deviation is None for one seed. None where a seed has no validation.
        """
        if not all(self.curves):
            return None
        return mean_and_deviation([curve[-1][2] for curve in self.curves])


@dataclass
class Results:
    """All of a comparison.

    Attributes:
        plan: The plan.
        cells: (student, scale, method) -> :class:`Cell`; only what is finished, at least
            for one seed.
        references: scale -> name -> test set -> (mean PSNR, mean SSIM).
        runs: By name: :class:`~mtkd_basicsr.commands.compare.expansion.Run`.
        missing: Runs that are not finished.
        prepared: Seconds of finished caches and of trainings that others
            build on.
        machines: What they were done on.
    """

    plan: PlanOptions
    cells: dict[tuple[str, int, str], Cell]
    references: dict[int, dict[str, dict[str, tuple[float, ...]]]]
    runs: dict[str, Run]
    missing: list[str]
    prepared: dict[str, float]
    machines: list[str] = field(default_factory=list)

    def groups(self) -> Iterator[tuple[str, int, dict[str, Cell]]]:
        """Yield each student and scale with finished methods, and their cells by method.

        All are in the order of the plan.
        """
        for scale in self.plan.scales:
            for student in self.plan.students:
                cells = {
                    m: self.cells[student, scale, m]
                    for m in self.plan.methods
                    if (student, scale, m) in self.cells
                }
                if cells:
                    yield student, scale, cells

    def mixed(self) -> dict[tuple[str, int, str], str]:
        """Return the rows that were not made in one precision, or not in that of the baseline.

        By student, scale and method: a description.
        """
        found = {}
        for student, scale, cells in self.groups():
            for method, cell in cells.items():
                text = mixed(cell, cells.get(self.plan.baseline))
                if text:
                    found[student, scale, method] = text
        return found


def collect(plan: PlanOptions, runs: list[Run], out: Path) -> Results:
    """Read the results of all runs that are finished.

    Args:
        plan: The plan.
        runs: From :func:`~mtkd_basicsr.commands.compare.expansion.expand`.
        out: Folder of the results.

    Returns:
        All of them.
    """
    return assemble(plan, [(run, result_of(run, out)) for run in runs], out)


def assemble(
    plan: PlanOptions, found: Iterable[tuple[Run, dict[str, Any] | None]], out: Path
) -> Results:
    """Put the results of runs together.

    Args:
        plan: The plan.
        found: Each run and its result; None for one that is not finished.
        out: Folder of the results.

    Returns:
        All of them.
    """
    runs: dict[str, Run] = {}
    cells: dict[tuple[str, int, str], Cell] = {}
    values: dict[tuple[str, int, str], dict[str, list[Any]]] = {}
    references: dict[int, dict[str, dict[str, tuple[float, ...]]]] = {}
    missing: list[str] = []
    prepared: dict[str, float] = {}
    machines: dict[str, None] = {}
    for run, tested in found:
        runs[run.name] = run
        if tested is None or not has_all_sets(tested, plan):
            missing.append(run.name)
            continue
        machines.setdefault(tested['machine'], None)
        if run.kind in ('cache', 'prepare'):
            prepared[run.name] = tested['seconds' if run.kind == 'cache' else 'training_seconds']
        elif run.kind == 'references':
            references[run.scale] = {
                name: {
                    test_set: tuple(np.mean(list(images.values()), 0))
                    for test_set, images in sets.items()
                }
                for name, sets in tested['results'].items()
            }
        else:
            # Every student has all three.
            assert run.student is not None
            assert run.method is not None
            assert run.seed is not None
            key = run.student, run.scale, run.method
            cell = cells.setdefault(key, Cell())
            of_seeds = values.setdefault(key, {})
            for test_set in evaluation_sets(plan.test, run.scale, out):
                images = tested['results'][run.method][test_set]
                cell.names[test_set] = list(images)
                of_seeds.setdefault(test_set, []).append(list(images.values()))
            cell.seeds.append(run.seed)
            cell.curves.append([(i, seconds, psnr) for i, seconds, psnr in tested['curve']])
            cell.seconds.append(tested['training_seconds'])
            cell.precisions.append(recorded(tested))
    for key, cell in cells.items():
        cell.values = {test_set: np.array(lists) for test_set, lists in values[key].items()}
    return Results(plan, cells, references, runs, missing, prepared, list(machines))


def paired_psnr(cell: Cell, other: Cell, test_set: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the PSNR of two methods with the seeds that both have.

    Args:
        cell: A method.
        other: The one that it is compared with.
        test_set: Name.

    Returns:
        Two arrays (seeds, images), in dB, with the same seeds and images in the same order; None
        where they have no seed in common.
    """
    seeds = [seed for seed in cell.seeds if seed in other.seeds]
    if not seeds:
        return None
    first, second = (
        c.values[test_set][[c.seeds.index(seed) for seed in seeds], :, 0] for c in (cell, other)
    )
    return first, second
