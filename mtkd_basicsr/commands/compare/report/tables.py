"""Tables of a report."""

from typing import Any

from ....evaluation.statistics import SIGNIFICANT, gain, smallest_p
from ....utils.texts import listed
from ..precisions import MARK, mixed
from ..results import Cell, Results, paired_psnr
from .differences import compared_with, differences
from .document import Table
from .published import published
from .timing import Timing

# Header of the column of training times.
_TIME = 'training, s'


def _value(mean: float, deviation: float | None, digits: int) -> str:
    return f'{mean:.{digits}f}' + ('' if deviation is None else f' ± {deviation:.{digits}f}')


def _best(column: list[tuple[float, int, int]]) -> int | None:
    """Return the row of the highest mean in a column of (PSNR, row, seeds), the first of equals.

    None if another row has more seeds: a high mean over few seeds may be chance.
    """
    _, row, seeds = max(column, key=lambda entry: (entry[0], -entry[1]))
    return row if seeds == max(entry[2] for entry in column) else None


def _marks(columns: dict[int, list[tuple[float, int, int]]]) -> frozenset[tuple[int, int]]:
    """Return the row and column of the best cell of each column."""
    marks = set()
    for j, column in columns.items():
        row = _best(column)
        if row is not None:
            marks.add((row, j))
    return frozenset(marks)


def _signed(mean: float, deviation: float | None) -> str:
    return f'{mean:+.3f}' + ('' if deviation is None else f' ± {deviation:.3f}')


def _gain(cell: Cell, other: Cell, test_set: str) -> str:
    pair = paired_psnr(cell, other, test_set)
    if pair is None:
        return '–'
    return _signed(*gain(*pair))


def quality(results: Results, student: str, scale: int, cells: dict[str, Cell]) -> Table:
    """Return the table of one student at one scale, with a row for each reference and method.

    Its columns are PSNR and SSIM, the gain over the baseline, the last validation, and the seconds
    of training.
    """
    plan = results.plan
    timing = Timing.of(results)
    base = cells.get(plan.baseline)
    sets = list(plan.test)
    header = [
        'method',
        *(f'{s}: PSNR / SSIM' for s in sets),
        *(f'{s}: gain' for s in sets),
        'validation: PSNR',
        _TIME,
        'seeds',
    ]
    rows: list[list[str]] = []
    columns: dict[int, list[tuple[float, int, int]]] = {}
    for name, values in results.references.get(scale, {}).items():
        qualities = [f'{values[s][0]:.2f} / {values[s][1]:.4f}' for s in sets]
        rows.append([name, *qualities, *['–'] * (len(sets) + 3)])
    for method, cell in cells.items():
        row = [method + (MARK if mixed(cell, base) else '')]
        for j, test_set in enumerate(sets, 1):
            psnr, psnr_deviation, ssim, ssim_deviation = cell.summary(test_set)
            row.append(f'{_value(psnr, psnr_deviation, 2)} / {_value(ssim, ssim_deviation, 4)}')
            columns.setdefault(j, []).append((psnr, len(rows), len(cell.seeds)))
        for test_set in sets:
            row.append('–' if base is None or cell is base else _gain(cell, base, test_set))
        validation = cell.validation()
        row.append('–' if validation is None else _value(*validation, 3))
        seconds = f'{cell.mean_seconds():.0f}{timing.student(student, scale, method)}'
        rows.append([*row, seconds, str(len(cell.seeds))])
    return Table(header, rows, _marks(columns))


def summary(results: Results, scale: int, references: bool = True, seconds: bool = False) -> Table:
    """Return the PSNR of all students at one scale, mean ± standard deviation over seeds.

    Each reference and each method has a row.

    Args:
        results: All results of a comparison.
        scale: Factor.
        references: Whether to show bicubic, teachers and targets.
        seconds: Whether to show the seconds of the trainings of each student.

    Returns:
        A table.
    """
    students = {student: cells for student, found, cells in results.groups() if found == scale}
    fields = list(results.plan.test)
    if seconds:
        fields.append(_TIME)
    header = [f'×{scale}: PSNR, dB', *(f'{s}, {field}' for s in students for field in fields)]
    timing = Timing.of(results)
    rows: list[list[str]] = []
    if references:
        for name, values in results.references.get(scale, {}).items():
            row = [f'{values[field][0]:.2f}' if field in values else '–' for field in fields]
            rows.append([name, *row * len(students)])
    columns: dict[int, list[tuple[float, int, int]]] = {}
    marked = {method for _, found, method in results.mixed() if found == scale}
    for method in results.plan.methods:
        row = [method + (MARK if method in marked else '')]
        for student, cells in students.items():
            for field in fields:
                cell = cells.get(method)
                if cell is not None and field != _TIME:
                    entry = (cell.summary(field)[0], len(rows), len(cell.seeds))
                    columns.setdefault(len(row), []).append(entry)
                row.append(_summary_cell(cell, field, len(results.plan.seeds)))
                if cell is not None and field == _TIME:
                    row[-1] += timing.student(student, scale, method)
        if any(text != '–' for text in row[1:]):
            rows.append(row)
    return Table(header, rows, _marks(columns))


