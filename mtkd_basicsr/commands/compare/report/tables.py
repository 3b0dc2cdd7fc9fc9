"""Tables of a report."""

from typing import Any

from ....evaluation.statistics import gain
from ..precisions import MARK, mixed
from ..results import Cell, Results, paired_psnr
from .differences import compared_with, differences
from .document import Table
from .published import published

# The heading of the mean time of a training.
_SECONDS = 'training, s'


def _value(mean: float, deviation: float | None, digits: int) -> str:
    return f'{mean:.{digits}f}' + ('' if deviation is None else f' ± {deviation:.{digits}f}')


def _best(column: list[tuple[float, int, int]]) -> int | None:
    """Return the row of the highest mean in a column of (PSNR, row, seeds), the first of equals.

    None where others have more seeds: such a mean may be luck, and the next one is not the best.
    """
    _, row, seeds = max(column, key=lambda entry: (entry[0], -entry[1]))
    return row if seeds == max(entry[2] for entry in column) else None


def _marks(columns: dict[int, list[tuple[float, int, int]]]) -> frozenset[tuple[int, int]]:
    """Return row and column of the best of each column."""
    return frozenset(
        (row, j)
        for j, row in ((j, _best(column)) for j, column in columns.items())
        if row is not None
    )


def _signed(mean: float, deviation: float | None) -> str:
    return f'{mean:+.3f}' + ('' if deviation is None else f' ± {deviation:.3f}')


def _gain(cell: Cell, other: Cell, test_set: str) -> str:
    pair = paired_psnr(cell, other, test_set)
    if pair is None:
        return '–'
    return _signed(*gain(*pair))


def quality(results: Results, student: str, scale: int, cells: dict[str, Cell]) -> Table:
    """Return the table of one student at one scale, a row for each reference and each method.

    It has PSNR and SSIM, gain over the baseline, last validation, and seconds of training.
    """
    plan = results.plan
    base = cells.get(results.plan.baseline)
    sets = list(plan.test)
    header = [
        'method',
        *(f'{s}: PSNR / SSIM' for s in sets),
        *(f'{s}: gain' for s in sets),
        'validation: PSNR',
        _SECONDS,
        'seeds',
    ]
    rows: list[list[str]] = []
    columns: dict[int, list[tuple[float, int, int]]] = {}
    for name, values in results.references.get(scale, {}).items():
        rows.append(
            [
                name,
                *(f'{values[s][0]:.2f} / {values[s][1]:.4f}' for s in sets),
                *['–'] * (len(sets) + 3),
            ]
        )
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
        rows.append([*row, f'{cell.mean_seconds():.0f}', str(len(cell.seeds))])
    return Table(header, rows, _marks(columns))


def summary(results: Results, scale: int, references: bool = True, seconds: bool = False) -> Table:
    """Return the PSNR of all students at one scale, mean ± standard deviation over seeds.

    Each reference and each method has a row.

    Args:
        results: All of a comparison.
        scale: Factor.
        references: Whether bicubic, teachers and targets are shown.
        seconds: Whether the seconds of the trainings are shown beside each student.

    Returns:
        A table.
    """
    students = {student: cells for student, found, cells in results.groups() if found == scale}
    sets = list(results.plan.test)
    shown_of = [*sets, *([_SECONDS] if seconds else [])]
    header = [f'×{scale}: PSNR, dB', *(f'{student}, {s}' for student in students for s in shown_of)]
    shown = results.references.get(scale, {}) if references else {}
    rows = [
        [name, *(f'{values[s][0]:.2f}' if s in values else '–' for _ in students for s in shown_of)]
        for name, values in shown.items()
    ]
    columns: dict[int, list[tuple[float, int, int]]] = {}
    marked = {method for _, found, method in results.mixed() if found == scale}
    for method in results.plan.methods:
        row = [method + (MARK if method in marked else '')]
        for column, (cells, s) in enumerate(
            ((cells, s) for cells in students.values() for s in shown_of), 1
        ):
            if method not in cells:
                row.append('–')
                continue
            if s == _SECONDS:
                row.append(f'{cells[method].mean_seconds():.0f}')
                continue
            psnr, deviation, *_ = cells[method].summary(s)
            done = len(cells[method].seeds)
            seeds = len(results.plan.seeds)
            row.append(
                _value(psnr, deviation, 2) + (f' ({done} of {seeds} seeds)' if done < seeds else '')
            )
            columns.setdefault(column, []).append((psnr, len(rows), done))
        rows += [row] if set(row[1:]) != {'–'} else []
    return Table(header, rows, _marks(columns))


def significance(results: Results, cells: dict[str, Cell], test_set: str) -> Table:
    """Compare each method with each other one on one test set.

    Where there are many methods, each is compared with the baseline alone. Cells have the mean
    difference in dB ± standard deviation over seeds, and p over images, corrected for the
    comparisons in the table.
    """
    baseline = results.plan.baseline
    found = differences(cells, baseline, test_set)
    others = compared_with(cells, baseline)

    def text(method: str, other: str) -> str:
        sign = 1 if (method, other) in found else -1
        difference = found.get((method, other)) or found.get((other, method))
        if difference is None:
            return '–'
        return f'{_signed(sign * difference.mean, difference.deviation)} (p {difference.p:.2g})'

    return Table(
        ['', *(f'− {name}' for name in others)],
        [[method, *(text(method, other) for other in others)] for method in cells],
    )


def costs(measured: dict[str, dict[str, Any]]) -> Table:
    """Return the table of size and speed of networks.

    Args:
        measured: By name: what :func:`~mtkd_basicsr.evaluation.measure.cost` returns.
    """
    rows = [
        [name, f'{c["parameters"]:,d}', f'{c["macs"] / 1e9:,.1f} G', f'{c["milliseconds"]:.0f}']
        for name, c in measured.items()
    ]
    return Table(['network', 'parameters', 'multiply-adds, 1280×720 out', 'ms per image'], rows)


def preparation(results: Results) -> Table:
    """Return the seconds of what was done once, and of all trainings of students together."""
    rows = [[name, f'{seconds:.0f}'] for name, seconds in results.prepared.items()]
    seconds = [s for cell in results.cells.values() for s in cell.seconds]
    return Table(
        ['done once', 'seconds'],
        [*rows, [f'{len(seconds)} trainings of students', f'{sum(seconds):.0f}']],
    )


def published_beside_ours(
    results: Results, student: str, scale: int, cells: dict[str, Cell]
) -> Table | None:
    """Return published figures of the same student, scale and test sets beside ours.

    None if there are no such figures.
    """
    cell = next(iter(cells.values()))
    network = next(
        run.options['network_g']
        for run in results.runs.values()
        if (run.student, run.scale) == (student, scale)
    )
    found = published(network, scale, {s: len(names) for s, names in cell.names.items()})
    sets = [s for s in results.plan.test if any(s in values for values in found.values())]
    if not found:
        return None
    ours = {results.plan.baseline: 'scratch'}
    rows = [
        [f'{method} (published)', *(f'{values[s]:.2f}' if s in values else '–' for s in sets)]
        for method, values in found.items()
    ]
    rows += [
        [f'{ours.get(method, method)} (ours)', *(f'{c.summary(s)[0]:.2f}' for s in sets)]
        for method, c in cells.items()
    ]
    return Table(['PSNR, dB', *sets], sorted(rows, key=lambda row: row[0].lower()))
