"""The tables and pictures of results in README.md and in four pages of docs, and the CSV files in
docs/results, out of the files in benchmarks/results.

    python benchmarks/tables.py [--check]

--check writes nothing, and fails where one of the files is not what the results say. In the pages
all that stands between <!-- NAME --> and <!-- end of NAME --> is written here.
"""

import argparse
import re
import sys
from pathlib import Path

import equal_seconds
from collect import PLANS, plan_file, read_lines
from headline import headline, read_costs
from matrices import headline as headline_csv
from matrices import matrices
from page_tables import converged, costs, early, rates, tried
from reference_models import RESULTS, course, quality, read_results
from spreadsheets import (
    comparisons_of_methods,
    methods,
    plans,
    preparation,
    references,
    repeats,
    retired_methods,
)

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands.compare.collection import assemble, collect
from mtkd_basicsr.commands.compare.expansion import Run, expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.report.document import Text, markdown
from mtkd_basicsr.commands.compare.report.figures import (
    bars,
    bars_caption,
)
from mtkd_basicsr.commands.compare.report.write import mixed_precisions

ROOT = Path(__file__).resolve().parents[1]
# Plans whose test sets were used for nothing but the comparison: how sure differences are can be
# said of these.
TESTED = ('reference', 'long', 'ablation', 'fusion')
# Pages with tables and pictures of plans.
PAGES = ('results', 'parts', 'figures')
# Pictures in these: what is drawn of a plan.
BAR_CHARTS = ('ablation',)
# The plan whose methods are compared at equal seconds, and the name of that picture.
SECONDS = 'long'
EQUAL_SECONDS = 'equal_seconds'


def results_of(name):
    """What is finished of a plan."""
    plan = read_plan(plan_file(ROOT, name))
    return collect(plan, expand(plan, ROOT / 'benchmarks'), ROOT / 'benchmarks')


def retired_of(results):
    """Results of methods that a plan has no longer."""
    path = ROOT / 'benchmarks' / 'results' / 'retired' / f'{results.plan.name}.jsonl'
    found = []
    for result in read_lines(path):
        if result['kind'] == 'student' and result['method'] not in results.plan.methods:
            keys = ('name', 'kind', 'scale', 'options', 'student', 'method', 'seed', 'fingerprint')
            found.append((Run(**{key: result[key] for key in keys}), result))
    return assemble(results.plan, found, ROOT / 'benchmarks')


def state(results):
    """How much of a plan is finished."""
    path = plan_file(ROOT, results.plan.name).relative_to(ROOT)
    # Plans of benchmarks/ import their methods from there.
    variable = 'PYTHONPATH=benchmarks ' if path.parts[0] == 'benchmarks' else ''
    command = f'`{variable}mtkd compare -opt {path.as_posix()}`'
    trainings = [run for run in results.runs.values() if run.kind == 'student']
    done = len(trainings) - sum(run.name in results.missing for run in trainings)
    iterations = ' or '.join(
        f'{n:,d}' for n in sorted({run.options['train']['total_iter'] for run in trainings})
    )
    return Text(
        f'{command}: {done} of {len(trainings)} trainings are finished; {iterations} iterations '
        'each.'
    )


def repeated():
    """The trainings that were done more than once."""
    folder = ROOT / 'benchmarks' / 'results'
    again = {path.stem: read_lines(path) for path in sorted(folder.glob('repeated/*.jsonl'))}
    return repeats({name: read_lines(folder / f'{name}.jsonl') for name in again}, again)


def compute():
    """Time of all runs together, with their tests."""
    hours = {}
    for path in (ROOT / 'benchmarks' / 'results').rglob('*.jsonl'):
        for result in read_lines(path):
            cores = re.match(r'CPU, (\d+) threads', result['machine'])
            device = 'a core of a CPU' if cores else result['machine'].partition(';')[0]
            hours[device] = hours.get(device, 0) + result['seconds'] / 3600 * (
                int(cores[1]) if cores else 1
            )
    return Text(
        'All runs, with validations and tests, each counted once: '
        + ', '.join(f'{h:.1f} hours of {device}' for device, h in sorted(hours.items()))
        + '. The teachers took 3.0 hours before.'
    )


def drawn(found, draw):
    """The pictures of plans: plan -> links to them."""
    folder = ROOT / 'docs' / 'pictures'
    if draw:
        folder.mkdir(exist_ok=True)
        for old in (path for name in PLANS for path in folder.glob(f'{name}_*.png')):
            old.unlink()
    pictures = {}
    for name in BAR_CHARTS:
        path = folder / f'{name}_bars.png'
        if draw and found[name].cells:
            bars(found[name], path)
        if path.is_file():  # there are none of the baseline alone
            caption = bars_caption(found[name])
            pictures.setdefault(name, []).append(Text(f'![{caption}](pictures/{path.name})'))
    pictures[EQUAL_SECONDS] = equal_seconds_picture(found, folder, draw)
    return pictures


