"""The CSV files of docs/results that hold the comparison of the README."""

from headline import LONG, METHOD, RIVALS, TESTED, matches
from spreadsheets import number, origin, text

ORIGIN = ('seed_numbers', 'precision', 'machine')
HEADER = (
    'student',
    'scale',
    'against',
    'equal',
    'test_set',
    'seeds',
    'psnr_difference_db',
    'psnr_difference_std_over_seeds_db',
    'p_of_b100',
    'iterations_of_the_method',
    'time_of_the_method_over_mtkd',
    'verdict',
    *(f'{what}_of_{whose}' for whose in ('mtkd', 'the_method') for what in ORIGIN),
)


def headline(found, scale=4):
    """All that the table of the README says, and what it rounds."""
    rows = []
    for student in found['long'].plan.students:
        for (rival, how), match in matches(found, student, scale).items():
            for test_set, (mean, deviation) in match.gains.items():
                rows.append(
                    (
                        student,
                        scale,
                        rival,
                        how,
                        test_set,
                        match.seeds,
                        number(mean, 3),
                        number(deviation, 3),
                        f'{match.p:.3g}' if test_set == TESTED else '',
                        match.iterations,
                        number(match.time, 3),
                        match.verdict,
                        *(text for cell in match.cells for text in origin(cell)),
                    )
                )
    return text(HEADER, rows)


def matrix(results, methods, scale=4):
    """PSNR of methods (rows) with all students on all sets (columns).

    Args:
        results: Results of a plan.
        methods: Name in the file -> name in the plan.
        scale: Factor.
    """
    students = list(results.plan.students)
    sets = list(results.plan.test)
    header = ['method']
    for student in students:
        for test_set in sets:
            name = f'{student}_{test_set}'
            header += [f'{name}_db', f'{name}_std_over_seeds_db', f'{name}_seeds']
    rows = []
    for name, method in methods.items():
        row = [name]
        for student in students:
            cell = results.cells.get((student, scale, method))
            for test_set in sets:
                if cell is None:
                    row += ['', '', 0]
                    continue
                mean, deviation, *_ = cell.summary(test_set)
                row += [number(mean, 3), number(deviation, 3), len(cell.seeds)]
        rows.append(row)
    return text(header, rows)


def matrices(found):
    """PSNR at the two numbers of iterations: name of the file -> its text."""
    names = (*RIVALS, METHOD)
    return {
        'psnr_4000': matrix(found['reference'], {name: name for name in names}),
        'psnr_14000': matrix(found['long'], {name: name + LONG for name in names}),
    }
