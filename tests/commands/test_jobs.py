import json
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtkd_basicsr.commands._jobs import Job, run_jobs
from mtkd_basicsr.commands._records import Record, archive
from mtkd_basicsr.errors import MTKDError
from mtkd_basicsr.utils.atomic import write_json


@dataclass
class Script(Job):
    """A job that runs a line of Python in the place of a function of the package."""

    code: str = 'pass'

    @property
    def command(self):
        return [sys.executable, '-c', self.code]


def job(folder, name, code='pass', after=(), iterations=None):
    begin = f"open('order.txt', 'a').write('+{name} ')"
    end = f"open('order.txt', 'a').write('-{name} ')"
    note = f'{begin}; {code}; {end}'
    log = folder / f'{name}.log'
    return Script(name, '', {}, folder, log, iterations, set(after), code=f'import time; {note}')


def order(folder):
    return (folder / 'order.txt').read_text().split()


def test_each_job_waits_for_those_before_it(tmp_path):
    ended = []
    jobs = [
        job(tmp_path, 'c', after=('a', 'b')),
        job(tmp_path, 'a', 'time.sleep(0.5)'),
        job(tmp_path, 'b', after=('elsewhere',)),
        job(tmp_path, 'd', after=('c',)),
    ]
    run_jobs(jobs, 3, lambda finished, seconds: ended.append((finished.name, seconds)))
    said = order(tmp_path)
    assert said.index('+c') > max(said.index('-a'), said.index('-b'))
    assert said.index('+d') > said.index('-c')
    assert said.index('+b') < said.index('-a'), (
        'two that do not wait for each other run side by side'
    )
    assert sorted(name for name, _ in ended) == ['a', 'b', 'c', 'd']
    assert dict(ended)['a'] >= 0.5


def test_failure_stops_what_waits_for_it_and_nothing_else(tmp_path, capsys):
    jobs = [
        job(tmp_path, 'bad', "print('so it is'); raise SystemExit(3)"),
        job(tmp_path, 'child', after=('bad',)),
        job(tmp_path, 'grandchild', after=('child',)),
        job(tmp_path, 'other'),
    ]
    with pytest.raises(
        MTKDError, match=r'(?s)bad failed; its log is .*bad\.log, and ends with\nso it is$'
    ):
        run_jobs(jobs, 1)
    assert order(tmp_path) == ['+bad', '+other', '-other']


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='no device that is full')
@pytest.mark.parametrize('workers', [1, 2])
def test_a_log_that_cannot_be_written_stops_all(workers, tmp_path):
    full = job(tmp_path, 'full', "print('much')")
    full.log = Path('/dev/full')
    jobs = [full, job(tmp_path, 'long', 'time.sleep(60)'), job(tmp_path, 'child', after=('full',))]
    started = time.time()
    with pytest.raises(MTKDError, match='all jobs were stopped: .*No space left on device'):
        run_jobs(jobs, workers, lambda finished, seconds: pytest.fail(finished.name))
    assert time.time() - started < 40


def test_a_record_that_cannot_be_written_stops_all(tmp_path):
    def write(finished, seconds):
        raise OSError(28, 'No space left on device')

    jobs = [job(tmp_path, 'a'), job(tmp_path, 'b', after=('a',))]
    with pytest.raises(MTKDError, match='all jobs were stopped: .*No space left on device'):
        run_jobs(jobs, 2, write)
    assert order(tmp_path) == ['+a', '-a']


def test_interruption_ends_what_runs(tmp_path, monkeypatch):
    started = time.time()
    jobs = [job(tmp_path, 'long', 'time.sleep(60)')]
    join = threading.Thread.join

    def impatient(thread, timeout=None):
        join(thread, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, 'join', impatient)
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, 1)
    assert time.time() - started < 30
    assert order(tmp_path) == ['+long']


def test_gpus_are_taken_in_turns(tmp_path):
    jobs = [
        job(
            tmp_path, f'j{i}', "import os; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(1)"
        )
        for i in range(2)
    ]
    run_jobs(jobs, 2, gpus=['5', '7'])
    assert {(tmp_path / f'j{i}.log').read_text().strip() for i in range(2)} == {'5', '7'}


THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


def test_threads_and_variables(tmp_path, monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    variables = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'OMP_WAIT_POLICY', 'RANK')
    code = f'import os; print(*(os.environ[n] for n in {variables}))'
    alone = job(tmp_path, 'alone', code)
    alone.environment = {'RANK': '3'}
    run_jobs([alone], 2, threads=1)
    assert (tmp_path / 'alone.log').read_text().strip() == '1 1 PASSIVE 3'