def equal_seconds_picture(found, folder, draw):
    """The picture of equal seconds, with its caption below; nothing without results."""
    results = found[SECONDS]
    path = folder / f'{EQUAL_SECONDS}.png'
    if not results.cells:
        if draw:
            path.unlink(missing_ok=True)
        return []
    panels = equal_seconds.panels_of(results, read_costs())
    if draw:
        equal_seconds.draw(results, panels, path)
    return [
        Text(f'![PSNR over seconds of training](pictures/{path.name})'),
        Text(equal_seconds.caption(results, panels)),
    ]


def sections(found, pictures):
    """What is written into the pages of plans: name -> blocks."""
    blocks = {name: [] for name in (*BAR_CHARTS, 'reference', 'long')}
    if found['reference'].cells:
        blocks['reference'] += early(found)
    if found['long'].cells:
        blocks['long'] += [*converged(found), state(found['long'])]
    for name, content in blocks.items():
        content += mixed_precisions(found[name])
        content += pictures.get(name, [])
    if found['gains'].cells:
        blocks['gains'] = [*tried(found), state(found['gains'])]
    if found['paper_rate'].cells:
        blocks['paper_rate'] = [*rates(found), state(found['paper_rate'])]
    return {
        **blocks,
        EQUAL_SECONDS: pictures[EQUAL_SECONDS],
        'cost': costs(),
        'compute': [compute()],
    }


def reference_models():
    """The tables of docs/reference_models.md."""
    content = read_results(ROOT / 'benchmarks' / 'results' / RESULTS.name)
    return {'quality': [quality(content)], 'training': [course(content)]}


def filled(path, blocks):
    """The text of a page with what belongs between its marks."""
    text = path.read_text(encoding='utf-8')
    for name, content in blocks.items():
        written = markdown(content)
        text = re.sub(
            f'(<!-- {name} -->\n).*(<!-- end of {name} -->\n)',
            lambda match, written=written: match[1] + written + match[2],
            text,
            flags=re.DOTALL,
        )
    return text


def texts(draw):
    """File -> its text as the results have it."""
    found = {name: results_of(name) for name in PLANS}
    comparisons = [results for results in found.values() if results.cells]
    tested = [results for results in comparisons if results.plan.name in TESTED]
    retired = {name: retired_of(results) for name, results in found.items()}
    present, past = comparisons_of_methods(tested, retired)
    blocks = sections(found, drawn(found, draw))
    return {
        'README.md': filled(ROOT / 'README.md', {'results': headline(found)}),
        **{f'docs/{page}.md': filled(ROOT / 'docs' / f'{page}.md', blocks) for page in PAGES},
        'docs/reference_models.md': filled(
            ROOT / 'docs' / 'reference_models.md', reference_models()
        ),
        'docs/results/headline.csv': headline_csv(found),
        **{f'docs/results/{name}.csv': text for name, text in matrices(found).items()},
        'docs/results/methods.csv': methods(comparisons),
        'docs/results/references.csv': references(comparisons),
        'docs/results/differences.csv': present,
        'docs/results/plans.csv': plans(comparisons),
        'docs/results/repeats.csv': repeated(),
        'docs/results/preparation.csv': preparation(comparisons),
        'docs/results/retired_methods.csv': retired_methods(comparisons, retired),
        'docs/results/retired_differences.csv': past,
    }


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--check', action='store_true')
    args = p.parse_args()
    (ROOT / 'docs' / 'results').mkdir(exist_ok=True)
    expected = texts(draw=not args.check)
    wrong = []
    for name, text in expected.items():
        path = ROOT / name
        # Compared as bytes: a line of a CSV file ends alike on all systems.
        if not path.is_file() or path.read_bytes() != text.encode():
            wrong.append(name)
            if not args.check:
                path.write_bytes(text.encode())
    for path in sorted((ROOT / 'docs' / 'results').glob('*.csv')):
        name = f'docs/results/{path.name}'
        if name not in expected:
            wrong.append(name)
            if not args.check:
                path.unlink()
    if wrong:
        print(f'{", ".join(wrong)}: {"not what the results say" if args.check else "written anew"}')
    return int(args.check and bool(wrong))


if __name__ == '__main__':
    sys.exit(main())
