"""The tables of README.md and docs, and the CSV files there, are those of the files in
benchmarks/results.
"""

import csv
import importlib
import json
import re
import runpy
import shutil

import pytest
from conftest import ROOT

from mtkd_basicsr.commands.compare.collection import collect
from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan

RESULTS = ROOT / 'benchmarks' / 'results'
PAGES = ''.join((ROOT / 'docs' / f'{name}.md').read_text() for name in ('results', 'parts'))


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(result) + '\n' for result in results))


@pytest.fixture
def collecting(monkeypatch):
    """The module that puts results into the files of their plans."""
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    return importlib.import_module('collect')


@pytest.fixture
def repository(tmp_path):
    """A copy of all that the scripts read and write."""
    for name in ('benchmarks', 'options/compare', 'docs'):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(ROOT / 'README.md', tmp_path)
    return tmp_path


@pytest.fixture
def tables(repository, collecting, monkeypatch):
    """The script that writes tables, on the copy; it only checks."""
    monkeypatch.setattr('sys.argv', ['tables.py', '--check'])
    return runpy.run_path(str(repository / 'benchmarks' / 'tables.py'))['main']


def test_texts_are_what_the_results_say(tables, capsys):
    assert tables() == 0, capsys.readouterr().out


def test_another_number_is_found(tables, repository, capsys, monkeypatch):
    readme = (repository / 'README.md').read_text()
    number = re.search(r'<!-- results -->.*?\| no teacher \| (\S+ \S+)', readme, re.DOTALL)[1]
    (repository / 'README.md').write_text(
        readme.replace(f'| no teacher | {number}', '| no teacher | **won** +9.99')
    )
    table = repository / 'docs' / 'results' / 'methods.csv'
    table.write_text(table.read_text().replace('reference,EDSR,4,MTKD,', 'reference,EDSR,4,MTDK,'))
    left_over = repository / 'docs' / 'results' / 'old.csv'
    left_over.write_text('plan\n')
    assert tables() == 1
    assert capsys.readouterr().out == (
        'README.md, docs/results/methods.csv, docs/results/old.csv: not what the results say\n'
    )
    monkeypatch.setattr('sys.argv', ['tables.py'])
    assert tables() == 0
    assert (repository / 'README.md').read_text() == readme
    assert table.read_bytes() == (ROOT / 'docs' / 'results' / 'methods.csv').read_bytes()
    assert not left_over.exists()
    pictures = {path.name for path in (repository / 'docs' / 'pictures').glob('*.png')}
    linked = set(re.findall(r'\(pictures/(\w+\.png)\)', PAGES))
    # Two are those of README.md; the other is written into any page that has its marks.
    assert pictures - {'first_screen.png', 'stages.png', 'equal_seconds.png'} == (
        linked - {'equal_seconds.png'}
    )
    assert 'equal_seconds.png' in pictures


def test_another_result_is_found(tables, repository, capsys):
    path = repository / 'benchmarks' / 'results' / 'long.jsonl'
    results = read_lines(path)
    (changed,) = (result for result in results if result['name'] == 'EDSR_scratch+3.5x_x4_s0')
    changed['results']['scratch+3.5x']['Set5']['baby'][0] += 5
    write_lines(path, results)
    assert tables() == 1
    wrong = capsys.readouterr().out
    for name in ('README.md', 'docs/results.md', 'headline.csv', 'psnr_14000.csv', 'methods.csv'):
        assert name in wrong
    assert 'references.csv' not in wrong


def test_a_picture_goes_with_its_results(tables, repository, monkeypatch):
    (repository / 'benchmarks' / 'results' / 'ablation.jsonl').unlink()
    reference = repository / 'benchmarks' / 'results' / 'reference.jsonl'
    results = [r for r in read_lines(reference) if not r['name'].startswith('EDSR_MTKD+FAKD')]
    write_lines(reference, results)
    monkeypatch.setattr('sys.argv', ['tables.py'])
    assert tables() == 0
    assert not (repository / 'docs' / 'pictures' / 'ablation_bars.png').exists()
    assert 'ablation_bars.png' not in (repository / 'docs' / 'parts.md').read_text()
    monkeypatch.setattr('sys.argv', ['tables.py', '--check'])
    assert tables() == 0


def test_a_plan_without_results_leaves_dashes(tables, repository, monkeypatch):
    (repository / 'benchmarks' / 'results' / 'long.jsonl').unlink()
    monkeypatch.setattr('sys.argv', ['tables.py'])
    assert tables() == 0
    readme = (repository / 'README.md').read_text()
    assert '| FAKD | – | – | – |' in readme
    page = (repository / 'docs' / 'parts.md').read_text()
    assert '| FAKD | **won** +0.09' in page


def test_no_finished_training_is_done_again(collecting):
    """Their plans said bf16 where they say auto now."""
    finished = set()
    for path in RESULTS.glob('*.jsonl'):
        plan = read_plan(collecting.plan_file(ROOT, path.stem))
        found = collect(plan, expand(plan, ROOT / 'benchmarks'), ROOT / 'benchmarks')
        finished |= set(found.runs) - set(found.missing)
        assert found.mixed() == {}, path
    lines = [
        (result['name'], result['fingerprint'])
        for path in RESULTS.glob('*.jsonl')
        for result in read_lines(path)
    ]
    assert len(lines) == len(set(lines)) >= 200
    assert finished == {name for name, _ in lines}


def test_each_run_is_in_the_file_of_the_first_plan_that_has_it(collecting):
    homes = collecting.plans_of_runs(ROOT)
    for path in RESULTS.glob('*.jsonl'):
        results = read_lines(path)
        names = [result['name'] for result in results]
        assert names == sorted(names), path
        assert {homes[result['name'], result['fingerprint']] for result in results} == {path.stem}


