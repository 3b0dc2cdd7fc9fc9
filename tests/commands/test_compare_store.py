"""Where results are found: in a file for each run, or as lines of a file for many."""

import copy
import json
import os
import shutil

import pytest
from conftest import ROOT

from mtkd_basicsr.commands.compare.expansion import Run, expand
from mtkd_basicsr.commands.compare.fingerprints import own_fingerprint
from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.store import (
    _lines_of,
    has_other_result,
    is_done,
    pending,
    recorded_digests,
    result_of,
    result_path,
)
from mtkd_basicsr.errors import DataError

RESULTS = ROOT / 'benchmarks' / 'results'
REFERENCE = ROOT / 'options' / 'compare' / 'reference.yml'
RUN = Run('a_x4_s0', 'student', 4, {}, 'a', 'MTKD', 0, fingerprint='now')


def result(fingerprint='now', seconds=1.0):
    return {'name': RUN.name, 'fingerprint': fingerprint, 'seconds': seconds, 'results': {}}


def write(path, *results):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(content) + '\n' for content in results))


def test_a_file_of_many_results_is_read(tmp_path):
    assert result_of(RUN, tmp_path) is None
    other = {**result(), 'name': 'another'}
    write(tmp_path / 'results' / 'some.jsonl', other, result('before'), result())
    assert result_of(RUN, tmp_path) == result()


def test_the_file_of_the_run_itself_comes_first(tmp_path):
    write(tmp_path / 'results' / 'some.jsonl', result(seconds=2.0))
    assert result_of(RUN, tmp_path)['seconds'] == 2.0
    write(result_path(RUN, tmp_path), result(seconds=3.0))
    assert result_of(RUN, tmp_path)['seconds'] == 3.0
    write(result_path(RUN, tmp_path), result('of other options', 3.0))
    assert result_of(RUN, tmp_path)['seconds'] == 2.0


def test_a_result_of_other_options_is_none(tmp_path):
    write(tmp_path / 'results' / 'some.jsonl', result('before'))
    assert result_of(RUN, tmp_path) is None


def test_a_file_is_read_once_as_long_as_it_stays_as_it_is(tmp_path):
    path = tmp_path / 'results' / 'some.jsonl'
    write(path, result(seconds=2.0))
    first = result_of(RUN, tmp_path)
    misses = _lines_of.cache_info().misses
    first['seconds'] = 'changed by its reader'
    assert result_of(RUN, tmp_path)['seconds'] == 2.0
    assert _lines_of.cache_info().misses == misses
    write(path, result(seconds=4.0))
    os.utime(path, ns=(1, 1))  # the clock of a file system may be coarse
    assert result_of(RUN, tmp_path)['seconds'] == 4.0
    path.unlink()
    assert result_of(RUN, tmp_path) is None


@pytest.mark.parametrize('line', ['{"name": "a_x4_s0", "finge', '[1, 2]', '{"name": "a_x4_s0"}'])
def test_a_damaged_line_is_named(line, tmp_path):
    """Passed over, it would cost the training again."""
    path = tmp_path / 'results' / 'some.jsonl'
    write(path, result('before'))
    path.write_text(path.read_text() + '\n' + line + '\n')
    with pytest.raises(DataError, match=r"some.jsonl', line 3: expected the result of a run"):
        result_of(RUN, tmp_path)


@pytest.mark.parametrize('text', ['', '{"name": "a_x4_s0", "finge', '[]', '{}', 'null', '7'])
def test_a_damaged_file_is_named(text, tmp_path):
    path = result_path(RUN, tmp_path)
    write(path, result())
    path.write_text(text)
    expected = r"a_x4_s0.json': expected the result of a run as one JSON object"
    for function in (result_of, has_other_result):
        with pytest.raises(DataError, match=expected):
            function(RUN, tmp_path)
    with pytest.raises(DataError, match=expected):
        recorded_digests(tmp_path)


def test_the_results_of_the_repository_are_finished_anywhere(tmp_path):
    (tmp_path / 'results').mkdir()
    for path in RESULTS.glob('*.jsonl'):
        shutil.copy(path, tmp_path / 'results')
    plan = read_plan(REFERENCE)
    runs = expand(plan, tmp_path)
    assert len(runs) == 95
    assert pending(runs, plan, tmp_path) == []
    (tmp_path / 'results' / 'reference.jsonl').unlink()
    assert len(pending(runs, plan, tmp_path)) == len(runs)


def test_a_folder_of_version_0_1_0_is_read(tmp_path):
    """It has a file for each run, of the same content, with line breaks."""
    lines = (RESULTS / 'reference.jsonl').read_text().splitlines()
    plan = read_plan(REFERENCE)
    runs = {run.name: run for run in expand(plan, tmp_path)}
    for content in map(json.loads, lines):
        path = result_path(runs[content['name']], tmp_path)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1))
        assert result_of(runs[content['name']], tmp_path) == content
    assert pending(list(runs.values()), plan, tmp_path) == []
    student = runs['EDSR_MTKD_x4_s0']
    assert is_done(student, plan, tmp_path)


def test_a_report_is_made_of_lines(here, tmp_path):
    (tmp_path / 'results').mkdir()
    shutil.copy(RESULTS / 'rate.jsonl', tmp_path / 'results')
    plan = ROOT / 'options' / 'compare' / 'rate.yml'
    printed = here('compare', '-opt', plan, '--out', tmp_path, '--report-only')
    assert '| lr-4e-3 | 27.98 / 0.7744 |' in printed
    assert (tmp_path / 'report_rate' / 'report.html').is_file()


def test_compilation_makes_no_other_run(tmp_path):
    plan = read_plan(ROOT / 'options' / 'compare' / 'rate.yml')
    run = next(run for run in expand(plan, tmp_path) if run.kind == 'student')
    prints = {}
    for key, value in (('compile', False), ('compile', 'cudagraphs'), ('ema_decay', 0.5)):
        train = {**run.options['train'], key: value}
        changed = copy.copy(run)
        changed.options = {**run.options, 'train': train}
        prints[key, value] = own_fingerprint(changed, tmp_path)
    usual = own_fingerprint(run, tmp_path)
    assert prints['compile', False] == prints['compile', 'cudagraphs'] == usual
    assert prints['ema_decay', 0.5] != usual
