"""What the demo runs: caches and trainings, each in processes of its own, and their order."""

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from ...config import TeacherOptions, TrainingConfig
from ...distillers import training_config
from ...host.yaml_loader import read_options
from ...utils.digest import sha256
from ...utils.resources import option_file
from .._jobs import Job, Record, archive, run_jobs

# How many times fewer iterations the fusion network and the students have with --quick.
_QUICK = {'fusion': 6, 'scratch': 27, 'mtkd': 27}


@dataclass(frozen=True)
class Step:
    """A part of the demo.

    Attributes:
        kind: ``'train'`` or ``'cache'``, the command that does it.
        options: Name of the option file in ``options/demo/``, without ending.
        after: Names of the steps that it builds on.
    """

    kind: str
    options: str
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of its files in ``runs/``, without ending."""
        return self.options if self.kind == 'train' else f'cache_{self.options}'

    @property
    def title(self) -> str:
        """Return the name of the step in what is printed."""
        return f'the {"training of" if self.kind == "train" else "cache for"} {self.options}'


def steps(quick: bool) -> list[Step]:
    """Return all steps in their order.

    With ``quick`` there are no caches: so few iterations are done sooner without them.
    """
    scratch = Step('train', 'scratch')
    if quick:
        return [Step('train', 'fusion'), scratch, Step('train', 'mtkd', ('fusion',))]
    return [
        Step('cache', 'fusion'),
        Step('train', 'fusion', ('cache_fusion',)),
        Step('cache', 'mtkd', ('fusion',)),
        Step('train', 'mtkd', ('cache_mtkd',)),
        scratch,
    ]


@dataclass(frozen=True)
class Cores:
    """How the cores of a machine are shared.

    Attributes:
        jobs: Processes at once.
        threads: Of each. Networks as small as these gain little from more, and threads that
            wait for each other lose much where another program wants the same cores.
        cache_parts: Processes that share the images of a cache.
        waiting: Whether the student that needs no teachers waits for the other one, so that
            the caches before it have all cores.
    """

    jobs: int
    threads: int
    cache_parts: int
    waiting: bool

    @classmethod
    def of(cls, count: int) -> 'Cores':
        """Return how ``count`` cores are shared.

        On a GPU one process computes a cache, and on Windows, which has no locks for two of them.
        """
        jobs = max(1, min(count, 3))
        alone = torch.cuda.is_available() or os.name == 'nt'
        parts = 1 if alone else min(2, jobs)
        return cls(jobs, max(1, min(4, count // jobs)), parts, waiting=jobs == 2)


def usable_cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _overrides(step: Step, config: TrainingConfig, quick: bool) -> list[str]:
    """Return what a call changes in an option file."""
    if not quick:
        return []
    iterations = config.total_iterations // _QUICK[step.options]
    # BasicSR reads ~ as nothing.
    forced = ['datasets:train:target_cache=~'] if config.target_cache is not None else []
    return [
        *forced,
        f'train:total_iter={iterations}',
        f'train:scheduler:periods=[{iterations}]',
        'logger:print_freq=5',
    ]


class Run:
    """A step in a folder: its record, and the processes that do it.

    Args:
        step: What.
        out: Folder of the demo.
        upstream: Fingerprint of all that it builds on: it is repeated when that changes.
        quick: Whether trainings are short.
    """

    def __init__(self, step: Step, out: Path, upstream: str, quick: bool) -> None:
        self.step = step
        self.out = out
        self.file = option_file('demo', f'{step.options}.yml')
        config = training_config(read_options(self.file))
        self.forced = _overrides(step, config, quick)
        self.iterations: int | None = None
        if step.kind == 'train':
            self.iterations = config.total_iterations // (_QUICK[step.options] if quick else 1)
        # All of the option file, for a cache as well, of which a CacheKey would be a part. Finished
        # steps are recognised by this text.
        text = '\n'.join([step.kind, self.file.read_text(encoding='utf-8'), *self.forced, upstream])
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.record = Record(out / 'runs' / f'{step.name}.json', self.fingerprint)
        self.log = out / 'runs' / f'{step.name}.log'

    def prepare(self) -> bool:
        """Return whether there is something to do, and make way for it.

        An experiment of other settings gives way, under another name.
        """
        if self.record.is_begun():
            return not self.record.is_finished()
        if self.step.kind == 'train':
            archive(self.out / 'experiments' / f'demo_{self.step.options}')
        self.record.write(finished=False)
        return True

    def jobs(self, cores: Cores, after: set[str]) -> list[Job]:
        """Return the processes that do it.

        Args:
            cores: How many a cache has.
            after: Names of the jobs that have to be finished before.
        """
        title = self.step.title
        file = str(self.file)
        if self.step.kind == 'train':
            training = {'options_file': file, 'auto_resume': True, 'overrides': self.forced}
            return [Job(title, 'train', training, self.out, self.log, self.iterations, after)]
        cache = {'options_file': file, 'overwrite': True}
        if cores.cache_parts == 1:
            return [Job(title, 'cache', cache, self.out, self.log, after=after)]
        jobs = []
        for part in range(cores.cache_parts):
            # As torchrun says it: each process does its share of the images, into the same file.
            share = {'RANK': str(part), 'WORLD_SIZE': str(cores.cache_parts)}
            log = self.log.with_name(f'{self.step.name}_{part + 1}.log')
            name = f'{title} ({part + 1} of {cores.cache_parts})'
            jobs.append(Job(name, 'cache', cache, self.out, log, after=after, environment=share))
        return jobs


def fingerprint_of_teachers() -> str:
    """Return a fingerprint of the weights of the teachers, which come with the package."""
    teachers = training_config(read_options(option_file('demo', 'mtkd.yml'))).teachers
    # The teachers of the demo are networks, not folders of images.
    files = [str(t.weights) for t in teachers.values() if isinstance(t, TeacherOptions)]
    return ''.join((sha256(file) or '')[:16] for file in files)


def seconds_of(out: Path, name: str) -> float | None:
    """Return the seconds of all processes of a finished step, None if it was not done."""
    return Record(out / 'runs' / f'{name}.json', '').read().get('seconds')


class _Finished:
    """Writes the record of a run when the last of its jobs has ended."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}
        self.run_of: dict[str, Run] = {}
        self.seconds: dict[str, float] = {}
        self.lock = threading.Lock()

    def expect(self, run: Run, jobs: list[Job]) -> None:
        """Register the jobs of a run."""
        self.left[run.step.name] = len(jobs)
        self.seconds[run.step.name] = 0.0
        for job in jobs:
            self.run_of[job.name] = run

    def __call__(self, job: Job, seconds: float) -> None:
        run = self.run_of[job.name]
        name = run.step.name
        with self.lock:
            self.left[name] -= 1
            self.seconds[name] += seconds
            if self.left[name] == 0:
                run.record.write(True, self.seconds[name])


