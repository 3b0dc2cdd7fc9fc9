"""The measured values of all finished students and methods."""

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
    """The values of one method for one student at one scale.

    Attributes:
        values: Test set -> (seeds, images, 2): PSNR in dB and SSIM.
        names: Test set -> names of its images.
        seeds: Finished seeds.
        curves: Validation curve of each seed: [(iteration, seconds, PSNR in dB)].
        seconds: Seconds of each seed's training, without caches.
        precisions: Precisions of each seed, by name.
        machines: Machine of each seed's training.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    curves: list[list[tuple[int, float, float]]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    precisions: list[dict[str, str]] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)

    def summary(self, test_set: str) -> tuple[float, float | None, float, float | None]:
        """Return the mean and standard deviation over seeds of PSNR, then those of SSIM.

        The deviations are None for one seed.
        """
        means = self.values[test_set].mean(1)
        return *mean_and_deviation(means[:, 0]), *mean_and_deviation(means[:, 1])

    def mean_seconds(self) -> float:
        """Return the mean seconds of a training over seeds."""
        return sum(self.seconds) / len(self.seconds)

    def validation(self) -> tuple[float, float | None] | None:
        """Return the mean and standard deviation over seeds of the last validation's PSNR.

        The deviation is None for one seed; the result is None if a seed has no validation.
        """
        if not all(self.curves):
            return None
        return mean_and_deviation([curve[-1][2] for curve in self.curves])


@dataclass
class Results:
    """All results of a comparison.

    Attributes:
        plan: The plan.
        cells: (student, scale, method) -> :class:`Cell`, if at least one seed is finished.
        references: Scale -> name -> test set -> (mean PSNR, mean SSIM).
        runs: Runs by name.
        missing: Names of unfinished runs.
        prepared: Seconds of finished caches, and of trainings that others build on, by name.
        machines: Descriptions of the machines.
        prepared_machines: Machine of each entry of ``prepared``.
    """

    plan: PlanOptions
    cells: dict[tuple[str, int, str], Cell]
    references: dict[int, dict[str, dict[str, tuple[float, ...]]]]
    runs: dict[str, Run]
    missing: list[str]
    prepared: dict[str, float]
    machines: list[str] = field(default_factory=list)
    prepared_machines: dict[str, str] = field(default_factory=dict)

    def groups(self) -> Iterator[tuple[str, int, dict[str, Cell]]]:
        """Yield each student and scale with finished methods, with its cells by method.

        The order is that of the plan.
        """
        for scale in self.plan.scales:
            for student in self.plan.students:
                cells = {}
                for method in self.plan.methods:
                    if (student, scale, method) in self.cells:
                        cells[method] = self.cells[student, scale, method]
                if cells:
                    yield student, scale, cells

    @property
    def several_seeds(self) -> bool:
        """Return whether a method has more than one finished seed."""
        return any(len(cell.seeds) > 1 for cell in self.cells.values())

    def mixed(self) -> dict[tuple[str, int, str], str]:
        """Return descriptions of the rows that mix precisions, by student, scale and method."""
        found = {}
        for student, scale, cells in self.groups():
            for method, cell in cells.items():
                text = mixed(cell, cells.get(self.plan.baseline))
                if text:
                    found[student, scale, method] = text
        return found


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
    """
    runs: dict[str, Run] = {}
    cells: dict[tuple[str, int, str], Cell] = {}
    values: dict[tuple[str, int, str], dict[str, list[Any]]] = {}
    references: dict[int, dict[str, dict[str, tuple[float, ...]]]] = {}
    missing: list[str] = []
    prepared: dict[str, float] = {}
    prepared_machines: dict[str, str] = {}
    machines: dict[str, None] = {}
    for run, tested in found:
        runs[run.name] = run
        if tested is None or not has_all_sets(tested, plan):
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
                cell.names[test_set] = list(images)
                of_seeds.setdefault(test_set, []).append(list(images.values()))
            cell.seeds.append(run.seed)
            cell.curves.append([(i, seconds, psnr) for i, seconds, psnr in tested['curve']])
            cell.seconds.append(tested['training_seconds'])
            cell.precisions.append(recorded(tested))
            cell.machines.append(tested['machine'])
    for key, cell in cells.items():
        cell.values = {test_set: np.array(lists) for test_set, lists in values[key].items()}
    return Results(
        plan, cells, references, runs, missing, prepared, list(machines), prepared_machines
    )


def _mean_values(
    results: dict[str, dict[str, dict[str, list[float]]]],
) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return the means over images of PSNR and SSIM: name -> test set -> means."""
    means: dict[str, dict[str, tuple[float, ...]]] = {}
    for name, sets in results.items():
        means[name] = {}
        for test_set, images in sets.items():
            means[name][test_set] = tuple(np.mean(list(images.values()), 0))
    return means


def _psnr(cell: Cell, test_set: str, seeds: list[int]) -> np.ndarray:
    """Return the PSNR of a method for some of its seeds, (seeds, images), in dB."""
    rows = [cell.seeds.index(seed) for seed in seeds]
    return cell.values[test_set][rows, :, 0]


def paired_psnr(cell: Cell, other: Cell, test_set: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the PSNR of two methods for the seeds that both have.

    Args:
        cell: Cell of a method.
        other: Cell of the method that it is compared with.
        test_set: Name of the test set.

    Returns:
        Two arrays (seeds, images), in dB, with the same seeds and images in the same order; None
        if the methods have no seed in common.
    """
    seeds = [seed for seed in cell.seeds if seed in other.seeds]
    if not seeds:
        return None
    return _psnr(cell, test_set, seeds), _psnr(other, test_set, seeds)
