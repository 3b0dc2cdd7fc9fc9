"""``mtkd compare``: all trainings of a plan, and a report over them."""

import argparse
import shlex
import sys
from pathlib import Path

import torch

from ...config.plan import PlanOptions
from ...errors import OptionError, did_you_mean
from .._arguments import make_folder
from .._jobs import Job, mtkd_command, run_jobs
from . import plan as plans
from .expansion import Run, expand
from .report.write import write
from .store import is_done, left
from .validation import check
from .worker import do


def _command(args: argparse.Namespace, out: Path, run: Run) -> list[str]:
    return mtkd_command(
        'compare',
        '-opt',
        Path(args.opt).resolve(),
        '--out',
        out,
        '--only',
        run.name,
        *(['--safe'] if args.safe else []),
    )


def _prepare_photographs(plan: PlanOptions, out: Path) -> None:
    from ...data import sample_photographs

    for scale in plan.scales:
        sample_photographs.prepare(out / 'datasets' / f'x{scale}', scale, tiles=True)


def _list(args: argparse.Namespace, plan: PlanOptions, runs: list[Run], out: Path) -> None:
    """Print the commands in stages.

    Those of one stage can run side by side, after all of the one before.
    """
    print(
        f"# {len(runs)} runs of '{plan.name}'; results go to {out}. Lines of one stage can run at "
        'the same time.'
    )
    unfinished = left(runs, plan, out)
    todo = list(runs)
    stage = 0
    while todo:
        ready = [run for run in todo if not run.after & {other.name for other in todo}]
        stage += 1
        print(f'# stage {stage}')
        for run in ready:
            # Data and weights of the plan are named from here.
            command = f'cd {shlex.quote(str(Path.cwd()))} && {shlex.join(_command(args, out, run))}'
            print(command if run in unfinished else f'# finished: {run.name}')
        todo = [run for run in todo if run not in ready]
    report = mtkd_command(
        'compare', '-opt', Path(args.opt).resolve(), '--out', out, '--report-only'
    )
    print(f'# then: {shlex.join(report)}')


def _only(name: str, plan: PlanOptions, runs: list[Run], out: Path) -> None:
    by_name = {run.name: run for run in runs}
    if name not in by_name:
        raise OptionError(f"--only: no run '{name}' in the plan; {did_you_mean(name, by_name)}")
    missing = [
        other for other in sorted(by_name[name].after) if not is_done(by_name[other], plan, out)
    ]
    if missing:
        raise OptionError(f'--only: {name} waits for {", ".join(missing)}')
    do(by_name[name], plan, out)


def _all(args: argparse.Namespace, plan: PlanOptions, runs: list[Run], out: Path) -> None:
    make_folder(out / 'logs')
    todo = left(runs, plan, out)
    print(
        f"'{plan.name}': {len(runs)} runs, {len(runs) - len(todo)} finished before; results go to "
        f'{out}',
        flush=True,
    )
    gpus = [str(i) for i in range(torch.cuda.device_count())]
    jobs = [
        Job(
            run.name,
            _command(args, out, run),
            Path.cwd(),
            out / 'logs' / f'{run.name}.log',
            run.options['train']['total_iter'] if run.kind in ('prepare', 'student') else None,
            run.after,
        )
        for run in todo
    ]
    if jobs:
        run_jobs(jobs, args.jobs, gpus=gpus)


def compare(args: argparse.Namespace) -> None:
    """Do all trainings of a plan, test every student, and write a report.

    A second call goes on where the first one was stopped, and repeats nothing that is finished.

    Args:
        args: What :func:`add_arguments` has parsed.

    Raises:
        MTKDError: the plan cannot be used, or runs failed.
    """
    plan = plans.read_plan(args.opt, args.safe)
    out = Path(args.out or Path('compare') / (plan.base or plan.name)).resolve()
    runs = expand(plan, out)
    if args.only:
        _only(args.only, plan, runs, out)
        return
    if not args.report_only:
        check(plan, runs, out)
        if plan.photographs:
            make_folder(out)
            _prepare_photographs(plan, out)
    if args.list:
        _list(args, plan, runs, out)
        return
    if not args.report_only:
        _all(args, plan, runs, out)
    files = write(plan, runs, out)
    print(files[0].read_text(encoding='utf-8'))
    print('\n'.join(map(str, files)), file=sys.stderr)
