"""The tables of docs/results.md, docs/parts.md and docs/figures.md."""

from headline import LONG, SMALL, TESTED, against, in_a_cell, matches, read_costs
from reference_models import TITLES

from mtkd_basicsr.commands.compare.report.document import Table, Text
from mtkd_basicsr.commands.compare.results import paired_psnr
from mtkd_basicsr.evaluation.statistics import gain

SETS = (SMALL, TESTED)
# What the students are compared with: the row's name -> the source of its images.
REFERENCES = {'bicubic': 'bicubic', 'its teacher': 'teacher {}', 'target of MTKD': 'fused teachers'}


def early(found, scale=4):
    """MTKD against each other method after the few iterations of the plan ``reference``."""
    plan = found['reference'].plan
    students = {student: matches(found, student, scale) for student in plan.students}

    def lines(compared, rival, seeds):
        return in_a_cell(compared.get((rival, '4,000')), seeds).partition(', p')[0]

    return [against(students, len(plan.seeds), lines)]


def converged(found, scale=4):
    """PSNR of all methods at the number of iterations of the plan ``long``, and of the teachers."""
    results = found['long']
    students = list(results.plan.students)
    rows = []
    for title, source in REFERENCES.items():
        values = [found['reference'].references[scale][source.format(s.lower())] for s in students]
        rows.append([title, *(' / '.join(f'{v[name][0]:.2f}' for name in SETS) for v in values)])
    seeds = len(results.plan.seeds)
    for method in in_order(results.plan.methods):
        cells = [results.cells.get((student, scale, method)) for student in students]
        if any(cells):
            name = method.removesuffix(LONG)
            row = [TITLES.get(name, name), *(psnr_of(cell, seeds) for cell in cells)]
            rows.append(row)
    note = (
        f'PSNR in dB, {SMALL} / {TESTED}: mean ± standard deviation over {seeds} seeds, or as many '
        'as stand in brackets. –: not in the plan.'
    )
    return [Table([f'×{scale}', *(f'student {student}' for student in students)], rows), Text(note)]


def in_order(methods):
    """The methods of a long training; variants, such as ``LogitKD-edsr``, behind their method."""
    own = [name for name in methods if name.endswith(LONG)]

    def place(name):
        method, _, variant = name.removesuffix(LONG).partition('-')
        return own.index(method + LONG), variant

    return sorted(own, key=place)


def psnr_of(cell, seeds):
    """PSNR of a method on the two test sets, with the number of seeds if some are missing."""
    if cell is None:
        return '–'
    values = []
    for name in SETS:
        mean, deviation, *_ = cell.summary(name)
        values.append(f'{mean:.2f}' + ('' if deviation is None else f' ± {deviation:.2f}'))
    few = '' if len(cell.seeds) == seeds else f' ({len(cell.seeds)})'
    return ' / '.join(values) + few


def costs():
    """The cost of a step of each method, as a table."""
    recorded = read_costs()
    methods = list(
        dict.fromkeys(name for content in recorded.values() for name in content['ratios'])
    )
    rows = []
    for method in methods:
        rows.append(
            [
                TITLES.get(method, method),
                *(f'{content["ratios"][method]:.2f}' for content in recorded.values()),
            ]
        )
    machines = ' | '.join(dict.fromkeys(content['machine'] for content in recorded.values()))
    note = (
        'Time of a training step over that of the student without a teacher, with the outputs of '
        'the teachers from a cache: `python benchmarks/methods.py --plan reference --record`, '
        f'{machines}.'
    )
    return [Table(['step / no teacher', *recorded], rows), Text(note)]


def tried(found, scale=4):
    """What was tried beside MTKD: the gain of each entry of the plan ``gains``."""
    results = found['gains']
    plan = results.plan
    (test_set,) = plan.test
    rows = []
    for _, _, cells in (group for group in results.groups() if group[1] == scale):
        base = cells.get(plan.baseline)
        for method, cell in cells.items():
            pair = None if base is None or cell is base else paired_psnr(cell, base, test_set)
            if pair is not None:
                mean, deviation = gain(*pair)
                text = '' if deviation is None else f' ± {deviation:.3f}'
                rows.append((mean, [method, f'{mean:+.3f}{text}', str(len(pair[0]))]))
    rows.sort(key=lambda row: row[0], reverse=True)
    return [Table(['tried', f'gain on {test_set}, dB', 'seeds'], [row for _, row in rows])]


def rates(found, scale=4):
    """PSNR of the plan ``paper_rate``: a row for each rate, with and without teachers."""
    results = found['paper_rate']
    plan = results.plan
    (test_set,) = plan.test
    trained = {key[0] for key in results.cells}
    students = [student for student in plan.students if student in trained]
    names = list(dict.fromkeys(method.partition('-')[0] for method in plan.methods))
    header = ['learning rate']
    for student in students:
        iterations = results.iterations(student, scale, plan.baseline)
        header += [f'{student}, {iterations:,d}: {TITLES.get(name, name)}' for name in names]
    rows = []
    for rate in dict.fromkeys(method.partition('-')[2] for method in plan.methods):
        row = [rate]
        for student in students:
            for name in names:
                cell = results.cells.get((student, scale, f'{name}-{rate}'))
                row.append('–' if cell is None else f'{cell.summary(test_set)[0]:.2f}')
        rows.append(row)
    return [Table(header, rows), Text(f'PSNR on {test_set} in dB; one seed.')]
