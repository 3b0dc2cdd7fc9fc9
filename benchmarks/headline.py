"""What the comparison comes to: the table of the README, MTKD against each of the other methods
after as many of the many iterations and in as much training time.

Training time is iterations times the cost of a step, a ratio of benchmarks/results/step_costs.json:
the trainings ran on machines of different speed, and with versions of this package whose steps took
longer. Of the trainings of a method that have at least `LEAST` of MTKD's time, the one is taken
whose time is nearest to it.
"""

import json
import math
from dataclasses import dataclass

from methods import COSTS
from reference_models import TITLES

from mtkd_basicsr.commands.compare.precisions import mixed
from mtkd_basicsr.commands.compare.report.document import Table, Text
from mtkd_basicsr.commands.compare.results import paired_psnr
from mtkd_basicsr.evaluation.statistics import (
    SIGNIFICANT,
    gain,
    holm_correction,
    signed_rank_test,
)

METHOD = 'MTKD'
RIVALS = ('scratch', 'LogitKD', 'AT', 'FAKD', 'DUKD', 'CrossKD')
LONG = '+3.5x'
# The test set whose images are enough for a test, and the one that is shown first.
TESTED, SMALL = 'B100', 'Set5'
LEAST = 0.8
# A deviation over fewer seeds than this says little: two seeds of one method have differed by
# 0.000 dB. The same training with the same seed on another machine has come out up to 0.016 dB
# higher (docs/results/repeats.csv), and three seeds deviate by up to 0.014 dB: with few seeds, what
# is smaller than `FEW_SEEDS` says nothing.
ENOUGH_SEEDS = 3
FEW_SEEDS = 0.02
# What is equal, with the plan whose iterations they are.
HOW = {'4,000': 'reference', '14,000': 'long', 'time': None}


@dataclass
class Match:
    """A comparison of MTKD with a training of another method.

    Attributes:
        time: Training time of the other method over that of MTKD.
        gains: Test set -> mean and standard deviation over seeds of the difference, in dB.
        p: p over the images of `TESTED`, corrected for all matches of the student.
        seeds: Number of seeds that both have.
        iterations: Of the other method.
        mixed: Whether the two were computed in different precisions.
        cells: That of MTKD and that of the other method.
    """

    time: float
    gains: dict
    p: float
    seeds: int
    iterations: int
    mixed: bool
    cells: tuple

    @property
    def verdict(self):
        mean, deviation = self.gains[TESTED]
        # Over many images a difference that another seed may turn around is significant too.
        few = self.seeds < ENOUGH_SEEDS
        least = max(deviation or 0, FEW_SEEDS if few else 0)
        if self.p > SIGNIFICANT or abs(mean) <= least:
            return 'level'
        ahead, behind = ('ahead', 'behind') if few else ('won', 'lost')
        return ahead if mean > 0 else behind


def read_costs():
    """Student -> what benchmarks/methods.py has recorded of it."""
    return json.loads(COSTS.read_text(encoding='utf-8'))


def costs_of(student):
    """Cost of a step of each method over one of the student alone."""
    return read_costs()[student]['ratios']


def trainings(found, student, scale, method):
    """The finished trainings of a method: plan -> (iterations, cell)."""
    finished = {}
    for plan, suffix in (('long', LONG), ('reference', '')):
        results = found[plan]
        cell = results.cells.get((student, scale, method + suffix))
        if cell is None:
            continue
        finished[plan] = results.iterations(student, scale, method + suffix), cell
    return finished


def share_of_time(one, other, costs):
    """Training time of one method over that of another, each as (method, iterations, cell)."""
    (method, iterations, _), (other_method, other_iterations, _) = one, other
    return iterations * costs[method] / (other_iterations * costs[other_method])


def as_long(pairs):
    """The pair with the nearest training time, which is its first entry; None without one."""
    enough = [pair for pair in pairs if pair[0] >= LEAST]
    return min(enough, key=lambda pair: abs(math.log(pair[0])), default=None)


def chosen(found, student, scale):
    """What is compared: (rival, key of `HOW`) -> share of the time and iterations of the rival, and
    the cells of MTKD and of the rival.
    """
    costs = costs_of(student)
    own = trainings(found, student, scale, METHOD)
    pairs = {}
    for rival in RIVALS:
        others = trainings(found, student, scale, rival)

        def pair(plan, other_plan, rival=rival, others=others):
            one, other = (METHOD, *own[plan]), (rival, *others[other_plan])
            return share_of_time(other, one, costs), other[1], one[2], other[2]

        for how, plan in HOW.items():
            if plan in own and plan in others:
                pairs[rival, how] = pair(plan, plan)
        nearest = as_long([pair('long', plan) for plan in others if 'long' in own])
        if nearest is not None:
            pairs[rival, 'time'] = nearest
    return pairs


