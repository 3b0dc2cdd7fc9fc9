import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, mtkd

from mtkd_basicsr.commands.demo import trainings
from mtkd_basicsr.data import sample_photographs
from mtkd_basicsr.errors import MTKDError


def test_training_and_validation_share_no_photograph():
    assert not set(sample_photographs.TRAIN) & set(sample_photographs.VALIDATION)
    for name in sample_photographs.TRAIN + sample_photographs.VALIDATION:
        image = sample_photographs.load(name)
        assert image.dtype == np.uint8, name
        assert image.ndim == 3, name
        assert image.shape[2] == 3, name
        assert image.std() > 1, name


def test_photographs_are_prepared_once_and_whole(tmp_path):
    (tmp_path / 'train.tmp').mkdir()  # what a killed call leaves behind
    sample_photographs.prepare(tmp_path, 4)
    for split in ('train', 'val'):
        names = sorted(p.name for p in (tmp_path / split / 'GT').iterdir())
        assert names == sorted(p.name for p in (tmp_path / split / 'LRbicx4').iterdir())
        assert len(names) >= 3
        for name in names[:5]:
            gt, lq = (cv2.imread(str(tmp_path / split / kind / name)) for kind in ('GT', 'LRbicx4'))
            assert gt.shape == (4 * lq.shape[0], 4 * lq.shape[1], 3)
    assert not (tmp_path / 'train.tmp').exists()
    stamp = (tmp_path / 'val' / 'GT' / 'chelsea.png').stat().st_mtime_ns
    sample_photographs.prepare(tmp_path, 4)
    assert (tmp_path / 'val' / 'GT' / 'chelsea.png').stat().st_mtime_ns == stamp


@pytest.fixture(scope='module')
def tiny_demo(tmp_path_factory):
    """Option files of the demo with two iterations each, and a folder for it."""
    options = tmp_path_factory.mktemp('options')
    for name in ('fusion', 'mtkd', 'scratch'):
        text = (ROOT / 'options' / 'demo' / f'{name}.yml').read_text()
        text = re.sub(r'total_iter: \d+', 'total_iter: 2', text)
        text = re.sub(r'batch_size_per_gpu: \d+', 'batch_size_per_gpu: 1', text)
        (options / f'{name}.yml').write_text(text.replace('print_freq: 20', 'print_freq: 1'))
    return options, tmp_path_factory.mktemp('demo')


CODE = """
import sys
from pathlib import Path
from mtkd_basicsr.commands import cli
from mtkd_basicsr.commands.demo import trainings
from mtkd_basicsr.data import sample_photographs
sample_photographs.TRAIN = ('brick', 'rocket')
trainings.option_file = lambda *parts: Path(sys.argv[1]) / parts[-1]
sys.exit(cli.main(['demo', '--out', sys.argv[2]]))
"""


@pytest.mark.slow
def test_the_whole_demo_and_again(tiny_demo):
    options, out = tiny_demo
    command = [sys.executable, '-c', CODE, str(options), str(out)]
    printed = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    ).stdout
    table = (out / 'results.md').read_text()
    rows = [line.split('|')[1].strip() for line in table.splitlines() if line.startswith('| ')][1:]
    assert rows == [
        'bicubic',
        'teacher swinir',
        'teacher edsr',
        'teacher rcan',
        'mean of teachers',
        'fused teachers',
        'student from scratch',
        'student MTKD',
    ]
    assert table in printed
    assert cv2.imread(str(out / 'results.png')).shape[1] > 1500
    assert 'computed the targets once' in table
    bicubic = next(line for line in table.splitlines() if line.startswith('| bicubic'))
    assert 28 < float(bicubic.split('|')[2]) < 29

    weights = {p: p.stat().st_mtime_ns for p in out.rglob('net_g_latest.pth')}
    assert len(weights) == 3
    printed = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    ).stdout
    assert printed.count('finished before') == 5, 'three trainings and two caches'
    assert 'Precision: ' in printed
    assert {p: p.stat().st_mtime_ns for p in out.rglob('net_g_latest.pth')} == weights


def test_changed_settings_give_way_to_a_new_training(tiny_demo, monkeypatch, tmp_path):
    options, _ = tiny_demo
    monkeypatch.setattr(trainings, 'option_file', lambda *parts: options / parts[-1])
    (tmp_path / 'runs').mkdir()
    folder = tmp_path / 'experiments' / 'demo_scratch'
    folder.mkdir(parents=True)
    (folder / 'precious.pth').write_text('weights')
    step = trainings.Step('train', 'scratch')
    first = trainings.Run(step, tmp_path, 'upstream', quick=False)
    first.record.write(finished=True)
    assert not first.prepare()
    assert folder.exists()
    assert trainings.Run(step, tmp_path, 'another upstream', quick=False).prepare()
    (archived,) = (tmp_path / 'experiments').iterdir()
    assert archived.name.startswith('demo_scratch_archived_')
    assert (archived / 'precious.pth').read_text() == 'weights'


