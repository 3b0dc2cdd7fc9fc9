"""Processes that run side by side: their order, progress and logs, and what is finished."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import MTKDError
from ..host.log_parser import iteration_of
from ..utils.atomic import write_json
from ..utils.progress import progress, say

# How many threads torch, and the libraries of numpy and scipy, may have.
_THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


class Record:
    """The small file that records the settings of a job, and whether it is finished.

    Args:
        path: The file.
        fingerprint: Identifies the settings of this call.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint

    def read(self) -> dict[str, Any]:
        """Return fingerprint, finished and seconds as the file has them; empty without a file."""
        try:
            return json.loads(self.path.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}

    def write(self, finished: bool, seconds: float = 0.0) -> None:
        """Replace the file; a reader never sees half of it."""
        write_json(
            self.path,
            {'fingerprint': self.fingerprint, 'finished': finished, 'seconds': round(seconds, 1)},
        )

    def is_finished(self) -> bool:
        """Return whether the job was finished with the settings of this call."""
        content = self.read()
        return content.get('fingerprint') == self.fingerprint and content['finished']

    def is_begun(self) -> bool:
        """Return whether the job was begun with the settings of this call."""
        return self.read().get('fingerprint') == self.fingerprint


def archive(folder: Path) -> None:
    """Give a folder another name, so that nothing in it is overwritten.

    Does nothing where there is no such folder.
    """
    if folder.exists():
        folder.rename(f'{folder}_archived_{time.strftime("%Y%m%d_%H%M%S")}')


@dataclass
class Job:
    """A call of one of the functions of :mod:`mtkd_basicsr.commands`, in a process of its own.

    So it can be killed and gone on with, has a GPU and variables of its own, and shares none of
    what BasicSR keeps for a whole process.

    Attributes:
        name: For the progress bar and for messages.
        function: Name of the function.
        arguments: Its keywords, each with a value that JSON can hold.
        cwd: Current directory of the process.
        log: What it prints is added to this file.
        iterations: How many a training has.
        after: Names of jobs that have to be finished before.
        environment: Variables that it has beside those of this process.
    """

    name: str
    function: str
    arguments: dict[str, Any]
    cwd: Path
    log: Path
    iterations: int | None = None
    after: set[str] = field(default_factory=set)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        """Return the command line of the process."""
        call = json.dumps({'function': self.function, 'arguments': self.arguments})
        return [sys.executable, '-m', 'mtkd_basicsr.commands._call', call]


def mtkd_command(*arguments: object) -> list[str]:
    """Return the command line that runs a command of this package with this Python."""
    return [sys.executable, '-m', 'mtkd_basicsr', *map(str, arguments)]


def _environment(threads: int, gpu: str | None) -> dict[str, str]:
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

    def __init__(
        self,
        jobs: list[Job],
        workers: int,
        gpus: Sequence[str],
        finished: Callable[[Job, float], object],
        threads: int | None,
    ) -> None:
        self.todo = list(jobs)
        self.workers = workers
        self.finished = finished
        self.gpus = gpus
        self.total = len(jobs)
        self.threads = threads or max(1, (os.cpu_count() or 1) // workers)
        self.done: set[str] = set()
        self.failed: dict[str, Job | None] = {}
        self.processes: dict[str, subprocess.Popen[str] | None] = {}
        self.stopped = False
        self.changed = threading.Condition()

    def _next(self) -> Job | None:
        """Wait for the next job that can start; return None when none is left."""
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

    def work(self, slot: int) -> None:
        """Run jobs until none is left.

        Args:
            slot: Number of this worker: the place of its bar, and which GPU it has.
        """
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

    def _run(self, job: Job, slot: int) -> int:
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
            assert process.stdout is not None  # it is a pipe
            for line in process.stdout:
                log.write(line)
                iteration = iteration_of(line) if job.iterations else None
                if iteration is not None and job.iterations:
                    bar.update(min(iteration, job.iterations) - bar.n)
        return process.wait()

    def stop(self) -> None:
        """End all processes, and start no more."""
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


def run_jobs(
    jobs: list[Job],
    workers: int,
    finished: Callable[[Job, float], object] = lambda job, seconds: None,
    gpus: Sequence[str] = (),
    threads: int | None = None,
) -> None:
    """Run jobs, several at once, each after those that it waits for.

    A job whose predecessor fails is not started.

    Args:
        jobs: What is to be done. Names in ``after`` that are not among them count
            as finished.
        workers: How many run at once; on a CPU they share its cores.
        finished: Called with a job and its seconds when it has ended well.
        gpus: CUDA devices, taken in turns.
        threads: Of each job; None shares all cores among as many jobs as run at once.

    Raises:
        MTKDError: jobs failed; names the first log and its last lines.
    """
    workers = max(1, min(workers, len(jobs)))
    runner = _Runner(jobs, workers, gpus, finished, threads)
    started = [threading.Thread(target=runner.work, args=(i,), daemon=True) for i in range(workers)]
    try:
        for thread in started:
            thread.start()
        for thread in started:
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
