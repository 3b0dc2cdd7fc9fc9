import json
import sys
import threading
import time

import pytest

from mtkd_basicsr.commands._jobs import Job, Record, archive, run_jobs
from mtkd_basicsr.errors import MTKDError


def job(folder, name, code='pass', after=(), iterations=None):
    begin = f"open('order.txt', 'a').write('+{name} ')"
    end = f"open('order.txt', 'a').write('-{name} ')"
    note = f'{begin}; {code}; {end}'
    return Job(
        name,
        [sys.executable, '-c', f'import time; {note}'],
        folder,
        folder / f'{name}.log',
        iterations,
        set(after),
    )


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


def test_threads_and_variables(tmp_path):
    variables = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'OMP_WAIT_POLICY', 'RANK')
    code = f'import os; print(*(os.environ[n] for n in {variables}))'
    alone = job(tmp_path, 'alone', code)
    alone.environment = {'RANK': '3'}
    run_jobs([alone], 2, threads=1)
    assert (tmp_path / 'alone.log').read_text().strip() == '1 1 PASSIVE 3'


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
    (tmp_path / 'a.json').write_text('{"finger')  # what a full disk leaves
    assert not record.is_finished()


def test_nothing_is_lost_when_a_folder_gives_way(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'weights').write_text('precious')
    archive(tmp_path / 'run')
    archive(tmp_path / 'none')
    (moved,) = tmp_path.iterdir()
    assert moved.name.startswith('run_archived_')
    assert (moved / 'weights').read_text() == 'precious'
