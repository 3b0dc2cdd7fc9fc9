"""``mtkd compare``: all trainings of a plan, and a report over them."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import torch

from ...config.plan import PlanOptions
from ...data import sample_photographs
from ...errors import OptionError, did_you_mean
from .._arguments import make_folder
from .._jobs import Job, mtkd_command, run_jobs
from .._validation import StrPath, spelled
from . import plan as plans
from .expansion import expand
from .report.write import write
from .runs import Run
from .store import is_done, left, result_path
from .validation import check
from .worker import do


@dataclass(frozen=True)
class Comparison:
    """A plan, its runs, and the folder of their results.

    Attributes:
        file: Of the plan.
        plan: What is in it.
        out: Folder of the results.
        runs: In an order in which they can be done.
        safe: Whether nothing is executed that the plan names.
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
            plan_file: The file.
            out: Folder of the results; None for the usual one.
            safe: Execute nothing that the plan names.

        Raises:
            OptionError: The plan cannot be used.
        """
        plan = plans.read_plan(plan_file, safe)
        folder = Path(out or Path('compare') / (plan.base or plan.name)).resolve()
        return cls(plan_file.resolve(), plan, folder, expand(plan, folder), safe)

    def _command(self, *more: str) -> list[str]:
        return mtkd_command('compare', '-opt', self.file, '--out', self.out, *more)

    def _check(self) -> None:
        """Refuse what would end a run, and make the photographs of the plan."""
        check(self.plan, self.runs, self.out)
        if self.plan.photographs:
            make_folder(self.out)
            for scale in self.plan.scales:
                folder = self.out / 'datasets' / f'x{scale}'
                sample_photographs.prepare(folder, scale, tiles=True)

    def do_only(self, name: str) -> Path:
        """Do one run in this process, and return its result.

        Raises:
            OptionError: There is no such run, or others have to be done before.
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
        do(run, self.plan, self.out)
        return result_path(run, self.out)

    def print_commands(self) -> None:
        """Print a command for each run, in stages.

        Those of one stage can run side by side, after all of the one before.
        """
        self._check()
        print(
            f"# {len(self.runs)} runs of '{self.plan.name}'; results go to {self.out}. Lines of "
            'one stage can run at the same time.'
        )
        unfinished = left(self.runs, self.plan, self.out)
        todo = list(self.runs)
        stage = 0
        while todo:
            waiting = {run.name for run in todo}
            ready = [run for run in todo if not run.after & waiting]
            stage += 1
            print(f'# stage {stage}')
            for run in ready:
                safe = ['--safe'] if self.safe else []
                line = shlex.join(self._command('--only', run.name, *safe))
                # Data and weights of the plan are named from here.
                command = f'cd {shlex.quote(str(Path.cwd()))} && {line}'
                print(command if run in unfinished else f'# finished: {run.name}')
            todo = [run for run in todo if run not in ready]
        print(f'# then: {shlex.join(self._command("--report-only"))}')

    def do_all(self, jobs: int) -> None:
        """Do all runs that are not finished, each in a process of its own.

        Args:
            jobs: How many at once.

        Raises:
            MTKDError: The plan cannot be used, or runs failed.
        """
        self._check()
        make_folder(self.out / 'logs')
        todo = left(self.runs, self.plan, self.out)
        print(
            f"'{self.plan.name}': {len(self.runs)} runs, {len(self.runs) - len(todo)} finished "
            f'before; results go to {self.out}',
            flush=True,
        )
        if todo:
            gpus = [str(i) for i in range(torch.cuda.device_count())]
            run_jobs([self._job(run) for run in todo], jobs, gpus=gpus)

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
        """Write the report of what is finished, and return its files."""
        return write(self.plan, self.runs, self.out)
