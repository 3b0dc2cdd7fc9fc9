"""The CSV files in docs/results: every figure of the comparisons, in long form."""

import csv
import io
import re

from collect import ROOT, plan_file

from mtkd_basicsr.commands.compare.precisions import in_words
from mtkd_basicsr.commands.compare.report.differences import differences
from mtkd_basicsr.commands.compare.results import paired_psnr
from mtkd_basicsr.evaluation.statistics import gain

METHOD = (
    'plan',
    'student',
    'scale',
    'method',
    'test_set',
    'seeds',
    'psnr_db',
    'psnr_std_over_seeds_db',
    'ssim',
    'ssim_std_over_seeds',
    'baseline',
    'gain_over_baseline_db',
    'gain_std_over_seeds_db',
    'validation_psnr_db',
    'validation_psnr_std_over_seeds_db',
    'iterations',
    'training_seconds',
    'seed_numbers',
    'precision',
    'machine',
)
DIFFERENCE = (
    'plan',
    'student',
    'scale',
    'test_set',
    'method',
    'minus',
    'psnr_difference_db',
    'psnr_difference_std_over_seeds_db',
    'p_wilcoxon_holm',
)

REPEAT = (
    'plan',
    'run',
    'test_set',
    'psnr_db',
    'psnr_again_db',
    'difference_db',
    'machine',
    'machine_again',
)


def number(value, digits):
    return '' if value is None else f'{value:.{digits}f}'


def text(header, rows):
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def origin(cell):
    """The seeds of a cell, its precisions and the machines that it was trained on."""
    return (
        ' '.join(map(str, cell.seeds)),
        ' | '.join(dict.fromkeys(map(in_words, cell.precisions))),
        ' | '.join(dict.fromkeys(cell.machines)),
    )


def _method_row(plan, student, scale, method, cell, base, test_set, iterations):
    psnr, psnr_std, ssim, ssim_std = cell.summary(test_set)
    pair = None if base is None or base is cell else paired_psnr(cell, base, test_set)
    gained, gained_std = (None, None) if pair is None else gain(*pair)
    validation, validation_std = cell.validation() or (None, None)
    return [
        plan.name,
        student,
        scale,
        method,
        test_set,
        len(cell.seeds),
        number(psnr, 3),
        number(psnr_std, 3),
        number(ssim, 5),
        number(ssim_std, 5),
        plan.baseline,
        number(gained, 3),
        number(gained_std, 3),
        number(validation, 3),
        number(validation_std, 3),
        iterations,
        number(cell.mean_seconds(), 0),
        *origin(cell),
    ]


def _difference_row(plan, student, scale, test_set, pair, difference):
    return [
        plan.name,
        student,
        scale,
        test_set,
        *pair,
        number(difference.mean, 3),
        number(difference.deviation, 3),
        f'{difference.p:.2g}',
    ]


def repeats(first, again):
    """What trainings gave that were done once more, with the same seed.

    Args:
        first: Plan -> results of its runs, as in the files.
        again: The same of the repeated runs.
    """
    rows = []
    for plan, results in again.items():
        known = {(result['name'], result['fingerprint']): result for result in first[plan]}
        for result in results:
            before = known.get((result['name'], result['fingerprint']))
            if before is None:
                continue
            for test_set, images in result['results'][result['method']].items():
                both = [before['results'][result['method']][test_set], images]
                psnr = [sum(v[0] for v in values.values()) / len(values) for values in both]
                rows.append(
                    [
                        plan,
                        result['name'],
                        test_set,
                        *(number(value, 3) for value in psnr),
                        number(psnr[1] - psnr[0], 3),
                        before['machine'],
                        result['machine'],
                    ]
                )
    return text(REPEAT, rows)


def methods(comparisons):
    """PSNR, SSIM, gain, last validation and seconds of every student, method and test set."""
    return text(
        METHOD,
        [
            _method_row(
                results.plan,
                student,
                scale,
                method,
                cell,
                cells.get(results.plan.baseline),
                test_set,
                results.iterations(student, scale, method),
            )
            for results in comparisons
            for student, scale, cells in results.groups()
            for method, cell in cells.items()
            for test_set in results.plan.test
        ],
    )


def references(comparisons):
    """PSNR and SSIM of bicubic enlargement, the teachers, and the targets."""
    return text(
        ('scale', 'source', 'test_set', 'psnr_db', 'ssim'),
        [
            [
                scale,
                name,
                test_set,
                number(values[test_set][0], 3),
                number(values[test_set][1], 5),
            ]
            for results in comparisons
            for scale, images in results.references.items()
            for name, values in images.items()
            for test_set in results.plan.test
        ],
    )


def comparisons_of_methods(comparisons, retired):
    """Differences between methods, and how sure they are.

    Args:
        comparisons: Results of plans, those whose test sets chose nothing.
        retired: By name of a plan: results of methods that it has no longer. They were compared
            like the others, so that they count in the correction for all comparisons.

    Returns:
        The differences of the methods of the plans, and those of the retired ones.
    """
    present, past = [], []
    for results in comparisons:
        plan = results.plan
        old = retired.get(plan.name)
        for student, scale, cells in results.groups():
            removed = cells_of(old, student, scale)
            for test_set in plan.test:
                family = differences({**cells, **removed}, plan.baseline, test_set)
                for pair, difference in family.items():
                    row = _difference_row(plan, student, scale, test_set, pair, difference)
                    (past if removed.keys() & set(pair) else present).append(row)
    return text(DIFFERENCE, present), text(DIFFERENCE, past)


def cells_of(results, student, scale):
    """The methods of a student at a scale, also those that the plan does not have."""
    if results is None:
        return {}
    return {m: cell for (s, x, m), cell in results.cells.items() if (s, x) == (student, scale)}


def retired_methods(comparisons, retired):
    """Like :func:`methods`, of methods that the plans have no longer, with their last version."""
    rows = []
    for results in comparisons:
        old = retired.get(results.plan.name)
        for student, scale, cells in results.groups():
            for method, cell in cells_of(old, student, scale).items():
                base = cells.get(results.plan.baseline)
                iterations = old.iterations(student, scale, method)
                (version,) = {re.search(r'mtkd_basicsr (\S+)', m)[1] for m in old.machines}
                rows += [
                    [
                        version,
                        *_method_row(
                            results.plan, student, scale, method, cell, base, test_set, iterations
                        ),
                    ]
                    for test_set in results.plan.test
                ]
    return text(('last_version', *METHOD), rows)


def plans(comparisons):
    """How much of each plan is finished, and what it was done on."""
    rows = []
    for results in comparisons:
        trainings = [run for run in results.runs.values() if run.kind == 'student']
        finished = [run for run in trainings if run.name not in results.missing]
        iterations = sorted({run.options['train']['total_iter'] for run in trainings})
        seconds = [s for cell in results.cells.values() for s in cell.seconds]
        rows.append(
            [
                results.plan.name,
                plan_file(ROOT, results.plan.name).relative_to(ROOT).as_posix(),
                len(finished),
                len(trainings),
                ' or '.join(map(str, iterations)),
                number(sum(seconds), 0),
                ' | '.join(results.machines),
            ]
        )
    header = (
        'plan',
        'option_file',
        'trainings_finished',
        'trainings_planned',
        'iterations',
        'training_seconds_of_all_students',
        'machines',
    )
    return text(header, rows)


def preparation(comparisons):
    """Seconds of caches and of trainings that others build on."""
    return text(
        ('plan', 'done_once', 'seconds'),
        [
            [results.plan.name, name, number(seconds, 0)]
            for results in comparisons
            for name, seconds in results.prepared.items()
        ],
    )
