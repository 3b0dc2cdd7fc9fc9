"""Jobs that run in parallel processes: their order, progress and logs."""

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
from ..utils.progress import progress, say

# Variables that limit the threads of torch, NumPy and SciPy.
_THREAD_VARIABLES = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


@dataclass
class Job:
    """A call of a function of :mod:`mtkd_basicsr.commands` in a separate process.

    A separate process can be killed and resumed, has its own GPU and environment, and does not
    share BasicSR's global state.

    Attributes:
        name: Name in the progress bar and in messages.
        function: Name of the function.
        arguments: Keyword arguments, with values that JSON can hold.
        cwd: Current directory of the process.
        log: File that its output is appended to.
        iterations: Number of iterations of a training; None for other jobs.
        after: Names of the jobs that must finish first.
        environment: Environment variables in addition to those of this process.
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


def _number_of_threads(name: str) -> int | None:
    """Return the value of a variable; None if it is not set, or not valid."""
    # OpenMP allows a list, with a number for each level of nested loops.
    value = os.environ.get(name, '').partition(',')[0].strip()
    return int(value) if value.isdecimal() and int(value) > 0 else None


def chosen_threads() -> int | None:
    """Return the number of threads that the user chose for torch; None without a choice."""
    return _number_of_threads('OMP_NUM_THREADS') or _number_of_threads('MKL_NUM_THREADS')


def _environment(threads: int, gpu: str | None) -> dict[str, str]:
    # PASSIVE: threads that wait for each other leave the core to other processes.
    result = {
        'OMP_WAIT_POLICY': 'PASSIVE',
        **os.environ,
        'PYTHONUNBUFFERED': '1',
        'PYTHONIOENCODING': 'utf-8',
    }
    for name in _THREAD_VARIABLES:
        if _number_of_threads(name) is None:
            result[name] = str(chosen_threads() or threads)
    if gpu is not None:
        result['CUDA_VISIBLE_DEVICES'] = gpu
    return result


class _Runner:
    """Worker threads that start each job as soon as its predecessors have finished.

    Attributes:
        pending: Jobs that have not started.
        finished: Names of finished jobs.
        failed: Failed jobs by name; None for a job that a failed one blocks.
        processes: Processes of running jobs by name; None while one is starting.
        stopped: Whether no more jobs start.
        error: The error that stopped all jobs, such as a full disk; None without one.
        changed: Lock of all of these, notified when a job ends.
    """

    def __init__(
        self,
        jobs: list[Job],
        workers: int,
        gpus: Sequence[str],
        on_finished: Callable[[Job, float], object],
        threads: int | None,
    ) -> None:
        self.pending = list(jobs)
        self.on_finished = on_finished
        self.gpus = gpus
        self.total = len(jobs)
        self.threads = threads or max(1, (os.cpu_count() or 1) // workers)
        self.finished: set[str] = set()
        self.failed: dict[str, Job | None] = {}
        self.processes: dict[str, subprocess.Popen[str] | None] = {}
        self.stopped = False
        self.error: BaseException | None = None
        self.changed = threading.Condition()

    def _next(self) -> Job | None:
        """Wait for the next job that can start; return None if no job remains."""
        with self.changed:
            while not self.stopped:
                unfinished = {job.name for job in self.pending}
                unfinished.update(self.processes)
                unfinished.update(self.failed)
                for job in self.pending:
                    if not job.after & unfinished:
                        self.pending.remove(job)
                        self.processes[job.name] = None
                        return job
                blocked = [job for job in self.pending if job.after & set(self.failed)]
                for job in blocked:
                    self.pending.remove(job)
                    self.failed[job.name] = None
                if not self.pending:
                    return None
                if not blocked:
                    self.changed.wait()
        return None

    def work(self, slot: int) -> None:
        """Run jobs until none remains.

        Args:
            slot: Number of this worker; selects the position of its bar and its GPU.
        """
        try:
            while (job := self._next()) is not None:
                self._finish(job, slot)
        except BaseException as error:  # it would end this thread, and nobody would know
            with self.changed:
                self.error = self.error or error
            self.stop()

    def _finish(self, job: Job, slot: int) -> None:
        """Run a job to its end, and record how it ended."""
        start = time.time()
        status = self._run(job, slot)
        with self.changed:
            self.processes.pop(job.name)
            if self.stopped:
                return
            if status == 0:
                seconds = time.time() - start
                self.on_finished(job, seconds)
                self.finished.add(job.name)
                count = f'{len(self.finished)}/{self.total}'
                say(f'[{count}] {job.name}: done in {seconds:.0f} s')
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
        # Without a terminal there is no bar, only one line for each finished job.
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
            assert process.stdout is not None  # because of stdout=PIPE
            for line in process.stdout:
                log.write(line)
                iteration = iteration_of(line) if job.iterations else None
                if iteration is not None and job.iterations:
                    bar.update(min(iteration, job.iterations) - bar.n)
        return process.wait()

    def stop(self) -> None:
        """Stop all processes, and start no more."""
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
    on_finished: Callable[[Job, float], object] = lambda job, seconds: None,
    gpus: Sequence[str] = (),
    threads: int | None = None,
) -> None:
    """Run jobs in parallel, each after its predecessors.

    A job does not start if one of its predecessors fails.

    Args:
        jobs: The jobs. Names in ``after`` that are not among them count as finished.
        workers: Number of jobs at the same time; on a CPU they share its cores.
        on_finished: Called with each finished job and its seconds.
        gpus: CUDA devices, assigned in turn.
        threads: Threads of each job; None shares all cores among the workers. A number that the
            user chose (``OMP_NUM_THREADS``, ``MKL_NUM_THREADS``) comes first.

    Raises:
        MTKDError: Jobs failed; names the first log and quotes its last lines. Or no log or record
            could be written, after which no job goes on.
    """
    workers = max(1, min(workers, len(jobs)))
    runner = _Runner(jobs, workers, gpus, on_finished, threads)
    started = [threading.Thread(target=runner.work, args=(i,), daemon=True) for i in range(workers)]
    try:
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
    finally:  # also after Ctrl-C: the processes must not outlive the thread that reads their output
        runner.stop()
    if isinstance(runner.error, OSError) and not isinstance(runner.error, BrokenPipeError):
        raise MTKDError(f'all jobs were stopped: {runner.error}') from runner.error
    if runner.error is not None:
        raise runner.error
    failed = [job for job in runner.failed.values() if job is not None]
    if failed:
        raise MTKDError(_failure(failed))


def _failure(failed: list[Job]) -> str:
    """Describe failed jobs: the first with the end of its log, the others by name."""
    first, *others = failed
    log = first.log.read_text(encoding='utf-8', errors='replace').splitlines()
    lines = [f'{first.name} failed; its log is {first.log}, and ends with', *log[-5:]]
    if others:
        lines.append(f'also failed: {", ".join(job.name for job in others)}')
    return '\n'.join(lines)
