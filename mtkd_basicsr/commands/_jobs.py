"""Processes that run side by side: what each waits for, its progress, its log, and the record of
what is finished.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MTKDError
from ..utils.progress import progress, say

# How many threads torch, and the libraries of numpy and scipy, may have.
_THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')
_ITERATION = re.compile(r', iter:\s*([\d,]+)')


class Record:
    """The small file that says how far a job is: with which settings, whether finished, how many
    seconds.

    Args:
        path (Path): The file.
        fingerprint (str): Of the settings of this time.
    """

    def __init__(self, path, fingerprint):
        self.path = path
        self.fingerprint = fingerprint

    def read(self):
        """What the file says: fingerprint, finished, seconds; nothing where there is none."""
        try:
            return json.loads(self.path.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}

    def write(self, finished, seconds=0.0):
        """Replaces the file; a reader never sees half of it."""
        write_json(
            {'fingerprint': self.fingerprint, 'finished': finished, 'seconds': round(seconds, 1)},
            self.path,
        )

    def is_finished(self):
        """Whether the job was finished with the settings of this time."""
        content = self.read()
        return content.get('fingerprint') == self.fingerprint and content['finished']

    def is_begun(self):
        """Whether the job was begun with the settings of this time."""
        return self.read().get('fingerprint') == self.fingerprint


def write_json(content, path):
    """Writes a JSON file so that a reader never sees half of it."""
    temporary = path.with_suffix(f'.{os.getpid()}.tmp')
    temporary.write_text(json.dumps(content, indent=1), encoding='utf-8')
    os.replace(temporary, path)


def archive(folder):
    """Gives a folder another name, so that nothing in it is overwritten.

    Harmless where there is none.
    """
    if folder.exists():
        folder.rename(f'{folder}_archived_{time.strftime("%Y%m%d_%H%M%S")}')


@dataclass
class Job:
    """A command to be run.

    Attributes:
        name (str): For the progress bar and for messages.
        command (list[str]): What is run.
        cwd (Path): Where.
        log (Path): What it prints is added to this file.
        iterations (int | None): How many a training has.
        after (set[str]): Names of jobs that have to be finished before.
        environment (dict[str, str]): Variables that it has beside those of this process.
    """

    name: str
    command: list
    cwd: Path
    log: Path
    iterations: int | None = None
    after: set = field(default_factory=set)
    environment: dict = field(default_factory=dict)


def mtkd_command(*arguments):
    """A command of this package, run by this Python."""
    return [sys.executable, '-m', 'mtkd_basicsr', *map(str, arguments)]


def _environment(threads, gpu):
    # Without PASSIVE threads that wait for each other keep a core busy, which another process may
    # need.
    result = {
        'OMP_WAIT_POLICY': 'PASSIVE',
        **os.environ,
        'PYTHONUNBUFFERED': '1',
        'PYTHONIOENCODING': 'utf-8',
    }
    for name in _THREADS:
        result[name] = str(threads)
    if gpu is not None:
        result['CUDA_VISIBLE_DEVICES'] = gpu
    return result


class _Runner:
    """Threads that take jobs as soon as all that they wait for is finished."""

    def __init__(self, jobs, workers, gpus, finished, threads):
        self.todo = list(jobs)
        self.workers = workers
        self.finished = finished
        self.gpus = gpus
        self.total = len(jobs)
        self.threads = threads or max(1, (os.cpu_count() or 1) // workers)
        self.done = set()
        self.failed = {}
        self.processes = {}
        self.stopped = False
        self.changed = threading.Condition()

    def _next(self):
        """The next job, None if there is none any more."""
        with self.changed:
            while not self.stopped:
                names = {job.name for job in self.todo} | set(self.processes)
                for job in self.todo:
                    if not job.after & (names | set(self.failed)):
                        self.todo.remove(job)
                        self.processes[job.name] = None
                        return job
                blocked = [job for job in self.todo if job.after & set(self.failed)]
                for job in blocked:
                    self.todo.remove(job)
                    self.failed[job.name] = None
                if not self.todo:
                    return None
                if not blocked:
                    self.changed.wait()
        return None

    def work(self, slot):
        while True:
            job = self._next()
            if job is None:
                return
            start = time.time()
            status = self._run(job, slot)
            with self.changed:
                self.processes.pop(job.name)
                if self.stopped:
                    return
                if status == 0:
                    self.done.add(job.name)
                    self.finished(job, time.time() - start)
                    say(
                        f'[{len(self.done)}/{self.total}] {job.name}: done in '
                        f'{time.time() - start:.0f} s'
                    )
                else:
                    self.failed[job.name] = job
                    say(f'{job.name}: FAILED, see {job.log}')
                self.changed.notify_all()

    def _run(self, job, slot):
        gpu = self.gpus[slot % len(self.gpus)] if self.gpus else None
        with self.changed:
            if self.stopped:
                return 1
            process = self.processes[job.name] = subprocess.Popen(
                job.command,
                cwd=job.cwd,
                env={**_environment(self.threads, gpu), **job.environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding='utf-8',
                errors='replace',
            )
        # Bars are for people: where the output is no terminal, there is one line for each job that
        # ends.
        with (
            progress(
                total=job.iterations,
                desc=f'{job.name:<14}',
                lines=False,
                position=slot,
                mininterval=1.0,
                leave=False,
            ) as bar,
            open(job.log, 'a', encoding='utf-8') as log,
        ):
            for line in process.stdout:
                log.write(line)
                match = _ITERATION.search(line)
                if match and job.iterations:
                    bar.update(min(int(match.group(1).replace(',', '')), job.iterations) - bar.n)
        return process.wait()

    def stop(self):
        with self.changed:
            self.stopped = True
            alive = [p for p in self.processes.values() if p is not None and p.poll() is None]
            self.changed.notify_all()
        for process in alive:
            process.terminate()
        for process in alive:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def run_jobs(jobs, workers, finished=lambda job, seconds: None, gpus=(), threads=None):
    """Runs jobs, several at once, each after those that it waits for. A job whose predecessor fails
    is not started.

    Args:
        jobs (list[Job]): What is to be done. Names in ``after`` that are not among them count
            as finished.
        workers (int): How many run at once; on a CPU they share its cores.
        finished: Called with a job and its seconds when it has ended well.
        gpus (list[str]): CUDA devices, taken in turns.
        threads (int | None): Of each job; None shares all cores among as many jobs as run at once.

    Raises:
        MTKDError: jobs failed; names the first log and its last lines.
    """
    workers = max(1, min(workers, len(jobs)))
    runner = _Runner(jobs, workers, gpus, finished, threads)
    threads = [threading.Thread(target=runner.work, args=(i,), daemon=True) for i in range(workers)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:  # also when this process is interrupted: nobody would read what the jobs print
        runner.stop()
    failed = [job for job in runner.failed.values() if job is not None]
    if failed:
        tail = '\n'.join(
            failed[0].log.read_text(encoding='utf-8', errors='replace').splitlines()[-5:]
        )
        others = f'; so did {", ".join(job.name for job in failed[1:])}' if failed[1:] else ''
        raise MTKDError(
            f'{failed[0].name} failed; its log is {failed[0].log}, and ends with\n{tail}{others}'
        )
