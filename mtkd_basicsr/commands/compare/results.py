"""The measured values of all finished students and methods."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...evaluation.statistics import mean_and_deviation
from .precisions import mixed

if TYPE_CHECKING:
    from ...config.plan import PlanOptions
    from .runs import Run


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

    plan: 'PlanOptions'
    cells: dict[tuple[str, int, str], Cell]
    references: dict[int, dict[str, dict[str, tuple[float, ...]]]]
    runs: dict[str, 'Run']
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

    def iterations(self, student: str, scale: int, method: str) -> int:
        """Return the iterations of the trainings of a method, which are alike for all its seeds."""
        (found,) = {
            run.options['train']['total_iter']
            for run in self.runs.values()
            if (run.student, run.scale, run.method) == (student, scale, method)
        }
        return found

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