def _summary_cell(cell: Cell | None, field: str, seeds: int) -> str:
    """Return a text of :func:`summary`: PSNR on a test set, or seconds of training.

    Args:
        cell: Cell of a method; None if it is not finished.
        field: Name of a test set, or ``_TIME``.
        seeds: Number of seeds in the plan.
    """
    if cell is None:
        return '–'
    if field == _TIME:
        return f'{cell.mean_seconds():.0f}'
    psnr, deviation, *_ = cell.summary(field)
    text = _value(psnr, deviation, 2)
    if len(cell.seeds) < seeds:
        text += f' ({len(cell.seeds)} of {seeds} seeds)'
    return text


def significance(results: Results, cells: dict[str, Cell], test_set: str) -> Table:
    """Compare all methods with each other on one test set.

    If there are many methods, each is compared with the baseline only. Cells hold the mean
    difference in dB ± its standard deviation over seeds, and the p-value over images, corrected
    for the comparisons in the table; no p if none could be significant with so few images.
    """
    baseline = results.plan.baseline
    found = differences(cells, baseline, test_set)
    others = compared_with(cells, baseline)

    def text(method: str, other: str) -> str:
        sign = 1 if (method, other) in found else -1
        difference = found.get((method, other)) or found.get((other, method))
        if difference is None:
            return '–'
        p = f'{difference.p:.2g}' if difference.is_testable else '–'
        return f'{_signed(sign * difference.mean, difference.deviation)} (p {p})'

    header = ['', *(f'− {name}' for name in others)]
    rows = []
    for method in cells:
        rows.append([method, *(text(method, other) for other in others)])
    return Table(header, rows)


def too_few_images(results: Results, cells: dict[str, Cell]) -> str:
    """Return why tables of :func:`significance` have no p; empty if they all have one."""
    reasons = []
    for test_set in results.plan.test:
        found = differences(cells, results.plan.baseline, test_set)
        untestable = [pair for pair, difference in found.items() if not difference.is_testable]
        if not untestable:
            continue
        images = len(next(iter(cells.values())).names[test_set])
        least = min(1.0, len(found) * smallest_p(images))
        if least > SIGNIFICANT:
            reasons.append(
                f'{test_set} has {images}: with {len(found)} comparisons, p cannot be below '
                f'{least:.2g}'
            )
            continue
        texts = []
        for method, other in untestable:
            count = found[method, other].images
            texts.append(f'{method} and {other} differ on {count}')
        reasons.append(f'of the {images} of {test_set}, {listed(texts, 3)}')
    return f'No p for too few images: {"; ".join(reasons)}.' if reasons else ''


def costs(measured: dict[str, dict[str, Any]]) -> Table:
    """Return the table of the sizes and speeds of networks.

    Args:
        measured: Result of :func:`~mtkd_basicsr.evaluation.measure.cost` by name.
    """
    rows = [
        [name, f'{c["parameters"]:,d}', f'{c["macs"] / 1e9:,.1f} G', f'{c["milliseconds"]:.0f}']
        for name, c in measured.items()
    ]
    return Table(['network', 'parameters', 'multiply-adds, 1280×720 out', 'ms per image'], rows)


def preparation(results: Results) -> Table:
    """Return the seconds of caches and shared trainings, and of all trainings of students."""
    timing = Timing.of(results)
    rows = []
    for name, time in results.prepared.items():
        rows.append([name, f'{time:.0f}{timing.preparation(name)}'])
    seconds = [s for cell in results.cells.values() for s in cell.seconds]
    mixed_up = len(set(timing.students.values())) > 1
    label = f'{len(seconds)} trainings of students'
    rows.append([label, f'{sum(seconds):.0f}' + (' (mixed)' if mixed_up else '')])
    return Table(['done once', 'seconds'], rows)


def published_beside_ours(
    results: Results, student: str, scale: int, cells: dict[str, Cell]
) -> Table | None:
    """Return published figures together with ours for the same student, scale and test sets.

    None if there are no published figures.
    """
    cell = next(iter(cells.values()))
    network = next(
        run.options['network_g']
        for run in results.runs.values()
        if (run.student, run.scale) == (student, scale)
    )
    found = published(network, scale, {s: len(names) for s, names in cell.names.items()})
    if not found:
        return None
    sets = [s for s in results.plan.test if any(s in values for values in found.values())]
    rows = []
    for method, values in found.items():
        figures = [f'{values[s]:.2f}' if s in values else '–' for s in sets]
        rows.append([f'{method} (published)', *figures])
    for method, cell in cells.items():
        name = 'scratch' if method == results.plan.baseline else method
        rows.append([f'{name} (ours)', *(f'{cell.summary(s)[0]:.2f}' for s in sets)])
    return Table(['PSNR, dB', *sets], sorted(rows, key=lambda row: row[0].lower()))