def run_steps(todo: list[Step], out: Path, quick: bool, cores: Cores) -> None:
    """Run the steps that were not finished before with the same settings.

    Each begins as soon as what it builds on is there.

    Args:
        todo: In an order in which they can be done.
        out: Folder of the demo.
        quick: Whether trainings are short.
        cores: How the cores are shared.

    Raises:
        MTKDError: one failed; names its log.
    """
    (out / 'runs').mkdir(exist_ok=True)
    teachers = fingerprint_of_teachers()
    fingerprints: dict[str, str] = {}
    names_of: dict[str, set[str]] = {}
    jobs: list[Job] = []
    finished = _Finished()
    for step in todo:
        run = Run(step, out, ''.join(fingerprints[name] for name in step.after) or teachers, quick)
        fingerprints[step.name] = run.fingerprint
        if not run.prepare():
            print(f'{step.title}: finished before', flush=True)
            continue
        before = step.after
        if not before and cores.waiting and step.kind == 'train' and not quick:
            before = ('cache_mtkd',)
        after: set[str] = set().union(*(names_of.get(name, set()) for name in before))
        parts = run.jobs(cores, after)
        names_of[step.name] = {job.name for job in parts}
        finished.expect(run, parts)
        jobs += parts
    run_jobs(jobs, cores.jobs, finished, threads=cores.threads)
