"""The tables of README.md and docs/results.md are those of the files in benchmarks/results."""

import json
import re
import runpy
import shutil

import pytest
from conftest import ROOT

from mtkd_basicsr.commands.compare.expansion import expand
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.results import collect
from mtkd_basicsr.evaluation.measure import read_json


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """The script, on a copy of all that it reads."""
    for name in ('benchmarks', 'options/compare', 'docs'):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / 'README.md', tmp_path)
    monkeypatch.setattr('sys.argv', ['tables.py', '--check'])
    return runpy.run_path(str(tmp_path / 'benchmarks' / 'tables.py'))['main']


def test_texts_are_what_the_results_say(tables, capsys):
    assert tables() == 0, capsys.readouterr().out


def test_another_number_is_found(tables, tmp_path, capsys, monkeypatch):
    readme = (tmp_path / 'README.md').read_text()
    number = re.search(r'<!-- results -->.*?\| scratch \| (\d\d\.\d\d)', readme, re.DOTALL)[1]
    (tmp_path / 'README.md').write_text(
        readme.replace(f'| scratch | {number}', '| scratch | 99.99')
    )
    assert tables() == 1
    assert capsys.readouterr().out.startswith('README.md: not what')
    monkeypatch.setattr('sys.argv', ['tables.py'])
    assert tables() == 0
    assert (tmp_path / 'README.md').read_text() == readme
    assert len(list((tmp_path / 'docs' / 'pictures').glob('*.png'))) >= 2
    path = tmp_path / 'benchmarks' / 'results' / 'EDSR_scratch_x4_s0.json'
    result = read_json(path)
    result['results']['scratch']['Set5']['baby'][0] += 5
    path.write_text(json.dumps(result))
    monkeypatch.setattr('sys.argv', ['tables.py', '--check'])
    assert tables() == 1
    assert capsys.readouterr().out.endswith(
        'README.md, docs/results.md: not what the results say\n'
    )


def test_a_picture_goes_with_its_results(tables, tmp_path, capsys, monkeypatch):
    for path in (tmp_path / 'benchmarks' / 'results').glob('EDSR_*_s10.json'):
        if path.name not in ('EDSR_scratch_x4_s10.json', 'EDSR_lr-2e-3_x4_s10.json'):
            path.unlink()
    monkeypatch.setattr('sys.argv', ['tables.py'])
    assert tables() == 0
    assert capsys.readouterr().out == 'docs/results.md: written anew\n'
    assert not (tmp_path / 'docs' / 'pictures' / 'search_bars.png').exists()
    monkeypatch.setattr('sys.argv', ['tables.py', '--check'])
    assert tables() == 0


def test_no_finished_training_is_done_again():
    """Their plans said bf16 where they say auto now."""
    names = set()
    for path in (ROOT / 'options' / 'compare').glob('*.yml'):
        if path.stem in ('small', 'paper'):
            continue
        plan = read_plan(path)
        found = collect(plan, expand(plan, ROOT / 'benchmarks'), ROOT / 'benchmarks')
        names |= set(found.runs) - set(found.missing)
        assert found.mixed() == {}, path
    assert names == {path.stem for path in (ROOT / 'benchmarks' / 'results').glob('*.json')} - {
        'teachers'
    }


def test_results_have_what_they_are_made_of():
    paths = [
        p for p in (ROOT / 'benchmarks' / 'results').glob('*.json') if p.name != 'teachers.json'
    ]
    for result in map(read_json, paths):
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
    assert paths