def test_two_cores_are_used_and_not_more():
    two = trainings.Cores.of(2)
    assert (two.jobs, two.threads) == (2, 1), 'two side by side, with one thread each'
    assert trainings.Cores.of(1) == trainings.Cores(1, 1, 1, False)
    for count in (3, 4, 8, 64):
        cores = trainings.Cores.of(count)
        assert cores.jobs * cores.threads <= count
        assert cores.jobs == 3
        assert cores.cache_parts <= 2
        assert not cores.waiting


@pytest.fixture
def given_jobs(monkeypatch):
    """What would be run: run_jobs finishes everything at once, in ten seconds each."""
    jobs = []

    def run_jobs(some, workers, finished, threads):
        jobs.clear()
        jobs.extend(some)
        for job in some:
            finished(job, 10.0)

    monkeypatch.setattr(trainings, 'run_jobs', run_jobs)
    return jobs


def test_what_waits_for_what(given_jobs, tmp_path):
    trainings.run_steps(trainings.steps(False), tmp_path, False, trainings.Cores(2, 1, 2, True))
    after = {job.name: job.after for job in given_jobs}
    caches = {
        name: {f'the cache for {name} ({part} of 2)' for part in (1, 2)}
        for name in ('fusion', 'mtkd')
    }
    fusion = 'the training of fusion'
    assert after == {
        **dict.fromkeys(caches['fusion'], set()),
        fusion: caches['fusion'],
        **dict.fromkeys(caches['mtkd'], {fusion}),
        'the training of mtkd': caches['mtkd'],
        'the training of scratch': caches['mtkd'],
    }
    shares = [job.environment for job in given_jobs if job.environment]
    assert shares == 2 * [{'RANK': '0', 'WORLD_SIZE': '2'}, {'RANK': '1', 'WORLD_SIZE': '2'}]
    assert trainings.seconds_of(tmp_path, 'cache_mtkd') == 20, 'of both processes'


def test_what_is_left_of_it_is_done(given_jobs, tmp_path):
    cores = trainings.Cores(3, 1, 1, False)
    trainings.run_steps(trainings.steps(False), tmp_path, False, cores)
    assert [job.name for job in given_jobs if not job.after] == [
        'the cache for fusion',
        'the training of scratch',
    ]
    # A step whose record says that it is not finished; what builds on it has the same settings as
    # before, and stays.
    trainings.Run(
        trainings.Step('train', 'scratch'), tmp_path, trainings.fingerprint_of_teachers(), False
    ).record.write(False)
    trainings.run_steps(trainings.steps(False), tmp_path, False, cores)
    assert [(job.name, job.after) for job in given_jobs] == [('the training of scratch', set())]


def test_half_a_cache_is_not_finished(given_jobs, monkeypatch, tmp_path):
    def half(some, workers, finished, threads):
        finished(some[0], 10.0)

    monkeypatch.setattr(trainings, 'run_jobs', half)
    trainings.run_steps(trainings.steps(False), tmp_path, False, trainings.Cores(2, 1, 2, True))
    assert not json.loads((tmp_path / 'runs' / 'cache_fusion.json').read_text())['finished']


def test_failure_names_the_log(tiny_demo, monkeypatch, tmp_path):
    options, _ = tiny_demo
    monkeypatch.setattr(trainings, 'option_file', lambda *parts: options / parts[-1])
    with pytest.raises(MTKDError, match='the training of scratch failed; its log is .*scratch.log'):
        # there are no photographs
        trainings.run_steps(
            [trainings.Step('train', 'scratch')], tmp_path, False, trainings.Cores.of(1)
        )
    assert not json.loads((tmp_path / 'runs' / 'scratch.json').read_text())['finished']


def running_in_session(session):
    """Processes of a session, without those that are dead and not yet waited for."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, _, _, sid = stat.read_text().rsplit(')', 1)[1].split()[:4]
        except OSError:
            continue
        if int(sid) == session and state != 'Z':
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='needs the /proc of Linux')
def test_stopped_demo_leaves_no_process_behind(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-m', 'mtkd_basicsr', 'demo', '--out', str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.time() + 120
    assert running_in_session(process.pid)
    while time.time() < deadline and not list(tmp_path.glob('runs/*.log')):
        time.sleep(0.5)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    time.sleep(1)
    alive = running_in_session(process.pid)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    assert not alive


def test_wrong_arguments(tmp_path):
    assert 'unrecognized arguments: --quik' in mtkd('demo', '--quik', cwd=tmp_path, expect=2)