def test_results_have_what_they_are_made_of():
    results = [result for path in RESULTS.rglob('*.jsonl') for result in read_lines(path)]
    for result in results:
        assert re.fullmatch('[0-9a-f]{40}', result['commit'])
        assert 'torch' in result['machine']
        assert result['options']['scale'] == 4
        if result['kind'] == 'student':
            assert result['options']['manual_seed'] == result['seed']
            assert result['curve']
            assert result['training_seconds'] > 0
            assert all(
                len(values) == 2
                for images in result['results'][result['method']].values()
                for values in images.values()
            )
    assert results


def test_methods_that_were_removed_are_no_runs_of_a_plan(collecting):
    retired = [
        result for path in (RESULTS / 'retired').glob('*.jsonl') for result in read_lines(path)
    ]
    assert {result['method'] for result in retired} >= {'anneal', 'selective'}
    homes = collecting.plans_of_runs(ROOT)
    for result in retired:
        removed = result['method'] in ('anneal', 'selective')
        assert not removed or (result['name'], result['fingerprint']) not in homes
    with open(ROOT / 'docs' / 'results' / 'retired_methods.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert {(row['method'], row['last_version']) for row in rows} >= {
        ('anneal', '0.1.0'),
        ('selective', '0.1.0'),
    }


def test_figures_of_the_page_are_in_the_tables():
    """Those of two decimals or more, in the text around the tables."""
    prose = re.sub(r'<!-- (\w+) -->.*?<!-- end of \1 -->', '', PAGES, flags=re.DOTALL)
    values = set()
    for path in (ROOT / 'docs' / 'results').glob('*.csv'):
        with open(path, newline='') as file:
            for row in csv.DictReader(file):
                for key, value in row.items():
                    if {'db', 'time'} & set(key.split('_')) and value:
                        number = abs(float(value))
                        values |= {f'{number:.2f}', f'{number:.3f}'}
    figures = re.findall(r'(?<![\d.])\d+\.\d\d+(?![\d.])', prose)
    assert len(figures) >= 30
    # The smallest p of five images, what fusion networks agree within, and a learning rate.
    assert set(figures) - values <= {'0.062', '0.001', '0.0004'}


def folder_with(tmp_path, *results):
    for result in results:
        path = tmp_path / 'out' / 'results' / f'{result["name"]}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
    return tmp_path / 'out'


def test_results_are_collected_into_the_files_of_their_plans(collecting, repository):
    path = repository / 'benchmarks' / 'results' / 'fusion.jsonl'
    before = path.read_bytes()
    results = read_lines(path)
    write_lines(path, results[::3])
    out = folder_with(repository, *(result for result in results if result not in results[::3]))
    assert collecting.collect(repository, [out]) == []
    assert path.read_bytes() == before, 'all lines, compact, sorted by name'
    assert collecting.collect(repository, [out]) == [], 'once more changes nothing'
    assert path.read_bytes() == before


def test_collecting_loses_no_line(collecting, repository):
    folder = repository / 'benchmarks' / 'results'
    known = read_lines(folder / 'fusion.jsonl')
    another = {**known[0], 'seconds': 1.0}
    stranger = {**known[1], 'fingerprint': 'of other options'}
    out = folder_with(repository, another, stranger)
    files = {path: path.read_bytes() for path in folder.rglob('*.jsonl')}
    left_out = collecting.collect(repository, [out])
    assert left_out == [
        f'{known[0]["name"]}: another result of this run is there, see --replace',
        f'{known[1]["name"]}: no plan has this run with these options',
    ]
    assert {path: path.read_bytes() for path in folder.rglob('*.jsonl')} == files
    assert len(collecting.collect(repository, [out], replace=True)) == 1
    assert read_lines(folder / 'fusion.jsonl') == [another, *known[1:]]
    assert read_lines(folder / 'retired' / 'fusion.jsonl') == [known[0]]


def test_a_training_that_was_done_again_is_kept_beside_the_first(collecting, repository):
    folder = repository / 'benchmarks' / 'results'
    known = next(r for r in read_lines(folder / 'reference.jsonl') if r['kind'] == 'cache')
    student = next(r for r in read_lines(folder / 'ablation.jsonl') if r['kind'] == 'student')
    again = {**student, 'seconds': 1.0}
    out = folder_with(repository, again, {**known, 'seconds': 1.0})
    files = {path: path.read_bytes() for path in folder.glob('*.jsonl')}
    for _ in range(2):
        left_out = collecting.collect(repository, [out], repeats=True)
        assert left_out == [
            f'{known["name"]}: another result of this run is there, see --replace'
        ], 'a cache is no training'
        assert read_lines(folder / 'repeated' / 'ablation.jsonl') == [again]
    assert {path: path.read_bytes() for path in folder.glob('*.jsonl')} == files


def test_what_a_plan_has_no_longer_is_retired(collecting, repository):
    plan = repository / 'options' / 'compare' / 'ablation.yml'
    folder = repository / 'benchmarks' / 'results'
    gone = [r for r in read_lines(folder / 'ablation.jsonl') if r['method'] == 'db2']
    retired = read_lines(folder / 'retired' / 'ablation.jsonl')
    assert len(gone) == 2
    plan.write_text(re.sub(r'\n  db2: .*', '', plan.read_text()))
    assert collecting.collect(repository, []) == []
    assert not [r for r in read_lines(folder / 'ablation.jsonl') if r['method'] == 'db2']
    now = read_lines(folder / 'retired' / 'ablation.jsonl')
    assert sorted(r['name'] for r in now) == sorted(r['name'] for r in retired + gone)
    assert all(result in now for result in retired + gone)
