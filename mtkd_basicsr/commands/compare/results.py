"""What has been measured so far: values by student, method, scale and test set, and statistics over
them.
"""

from dataclasses import dataclass, field

import numpy as np

from .precisions import mixed, recorded
from .store import has_all_sets, result_of
from .validation import test_sets


@dataclass
class Cell:
    """One method for one student at one scale.

    Attributes:
        values (dict[str, ndarray]): By test set: (seeds, images, 2), PSNR in dB and SSIM.
        names (dict[str, list[str]]): By test set: the images.
        seeds (list[int]): Those that are finished.
        curves (list): Of each seed: [(iteration, seconds, PSNR)].
        seconds (list[float]): Of each seed: training alone.
        precisions (list[dict]): Of each seed: what student and teachers ran in.
    """

    values: dict = field(default_factory=dict)
    names: dict = field(default_factory=dict)
    seeds: list = field(default_factory=list)
    curves: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    precisions: list = field(default_factory=list)

    def summary(self, test_set):
        """(mean PSNR, its standard deviation over seeds, mean SSIM, its standard deviation); None
        for one seed.
        """
        means = self.values[test_set].mean(1)
        deviation = means.std(0, ddof=1) if len(means) > 1 else (None, None)
        return means[:, 0].mean(), deviation[0], means[:, 1].mean(), deviation[1]

    def mean_seconds(self):
        """Seconds of a training, mean over seeds."""
        return sum(self.seconds) / len(self.seconds)

    def validation(self):
        """(PSNR of the last validation of the training, mean over seeds, its standard deviation or
        None); None if there was none.
        """
        if not all(self.curves):
            return None
        last = [curve[-1][2] for curve in self.curves]
        return float(np.mean(last)), float(np.std(last, ddof=1)) if len(last) > 1 else None


@dataclass
class Results:
    """All of a comparison.

    Attributes:
        plan (PlanOptions): The plan.
        cells (dict): (student, scale, method) -> :class:`Cell`; only what is finished, at least
            for one seed.
        references (dict): scale -> name -> test set -> (mean PSNR, mean SSIM).
        runs (dict): name -> :class:`~mtkd_basicsr.commands.compare.expansion.Run`.
        missing (list[str]): Runs that are not finished.
        prepared (dict[str, float]): Seconds of finished caches and of trainings that others
            build on.
        machines (list[str]): What they were done on.
    """

    plan: object
    cells: dict
    references: dict
    runs: dict
    missing: list
    prepared: dict
    machines: list = field(default_factory=list)

    def groups(self):
        """(student, scale) with methods that are finished, and their cells in the order of the
        plan.
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

    def mixed(self):
        """Rows that were not made in one precision, or not in that of the baseline: (student,
        scale, method) -> in words.
        """
        found = {}
        for student, scale, cells in self.groups():
            for method, cell in cells.items():
                text = mixed(cell, cells.get(self.plan.baseline))
                if text:
                    found[student, scale, method] = text
        return found


def collect(plan, runs, out):
    """Reads what is finished.

    Args:
        plan (PlanOptions): The plan.
        runs (list[Run]): From :func:`~mtkd_basicsr.commands.compare.expansion.expand`.
        out (Path): Folder of the results.

    Returns:
        Results
    """
    cells = {}
    references = {}
    missing = []
    prepared = {}
    machines = {}
    for run in runs:
        tested = result_of(run, out)
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
            cell = cells.setdefault((run.student, run.scale, run.method), Cell())
            for test_set in test_sets(plan.test, run.scale, out):
                images = tested['results'][run.method][test_set]
                cell.names[test_set] = list(images)
                cell.values.setdefault(test_set, []).append(list(images.values()))
            cell.seeds.append(run.seed)
            cell.curves.append([tuple(point) for point in tested['curve']])
            cell.seconds.append(tested['training_seconds'])
            cell.precisions.append(recorded(tested))
    for cell in cells.values():
        cell.values = {test_set: np.array(values) for test_set, values in cell.values.items()}
    return Results(
        plan, cells, references, {run.name: run for run in runs}, missing, prepared, list(machines)
    )


def paired(cell, other, test_set):
    """Whether one method is better than another, image by image.

    Wilcoxon's signed-rank test, two-sided, on the differences of PSNR of the same image, each the
    mean over the seeds that both have. It says how sure the difference is for other images, not for
    other seeds.

    Args:
        cell, other (Cell): Two methods.
        test_set (str): Name.

    Returns:
        tuple | None: (mean difference in dB, p); None where they have no seed in common. p is 1
        where all are equal.
    """
    from scipy.stats import wilcoxon

    seeds = [seed for seed in cell.seeds if seed in other.seeds]
    if not seeds:
        return None
    own, others = (
        c.values[test_set][[c.seeds.index(s) for s in seeds], :, 0].mean(0) for c in (cell, other)
    )
    difference = own - others
    p = float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0
    return float(difference.mean()), p


def holm(values):
    """Holm's correction of p for several comparisons: how sure each is when all of them are looked
    at.

    Holm: *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of
        Statistics 6, 1979.

    Args:
        values (list[float]): p of each comparison.

    Returns:
        list[float]: p in the same order, at least as large, at most 1.
    """
    values = np.asarray(values, float)
    order = values.argsort()
    corrected = np.empty(len(values))
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(
        max=1.0
    )
    return corrected.tolist()


def gains(cell, baseline, test_set):
    """Gain over a baseline for each seed that both have: (mean, standard deviation) in dB; None
    without one in common.

    The deviation is None for one seed.
    """
    seeds = [seed for seed in cell.seeds if seed in baseline.seeds]
    if not seeds:
        return None
    own, others = (
        c.values[test_set][[c.seeds.index(s) for s in seeds], :, 0].mean(1)
        for c in (cell, baseline)
    )
    return float((own - others).mean()), float((own - others).std(ddof=1)) if len(
        seeds
    ) > 1 else None
