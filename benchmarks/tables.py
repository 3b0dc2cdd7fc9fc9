"""The tables and pictures of results in README.md and docs/results.md, out of the files in
benchmarks/results.

    python benchmarks/tables.py [--check]

--check writes nothing, and fails where one of the two texts is not what the results say.
"""

import argparse
import re
import sys
from pathlib import Path

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.report import tables
from mtkd_basicsr.commands.compare.report.document import Heading, Picture, Text, markdown
from mtkd_basicsr.commands.compare.report.figures import BARS, CURVES, bars, curves
from mtkd_basicsr.commands.compare.report.write import mixed_precisions
from mtkd_basicsr.commands.compare.results import collect
from mtkd_basicsr.evaluation.measure import read_json

ROOT = Path(__file__).resolve().parents[1]
# Its heading, and whether the significance of differences and the curves of the trainings are
# shown.
PLANS = {
    'reference': ('Methods', True, True),
    'long': ('3.5 times the iterations', True, True),
    'ablation': ('Parts of MTKD', True, False),
    'fusion': ('Fusion networks', True, False),
    'rate': ('Learning rates, on BSDS_val', False, True),
    'search': ('Weights of the methods, on BSDS_val', False, False),
}


def results_of(name):
    """What is finished of a plan; None if no student is."""
    plan = read_plan(ROOT / 'options' / 'compare' / f'{name}.yml')
    results = collect(plan, expand(plan, ROOT / 'benchmarks'), ROOT / 'benchmarks')
    return results if results.cells else None


def state(results):
    """How much of a plan is finished."""
    command = f'`mtkd compare -opt options/compare/{results.plan.name}.yml`'
    trainings = [run for run in results.runs.values() if run.kind == 'student']
    done = len(trainings) - sum(run.name in results.missing for run in trainings)
    iterations = ' or '.join(
        f'{n:,d}' for n in sorted({run.options['train']['total_iter'] for run in trainings})
    )
    return Text(
        f'{command}: {done} of {len(trainings)} trainings are finished; {iterations} iterations '
        f'each; on {" | ".join(results.machines)}.'
    )


def blocks_of(name, results, pictures, draw):
    """A section of docs/results.md."""
    title, significant, course = PLANS[name]
    yield from (Heading(title), state(results), *mixed_precisions(results))
    gains = pictures / f'{name}_bars.png'
    if draw:
        bars(results, gains)
    if gains.is_file():  # there are none of the baseline alone
        yield Picture(gains, BARS.format(baseline=results.plan.baseline))
    if course:
        path = pictures / f'{name}_curves.png'
        if draw:
            curves(results, path)
        yield Picture(path, CURVES)
    for student, scale, cells in results.groups():
        yield Heading(f'{student} ×{scale}', 3)
        yield tables.quality(results, student, scale, cells)
        for test_set in results.plan.test if significant else ():
            yield Text(f'{test_set}, row minus column:')
            yield tables.significance(results, cells, test_set)
    yield tables.preparation(results)


def compute():
    """Time of all runs together, with their tests."""
    hours = {}
    for path in (ROOT / 'benchmarks' / 'results').glob('*_x4*.json'):
        result = read_json(path)
        cores = re.match(r'CPU, (\d+) threads', result['machine'])
        device = 'a core of a CPU' if cores else result['machine'].partition(';')[0]
        hours[device] = hours.get(device, 0) + result['seconds'] / 3600 * (
            int(cores[1]) if cores else 1
        )
    return Text(
        'All runs above, with validations and tests, each counted once: '
        + ', '.join(f'{h:.1f} hours of {device}' for device, h in sorted(hours.items()))
        + '. The teachers took 3.0 hours before.'
    )


def texts(draw):
    """File -> its text as the results have it."""
    found = {name: results_of(name) for name in PLANS}
    pictures = ROOT / 'docs' / 'pictures'
    if draw:
        pictures.mkdir(exist_ok=True)
        # not all are drawn again
        for old in (path for name in PLANS for path in pictures.glob(f'{name}_*.png')):
            old.unlink()
    sections = [
        block
        for name, results in found.items()
        if results is not None
        for block in blocks_of(name, results, pictures, draw)
    ]
    sections += [Heading('Compute'), compute()]
    head = (
        (ROOT / 'docs' / 'results.md')
        .read_text(encoding='utf-8')
        .partition('\n## ')[0]
        .rstrip('\n')
    )
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    summary = markdown(
        [
            block
            for name in ('reference', 'long')
            if found[name] is not None
            for scale in found[name].plan.scales
            for block in (
                tables.summary(
                    found[name], scale, references=name == 'reference', seconds=name == 'long'
                ),
                state(found[name]),
                *mixed_precisions(found[name]),
            )
        ]
    )
    readme = re.sub(
        '(<!-- results -->\n).*(<!-- end of results -->\n)',
        lambda m: m[1] + summary + m[2],
        readme,
        flags=re.DOTALL,
    )
    return {
        'README.md': readme,
        'docs/results.md': f'{head}\n\n{markdown(sections).replace("](", "](pictures/")}',
    }


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--check', action='store_true')
    args = p.parse_args()
    wrong = []
    for name, text in texts(draw=not args.check).items():
        path = ROOT / name
        if path.read_text(encoding='utf-8') != text:
            wrong.append(name)
            if not args.check:
                path.write_text(text, encoding='utf-8')
    if wrong:
        print(f'{", ".join(wrong)}: {"not what the results say" if args.check else "written anew"}')
    return int(args.check and bool(wrong))


if __name__ == '__main__':
    sys.exit(main())