@pytest.mark.parametrize(
    ('chosen', 'found'),
    [
        ({}, '7 7 7'),
        ({'OMP_NUM_THREADS': '3'}, '3 3 3'),
        ({'MKL_NUM_THREADS': '3'}, '3 3 3'),
        ({'OPENBLAS_NUM_THREADS': '3'}, '7 7 3'),
        ({'OMP_NUM_THREADS': '3', 'MKL_NUM_THREADS': '2'}, '3 2 3'),
        ({'OMP_NUM_THREADS': '4,2'}, '4,2 4 4'),
        ({'OMP_NUM_THREADS': ''}, '7 7 7'),
        ({'OMP_NUM_THREADS': 'all'}, '7 7 7'),
        ({'OMP_NUM_THREADS': '0', 'MKL_NUM_THREADS': '2'}, '2 2 2'),
    ],
)
def test_threads_that_the_user_chose(chosen, found, tmp_path, monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    code = f'import os; print(*(os.environ[n] for n in {THREADS}))'
    run_jobs([job(tmp_path, 'alone', code)], 1, threads=7)
    assert (tmp_path / 'alone.log').read_text().strip() == found


def test_record(tmp_path):
    record = Record(tmp_path / 'a.json', 'now')
    assert not record.is_begun()
    assert not record.is_finished()
    assert record.read() == {}
    record.write(finished=False)
    assert record.is_begun()
    assert not record.is_finished()
    record.write(finished=True, seconds=1.26)
    assert record.is_finished()
    assert json.loads((tmp_path / 'a.json').read_text())['seconds'] == 1.3
    assert not Record(tmp_path / 'a.json', 'other').is_begun()
    for content in ('{"finger', '[]', '{}', '{"fingerprint": "now"}'):  # the first: a full disk
        (tmp_path / 'a.json').write_text(content)
        assert not record.is_finished()


def test_nothing_is_lost_when_a_folder_gives_way(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'weights').write_text('precious')
    archive(tmp_path / 'run')
    archive(tmp_path / 'none')
    (moved,) = tmp_path.iterdir()
    assert moved.name.startswith('run_archived_')
    assert (moved / 'weights').read_text() == 'precious'


def test_two_archived_files_of_one_second_are_kept(tmp_path):
    for text in 'abc':
        (tmp_path / 'result').write_text(text)
        archive(tmp_path / 'result')
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ['a', 'b', 'c']


def test_a_job_calls_a_function_with_its_keywords(tmp_path):
    arguments = {'out': 'mine', 'students': ['rcan'], 'scales': [3], 'methods': ['mtkd']}
    wanted = Job('options', 'write_options', arguments, tmp_path, tmp_path / 'options.log')
    run_jobs([wanted], 1)
    names = {path.name for path in (tmp_path / 'mine').rglob('*.yml')}
    assert names == {'fusion_x3.yml', 'mtkd_rcan_x3.yml', 'rcan_x3.yml'}


@pytest.mark.parametrize(
    ('function', 'arguments', 'said'),
    [
        ('train', {'options_file': 'none.yml'}, "mtkd train: -opt: no file 'none.yml'"),
        (
            'prepare_data',
            {'folder': 'none', 'out': 'x', 'sub_image': 5},
            'mtkd data: --sub-image 5 --step 2; expected multiples of 12, with a step not larger '
            'than the sub-image',
        ),
    ],
)
def test_errors_of_a_job_are_those_of_the_command_line(function, arguments, said, tmp_path):
    wanted = Job('wrong', function, arguments, tmp_path, tmp_path / 'wrong.log')
    with pytest.raises(MTKDError, match='wrong failed; its log is'):
        run_jobs([wanted], 1)
    assert (tmp_path / 'wrong.log').read_text() == f'{said}\n'


def test_a_job_calls_nothing_else(tmp_path):
    wanted = Job('wrong', '_validation', {}, tmp_path, tmp_path / 'wrong.log')
    with pytest.raises(MTKDError, match="'_validation' is not a function of mtkd_basicsr.commands"):
        run_jobs([wanted], 1)


def test_the_bar_follows_the_log(tmp_path, monkeypatch):
    seen = []

    class Bar:
        n = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, steps):
            self.n += steps
            seen.append(self.n)

    monkeypatch.setattr('mtkd_basicsr.commands._jobs.progress', lambda **_: Bar())
    lines = (
        'Start training from epoch: 1, iter: 40',
        '[test..][epoch:  1, iter:     1,050, lr:(1.000e-04,)] [eta: 0:00:00] l_pix: 1.0e-01',
        'Validation val, # iter: 7',
        '[test..][epoch:  1, iter:     1,200, lr:(1.000e-04,)] [eta: 0:00:00] l_pix: 1.0e-01',
    )
    run_jobs([job(tmp_path, 'training', f'print(*{lines}, sep=chr(10))', iterations=1100)], 1)
    assert seen == [40, 1050, 1100]


def test_json_is_replaced_at_once(tmp_path):
    path = tmp_path / 'a.json'
    write_json(path, {'a': 1})
    with pytest.raises(TypeError):
        write_json(path, {'a': object()})
    assert json.loads(path.read_text()) == {'a': 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ['a.json']
