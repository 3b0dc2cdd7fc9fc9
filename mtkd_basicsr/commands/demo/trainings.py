"""The caches and trainings of the demo, each in separate processes, and their order."""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from ...config import TeacherOptions, TrainingConfig
from ...distillers import training_config
from ...host.yaml_loader import read_options
from ...utils.digest import sha256
from ...utils.resources import content, option_file
from .._cores import Cores, cache_jobs
from .._jobs import Job, run_jobs
from .._records import Record, archive

# Divisors of the numbers of iterations with --quick.
_QUICK_DIVISORS = {'fusion': 6, 'scratch': 27, 'mtkd': 27}


@dataclass(frozen=True)
class Step:
    """A part of the demo.

    Attributes:
        kind: Command of the step: ``'train'`` or ``'cache'``.
        options: Name of the option file in ``options/demo/``, without suffix.
        after: Names of the steps that it builds on.
    """

    kind: str
    options: str
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the step's files in ``runs/``, without suffix."""
        return self.options if self.kind == 'train' else f'cache_{self.options}'

    @property
    def title(self) -> str:
        """Return the name of the step in messages."""
        if self.kind == 'train':
            return f'the training of {self.options}'
        return f'the cache for {self.options}'


def steps(quick: bool) -> list[Step]:
    """Return all steps in order.

    With ``quick`` there are no caches: they would take longer than they save.
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


def _overrides(config: TrainingConfig, iterations: int) -> list[str]:
    """Return the overrides of an option file with ``--quick``.

    Args:
        config: The option file.
        iterations: Number of iterations.
    """
    overrides = []
    if config.target_cache is not None:
        overrides.append('datasets:train:target_cache=~')  # null
    overrides += [
        f'train:total_iter={iterations}',
        f'train:scheduler:periods=[{iterations}]',
        'logger:print_freq=5',
    ]
    return overrides


class Run:
    """A step in an output folder: its record and its processes.

    Args:
        step: The step.
        out: Output folder of the demo.
        upstream: Fingerprint of everything that the step builds on; if it changes, the step is
            repeated.
        quick: Whether to shorten trainings.
    """

    def __init__(self, step: Step, out: Path, upstream: str, quick: bool) -> None:
        self.step = step
        self.out = out
        self.file = option_file('demo', f'{step.options}.yml')
        config = training_config(read_options(self.file))
        iterations = config.total_iterations
        self.overrides: list[str] = []
        if quick:
            iterations //= _QUICK_DIVISORS[step.options]
            self.overrides = _overrides(config, iterations)
        self.iterations = iterations if step.kind == 'train' else None
        # The fingerprint recognises finished steps. It covers the whole option file but the line
        # that has the version, for a cache too.
        options = content(self.file.read_text(encoding='utf-8'))
        text = '\n'.join([step.kind, options, *self.overrides, upstream])
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.record = Record(out / 'runs' / f'{step.name}.json', self.fingerprint)
        self.log = out / 'runs' / f'{step.name}.log'

    def prepare(self) -> bool:
        """Return whether the step must run; archive an experiment with other settings first."""
        if self.record.is_begun():
            return not self.record.is_finished()
        if self.step.kind == 'train':
            archive(self.out / 'experiments' / f'demo_{self.step.options}')
        self.record.write(finished=False)
        return True

    def jobs(self, cores: Cores, after: set[str]) -> list[Job]:
        """Return the processes of the step.

        Args:
            cores: How the steps share the cores.
            after: Names of the jobs that must finish first.
        """
        title = self.step.title
        file = str(self.file)
        if self.step.kind == 'train':
            training = {'options_file': file, 'auto_resume': True, 'overrides': self.overrides}
            return [Job(title, 'train', training, self.out, self.log, self.iterations, after)]
        cache = {'options_file': file, 'overwrite': True}
        return cache_jobs(title, cache, self.out, self.log, cores, after)


def fingerprint_of_teachers() -> str:
    """Return a fingerprint of the teachers' weights, which come with the package."""
    teachers = training_config(read_options(option_file('demo', 'mtkd.yml'))).teachers
    # The teachers of the demo are networks, not folders of images.
    files = [str(t.weights) for t in teachers.values() if isinstance(t, TeacherOptions)]
    return ''.join((sha256(file) or '')[:16] for file in files)


def seconds_of(out: Path, name: str) -> float | None:
    """Return the total seconds of a finished step's processes, None if it has no record."""
    return Record(out / 'runs' / f'{name}.json', '').read().get('seconds')


class _RecordWriter:
    """Writes the record of a run when the last of its jobs has finished."""

    def __init__(self) -> None:
        self.unfinished: dict[str, int] = {}
        self.run_of: dict[str, Run] = {}
        self.seconds: dict[str, float] = {}
        self.lock = threading.Lock()

    def expect(self, run: Run, jobs: list[Job]) -> None:
        """Register the jobs of a run."""
        self.unfinished[run.step.name] = len(jobs)
        self.seconds[run.step.name] = 0.0
        for job in jobs:
            self.run_of[job.name] = run

    def __call__(self, job: Job, seconds: float) -> None:
        run = self.run_of[job.name]
        name = run.step.name
        with self.lock:
            self.unfinished[name] -= 1
            self.seconds[name] += seconds
            if self.unfinished[name] == 0:
                run.record.write(True, self.seconds[name])


def run_steps(ordered: list[Step], out: Path, quick: bool, cores: Cores) -> None:
    """Run the steps that have not finished with the same settings.

    Each starts as soon as the steps that it builds on have finished.

    Args:
        ordered: The steps, each after those that it builds on.
        out: Output folder of the demo.
        quick: Whether to shorten trainings.
        cores: How the steps share the cores.

    Raises:
        MTKDError: A step failed; names its log.
    """
    (out / 'runs').mkdir(exist_ok=True)
    teachers = fingerprint_of_teachers()
    fingerprints: dict[str, str] = {}
    job_names: dict[str, set[str]] = {}
    jobs: list[Job] = []
    record_writer = _RecordWriter()
    for step in ordered:
        upstream = ''.join(fingerprints[name] for name in step.after) or teachers
        run = Run(step, out, upstream, quick)
        fingerprints[step.name] = run.fingerprint
        if not run.prepare():
            print(f'{step.title}: finished before', flush=True)
            continue
        predecessors = step.after
        if not predecessors and cores.waiting and step.kind == 'train' and not quick:
            predecessors = ('cache_mtkd',)
        after: set[str] = set()
        for name in predecessors:
            after |= job_names.get(name, set())
        parts = run.jobs(cores, after)
        job_names[step.name] = {job.name for job in parts}
        record_writer.expect(run, parts)
        jobs += parts
    run_jobs(jobs, cores.jobs, record_writer, threads=cores.threads)