def matches(found, student, scale):
    """All comparisons of a student: (rival, key of `HOW`) -> `Match`."""
    p_values = {}
    compared = {}
    for key, (share, iterations, *cells) in chosen(found, student, scale).items():
        values = {name: paired_psnr(*cells, name) for name in (SMALL, TESTED)}
        if values[TESTED] is None:
            continue
        ours, theirs = values[TESTED]
        # The same two trainings may be compared at equal iterations and in equal time.
        p_values[key[0], id(cells[0]), iterations] = signed_rank_test(ours.mean(0) - theirs.mean(0))
        gains = {name: gain(*pair) for name, pair in values.items()}
        differ = bool(mixed(*reversed(cells)))
        compared[key] = Match(share, gains, 1.0, len(ours), iterations, differ, tuple(cells))
    corrected = dict(zip(p_values, holm_correction(list(p_values.values()))))
    for (rival, _), match in compared.items():
        match.p = corrected[rival, id(match.cells[0]), match.iterations]
    return compared


def difference(mean, deviation):
    """A difference in dB, such as ``+0.12 ± 0.02``; with a third digit where two do not show which
    is larger.
    """
    digits = 2
    if deviation is not None and f'{abs(mean):.2f}' == f'{deviation:.2f}':
        digits = 3
    # A difference below half of the last digit has no sign.
    text = f'{mean:+.{digits}f}' if abs(mean) >= 0.5 * 0.1**digits else f'{0:.{digits}f}'
    return text if deviation is None else f'{text} ± {deviation:.{digits}f}'


def in_a_cell(match, seeds):
    """A comparison in words, such as ``**won** +0.12 ± 0.02 / +0.05 ± 0.01, p 2e-09``."""
    if match is None:
        return '–'
    differences = []
    for mean, deviation in match.gains.values():
        differences.append(difference(mean, deviation))
    p = f'{match.p:.0e}' if match.p < 0.001 else f'{match.p:.2g}'
    few = '' if match.seeds == seeds else f', {match.seeds} of {seeds} seeds'
    mark = ' †' if match.mixed else ''
    return f'**{match.verdict}** {" / ".join(differences)}, p {p}{few}{mark}'


def lines_of(compared, rival, seeds):
    """The lines of a cell of the README: equal iterations, and equal time where it is another
    training.
    """

    def line(match):
        return f'{match.iterations:,d} (×{match.time:.1f}): {in_a_cell(match, seeds)}'

    equal, timed = (compared.get((rival, how)) for how in ('14,000', 'time'))
    if equal is None and timed is None:
        return '–'
    lines = ['14,000: –' if equal is None else line(equal)]
    if timed is not None and timed.iterations != (equal and equal.iterations):
        lines.append(line(timed))
    return '<br>'.join(lines)


def against(students, seeds, lines):
    """A table of rivals and students, with the notes that belong to its cells.

    Args:
        students: Student -> what :func:`matches` has found.
        seeds: Number of seeds of the plan.
        lines: Called with comparisons, rival and seeds; returns the text of a cell.
    """
    rows = []
    for rival in RIVALS:
        cells = [lines(compared, rival, seeds) for compared in students.values()]
        rows.append([TITLES.get(rival, rival), *cells])
    return Table(['MTKD against', *(f'student {student}' for student in students)], rows)


def headline(found, scale=4):
    """The table of the README and the line below it."""
    plan = found['long'].plan
    students = {student: matches(found, student, scale) for student in plan.students}
    students = {student: compared for student, compared in students.items() if compared}
    table = against(students, len(plan.seeds), lines_of)
    everything = [match for compared in students.values() for match in compared.values()]
    notes = [
        f'PSNR of MTKD minus that of the method in dB, {SMALL} / {TESTED}, mean ± standard '
        'deviation over seeds. MTKD has 14,000 iterations. Each line begins with the iterations of '
        'the method and, in brackets, the time of its training over that of MTKD '
        "([the student's training alone](docs/figures.md#cost-of-a-step)). The first line compares "
        'after equal iterations; a second line with a shorter training of the method that took '
        f"about MTKD's time ({LEAST} of it or more), where there is one: most of this lead comes "
        f'from MTKD having more iterations. **Won** and **lost**: on {TESTED}, with p < '
        f'{SIGNIFICANT} (Wilcoxon signed-rank test over images; Holm over all comparisons of a '
        'student), by more than the deviation '
        'over seeds. **Ahead** and **behind**: the same with only one or two seeds, by '
        f'{FEW_SEEDS} dB or more. **Level**: neither. –: not trained yet. '
        '[As a file](docs/results/headline.csv).'
    ]
    if any(match.mixed for match in everything):
        notes.append('†: computed in different [precisions](docs/figures.md#precision).')
    return [table, Text(' '.join(notes))]
