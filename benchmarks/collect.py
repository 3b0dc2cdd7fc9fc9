"""The results of finished runs, out of the folder of a comparison into the files of this
repository: benchmarks/results/PLAN.jsonl, one line for each run, sorted by name.

    python benchmarks/collect.py [OUT ...] [--replace | --repeats]

OUT is what `mtkd compare --out OUT` has made. A run goes to the first plan that has it with these
options. No line is lost: one that no plan has any more, or that --replace puts another in the
place of, goes to benchmarks/results/retired/PLAN.jsonl. What is there stays where OUT has
another result of the same run, without --replace; with --repeats the other result of a training
goes to benchmarks/results/repeated/PLAN.jsonl. The exit code is 1 where something was left out.
"""

import argparse
import json
import sys
from pathlib import Path

import mtkd_basicsr  # noqa: F401  (registers)
from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.utils.atomic import write_atomically

ROOT = Path(__file__).resolve().parents[1]
# In this order: what several of them have is in the file of the first.
PLANS = (
    'reference',
    'long',
    'ablation',
    'fusion',
    'rate',
    'search',
    'start',
    'ready',
    'paper_rate',
    'gains',
)


def plan_file(root, name):
    """The file of a plan: one that comes with the package, or one of benchmarks/plans."""
    path = root / 'options' / 'compare' / f'{name}.yml'
    return path if path.is_file() else root / 'benchmarks' / 'plans' / f'{name}.yml'


def read_lines(path):
    """The results in a file, none where there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines() if line]


def write_lines(path, results):
    """Write results in a compact form, sorted by name."""
    lines = [
        json.dumps(result, separators=(',', ':')) + '\n'
        for result in sorted(results, key=lambda result: (result['name'], result['fingerprint']))
    ]
    path.parent.mkdir(exist_ok=True)
    write_atomically(str(path), lambda file: file.write(''.join(lines).encode()))


def plans_of_runs(root):
    """(name, fingerprint) of every run -> the first plan that has it."""
    found = {}
    for name in PLANS:
        plan = read_plan(plan_file(root, name))
        for run in expand(plan, root / 'benchmarks'):
            found.setdefault((run.name, run.fingerprint), name)
    return found


def results_in(folder):
    """All results in the folder of a comparison."""
    for path in sorted((folder / 'results').glob('*.json')):
        result = json.loads(path.read_text(encoding='utf-8'))
        if 'fingerprint' in result:
            yield result
    for path in sorted((folder / 'results').glob('*.jsonl')):
        yield from read_lines(path)


def collect(root, folders, replace=False, repeats=False):
    """Put results into the files of their plans.

    Args:
        root: Of the repository.
        folders: Of comparisons.
        replace: Whether a new result takes the place of another one of the same run.
        repeats: Whether such a result of a training is kept beside the other one.

    Returns:
        A text for each result that was left out.
    """
    results = root / 'benchmarks' / 'results'
    plans = plans_of_runs(root)
    current = {}  # (name, fingerprint) -> result
    retired = {path.stem: read_lines(path) for path in (results / 'retired').glob('*.jsonl')}
    for path in sorted(results.glob('*.jsonl')):
        for result in read_lines(path):
            key = result['name'], result['fingerprint']
            if key not in plans or key in current:
                retired.setdefault(path.stem, []).append(result)
            else:
                current[key] = result
    repeated = {path.stem: read_lines(path) for path in (results / 'repeated').glob('*.jsonl')}
    left_out = []
    for result in (result for folder in folders for result in results_in(folder)):
        key = result['name'], result['fingerprint']
        if key not in plans:
            left_out.append(f'{result["name"]}: no plan has this run with these options')
        elif current.get(key, result) == result:
            current[key] = result
        elif replace:
            retired.setdefault(plans[key], []).append(current[key])
            current[key] = result
        elif repeats and result['kind'] == 'student':
            known = repeated.setdefault(plans[key], [])
            if result not in known:
                known.append(result)
        else:
            left_out.append(f'{result["name"]}: another result of this run is there, see --replace')
    # The retired ones first: whoever ends this in between has a line twice, not lost.
    for name, lines in retired.items():
        write_lines(results / 'retired' / f'{name}.jsonl', lines)
    for name, lines in repeated.items():
        write_lines(results / 'repeated' / f'{name}.jsonl', lines)
    files = {path.stem for path in results.glob('*.jsonl')} | {plans[key] for key in current}
    for name in sorted(files):
        lines = [result for key, result in current.items() if plans[key] == name]
        write_lines(results / f'{name}.jsonl', lines)
    return left_out


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.add_argument('out', nargs='*', type=Path, metavar='OUT')
    which = p.add_mutually_exclusive_group()
    which.add_argument('--replace', action='store_true')
    which.add_argument('--repeats', action='store_true')
    args = p.parse_args()
    left_out = collect(ROOT, args.out, args.replace, args.repeats)
    print('\n'.join(left_out), end='\n' if left_out else '')
    return int(bool(left_out))


if __name__ == '__main__':
    sys.exit(main())
