"""What the comparison comes to: the table of the README, MTKD against each of the other methods
at as many iterations and in as many seconds, and the tables of docs/results.md.

Seconds are iterations times the cost of a step, a ratio of benchmarks/results/step_costs.json. Of
the trainings of a method that have at least `LEAST` of MTKD's time, the one is taken whose time is
nearest to it.
"""

import json
import math
from dataclasses import dataclass, replace

from methods import COSTS

from mtkd_basicsr.commands.compare.precisions import mixed
from mtkd_basicsr.commands.compare.report import tables
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
# Names in the tables of papers.
TITLES = {'scratch': 'no teacher', 'LogitKD': 'Basic KD'}
LONG = '+3.5x'
# The test set whose images are enough for a test, and the one that is shown first.
TESTED, SMALL = 'B100', 'Set5'
LEAST = 0.8
HOW = ('iterations', 'seconds')


@dataclass
class Match:
    """A comparison of MTKD with a training of another method.

    Attributes:
        time: Seconds of the other method over those of MTKD.
        gains: Test set -> mean and standard deviation over seeds of the difference, in dB.
        p: p over the images of `TESTED`, corrected for all matches of the student.
        seeds: Number of seeds that both have.
        mixed: Whether the two were computed in different precisions.
    """

    time: float
    gains: dict
    p: float
    seeds: int
    mixed: bool

    @property
    def verdict(self):
        if self.p > SIGNIFICANT:
            return 'level'
        return 'won' if self.gains[TESTED][0] > 0 else 'lost'


def read_costs():
    """Student -> what benchmarks/methods.py has recorded of it."""
    return json.loads(COSTS.read_text(encoding='utf-8'))


def costs_of(student):
    """Cost of a step of each method over one of the student alone."""
    return read_costs()[student]['ratios']


def trainings(found, student, scale, method):
    """The finished trainings of a method: (iterations, cell)."""
    pairs = []
    for plan, suffix in (('long', LONG), ('reference', '')):
        results = found[plan]
        cell = results.cells.get((student, scale, method + suffix))
        if cell is None:
            continue
        iterations = {
            run.options['train']['total_iter']
            for run in results.runs.values()
            if (run.student, run.scale, run.method) == (student, scale, method + suffix)
        }
        pairs.append((iterations.pop(), cell))
    return pairs


def as_long(pairs, seconds, cost):
    """The training of a method that takes about a number of seconds: (time, cell), or None."""
    timed = [(iterations * cost / seconds, cell) for iterations, cell in pairs]
    enough = [pair for pair in timed if pair[0] >= LEAST]
    return min(enough, key=lambda pair: abs(math.log(pair[0])), default=None)


def matches(found, student, scale):
    """All comparisons of a student: (rival, ``'iterations'`` or ``'seconds'``) -> `Match`."""
    costs = costs_of(student)
    own = dict(trainings(found, student, scale, METHOD))
    if not own:
        return {}
    iterations = max(own)
    cell = own[iterations]
    seconds = iterations * costs[METHOD]
    chosen = {}
    for rival in RIVALS:
        pairs = trainings(found, student, scale, rival)
        equal = dict(pairs).get(iterations)
        if equal is not None:
            chosen[rival, 'iterations'] = iterations * costs[rival] / seconds, equal
        as_slow = as_long(pairs, seconds, costs[rival])
        if as_slow is not None:
            chosen[rival, 'seconds'] = as_slow
    p_values = []
    compared = {}
    for key, (time, other) in chosen.items():
        values = {name: paired_psnr(cell, other, name) for name in (SMALL, TESTED)}
        if values[TESTED] is None:
            continue
        ours, theirs = values[TESTED]
        p_values.append(signed_rank_test(ours.mean(0) - theirs.mean(0)))
        gains = {name: gain(*pair) for name, pair in values.items()}
        compared[key] = Match(time, gains, 1.0, len(ours), bool(mixed(other, cell)))
    for match, p in zip(compared.values(), holm_correction(p_values)):
        match.p = p
    return compared


def in_a_cell(match, seeds):
    """A comparison in words, such as ``**won** +0.12 ± 0.02 / +0.05 ± 0.01``."""
    if match is None:
        return '–'
    differences = []
    for mean, deviation in match.gains.values():
        # A difference below half of the last digit has no sign.
        text = f'{mean:+.2f}' if abs(mean) >= 0.005 else '0.00'
        differences.append(text + ('' if deviation is None else f' ± {deviation:.2f}'))
    few = '' if match.seeds == seeds else f', {match.seeds} of {seeds} seeds'
    return f'**{match.verdict}** {" / ".join(differences)}{few}{" †" if match.mixed else ""}'


def headline(found, scale=4):
    """The table and the line below it."""
    plan = found['long'].plan
    students = {student: matches(found, student, scale) for student in plan.students}
    students = {student: compared for student, compared in students.items() if compared}
    seeds = len(plan.seeds)
    rows = []
    for rival in RIVALS:
        cells = []
        for compared in students.values():
            lines = [in_a_cell(compared.get((rival, how)), seeds) for how in HOW]
            if len(set(lines)) == 1:
                cells.append(lines[0])
            else:
                cells.append('<br>'.join(f'{how}: {line}' for how, line in zip(HOW, lines)))
        rows.append([TITLES.get(rival, rival), *cells])
    header = ['MTKD against', *students]
    everything = [match for compared in students.values() for match in compared.values()]
    shares = [m.time for c in students.values() for (_, how), m in c.items() if how == 'seconds']
    won = [match for match in everything if match.verdict == 'won']
    least = max((match.p for match in won), default=1)
    notes = [
        f'PSNR of MTKD minus that of the method, {SMALL} / {TESTED}, dB, mean ± standard deviation '
        'over seeds; MTKD after 14,000 iterations. Won, level or lost: whether p is below '
        f'{SIGNIFICANT} (Wilcoxon over the images of {TESTED}, Holm); of what is won, at most '
        f'{least:.0g}. Seconds: the method has {min(shares):.2f} to {max(shares):.2f} times the '
        'time of MTKD, by the [cost of a step](docs/results.md#cost), without that of the cache. '
        '–: not trained yet.'
    ]
    if any(match.mixed for match in everything):
        notes.append('†: computed in different [precisions](docs/results.md#cost).')
    return [Table(header, rows), Text(' '.join(notes))]


def converged(found, scale=4):
    """PSNR of all methods at the number of iterations of the plan ``long``, and of the teachers."""
    results = found['long']
    methods = {name: block for name, block in results.plan.methods.items() if LONG in name}
    cells = {key: cell for key, cell in results.cells.items() if key[2] in methods}
    only = replace(
        results,
        plan=replace(results.plan, methods=methods),
        cells=cells,
        references=found['reference'].references,
    )
    return [tables.summary(only, scale)]


def costs():
    """The cost of a step of each method, as a table."""
    recorded = read_costs()
    methods = list(
        dict.fromkeys(name for content in recorded.values() for name in content['ratios'])
    )
    rows = []
    for method in methods:
        rows.append(
            [method, *(f'{content["ratios"][method]:.2f}' for content in recorded.values())]
        )
    machines = ' | '.join(dict.fromkeys(content['machine'] for content in recorded.values()))
    note = (
        'Time of a training step over that of the student alone, with the outputs of the teachers '
        f'out of a cache: `python benchmarks/methods.py --plan reference --record`, {machines}.'
    )
    return [Table(['step / student alone', *recorded], rows), Text(note)]


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
