"""``mtkd compare`` as a function."""

from pathlib import Path

from ...errors import OptionError
from .._process import basicsr_ready
from .._validation import StrPath, check_file, check_flags, check_path, check_whole, spelled


def compare(
    plan_file: StrPath,
    *,
    out: StrPath | None = None,
    jobs: int = 1,
    report_only: bool = False,
    list_commands: bool = False,
    only: str | None = None,
    safe: bool = False,
) -> list[Path]:
    """Run all trainings of a plan, test every student, and write a report.

    Each run has its own process. A second call resumes the first one and repeats no finished run.

    Args:
        plan_file: Plan (YAML).
        out: Folder of the results; None for ``compare/NAME``, with the name of the plan or of its
            base.
        jobs: Number of runs at the same time.
        report_only: Whether to rebuild the report from finished runs, and train nothing.
        list_commands: Whether to print one command per run for a scheduler, and train nothing.
        only: Name of a run to execute alone, in this process and without a report.
        safe: Whether to refuse Python tags in the plan, so that no code is executed.

    Returns:
        The files of the report, ``report.md`` first; with ``only`` the result of the run; with
        ``list_commands`` nothing.

    Raises:
        MTKDError: An argument or the plan is invalid, or runs failed.
    """
    check_flags(report_only=report_only, list_commands=list_commands, safe=safe)
    check_whole('jobs', jobs)
    if jobs < 1:
        raise OptionError(f'{spelled("jobs")}: {jobs}; expected 1 or more')
    if only is not None and not isinstance(only, str):
        raise OptionError(f'{spelled("only")}: {only!r}; expected the name of a run')
    modes = {'report_only': report_only, 'list_commands': list_commands, 'only': only is not None}
    chosen = [keyword for keyword, value in modes.items() if value]
    if len(chosen) > 1:
        raise OptionError(
            f'{spelled(chosen[0])}: not allowed with {spelled(chosen[1])}; expected at most one of '
            f'{", ".join(map(spelled, modes))}'
        )
    if out is not None:
        out = check_path('out', out)
    plan_file = check_file('plan_file', plan_file)
    with basicsr_ready():
        from . import run

        comparison = run.Comparison.of(Path(plan_file), out, safe)
        if only is not None:
            return [comparison.run_only(only)]
        if list_commands:
            comparison.print_commands()
            return []
        if not report_only:
            comparison.run_all(jobs)
        return comparison.report()
