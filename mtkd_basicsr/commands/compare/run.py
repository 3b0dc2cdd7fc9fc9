"""``mtkd compare``: run all trainings of a plan, and write a report."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from ...config.plan import PlanOptions
from ...data import sample_photographs
from ...errors import OptionError, did_you_mean
from ...utils.gpus import visible_gpus
from ...utils.texts import listed
from .._arguments import make_folder
from .._jobs import Job, chosen_threads, mtkd_command, run_jobs
from .._validation import StrPath, spelled
from . import plan as plans
from .expansion import expand
from .report.write import write
from .runs import Run
from .store import (
    has_other_options,
    is_done,
    measured_on_other_images,
    pending,
    refuse_other_images,
    result_path,
)
from .validation import check
from .worker import execute


@dataclass(frozen=True)
class Comparison:
    """A plan, its runs, and the folder of their results.

    Attributes:
        file: Plan file.
        plan: Its content.
        out: Folder of the results.
        runs: The runs, each after its predecessors.
        safe: Whether to refuse Python tags in the plan, so that no code is executed.
    """

    file: Path
    plan: PlanOptions
    out: Path
    runs: list[Run]
    safe: bool

    @classmethod
    def of(cls, plan_file: Path, out: StrPath | None, safe: bool) -> 'Comparison':
        """Read a plan.

        Args:
            plan_file: Plan file.
            out: Folder of the results; None for ``compare/NAME``.
            safe: Whether to refuse Python tags in the plan, so that no code is executed.

        Raises:
            OptionError: The plan is invalid.
        """
        plan = plans.read_plan(plan_file, safe)
        folder = Path(out or Path('compare') / (plan.base or plan.name)).resolve()
        return cls(plan_file.resolve(), plan, folder, expand(plan, folder), safe)

    def _command(self, *more: str) -> list[str]:
        return mtkd_command('compare', '-opt', self.file, '--out', self.out, *more)

    def _check(self) -> None:
        """Check everything that would stop a run, and create the photographs of the plan."""
        check(self.plan, self.runs, self.out)
        for run in self.runs:
            refuse_other_images(run, self.plan, self.out)
        if self.plan.photographs:
            make_folder(self.out)
            for scale in self.plan.scales:
                folder = self.out / 'datasets' / f'x{scale}'
                sample_photographs.prepare(folder, scale, tiles=True)

    def run_only(self, name: str) -> Path:
        """Execute one run in this process, and return the path of its result.

        Raises:
            OptionError: The run does not exist, or its predecessors have not finished.
        """
        by_name = {run.name: run for run in self.runs}
        if name not in by_name:
            raise OptionError(
                f"{spelled('only')}: no run '{name}' in the plan; {did_you_mean(name, by_name)}"
            )
        run = by_name[name]
        missing = [
            other for other in sorted(run.after) if not is_done(by_name[other], self.plan, self.out)
        ]
        if missing:
            raise OptionError(f'{spelled("only")}: {name} waits for {", ".join(missing)}')
        execute(run, self.plan, self.out)
        return result_path(run, self.out)

    def print_commands(self) -> None:
        """Print one command per run, in stages.

        The commands of a stage can run in parallel, after all commands of the previous stage.
        """
        self._check()
        print(
            f"# {len(self.runs)} runs of '{self.plan.name}'; results go to {self.out}. Lines of "
            'one stage can run at the same time.'
        )
        # Paths of data and weights in the plan are relative to the current directory.
        folder = shlex.quote(str(Path.cwd()))
        # So are those of modules that the plan imports, which a scheduler's shell may not know.
        path = os.environ.get('PYTHONPATH', '')
        path = f'PYTHONPATH={shlex.quote(path)} ' if path else ''
        safe = ['--safe'] if self.safe else []
        unfinished = pending(self.runs, self.plan, self.out)
        remaining = list(self.runs)
        stage = 0
        while remaining:
            waiting = {run.name for run in remaining}
            ready = [run for run in remaining if not run.after & waiting]
            stage += 1
            print(f'# stage {stage}')
            for run in ready:
                if run in unfinished:
                    command = shlex.join(self._command('--only', run.name, *safe))
                    print(f'cd {folder} && {path}{command}')
                else:
                    print(f'# finished: {run.name}')
            remaining = [run for run in remaining if run not in ready]
        report = shlex.join(self._command('--report-only', *safe))
        print(f'# then: cd {folder} && {path}{report}')

    def run_all(self, jobs: int) -> None:
        """Execute all pending runs, each in its own process.

        Args:
            jobs: Number of runs at the same time.

        Raises:
            MTKDError: The plan is invalid, or runs failed.
        """
        self._check()
        make_folder(self.out / 'logs')
        unfinished = pending(self.runs, self.plan, self.out)
        finished = len(self.runs) - len(unfinished)
        print(
            f"'{self.plan.name}': {len(self.runs)} runs, {finished} finished before; results go to "
            f'{self.out}',
            flush=True,
        )
        changed = [run.name for run in unfinished if has_other_options(run, self.out)]
        if changed:
            print(
                f'the folder has results of other options for {listed(changed, 3)}; they '
                'are kept as …_archived_…, and the runs are done anew',
                flush=True,
            )
        others = [run for run in unfinished if measured_on_other_images(run, self.plan, self.out)]
        if others:
            names = listed([run.name for run in others], 3)
            print(
                f'the test sets have other images than when {names} were measured, which is done '
                'anew; the old results are kept as …_archived_…',
                flush=True,
            )
        threads = chosen_threads()
        if unfinished and threads is not None:
            unit = 'thread' if threads == 1 else 'threads'
            print(f'each run has {threads} CPU {unit}, as the environment says', flush=True)
        if unfinished:
            run_jobs([self._job(run) for run in unfinished], jobs, gpus=visible_gpus())

    def _job(self, run: Run) -> Job:
        arguments = {
            'plan_file': str(self.file),
            'out': str(self.out),
            'only': run.name,
            'safe': self.safe,
        }
        is_training = run.kind in ('prepare', 'student')
        return Job(
            run.name,
            'compare',
            arguments,
            Path.cwd(),
            self.out / 'logs' / f'{run.name}.log',
            run.options['train']['total_iter'] if is_training else None,
            run.after,
        )

    def report(self) -> list[Path]:
        """Write the report of all finished runs, and return its files."""
        return write(self.plan, self.runs, self.out)
