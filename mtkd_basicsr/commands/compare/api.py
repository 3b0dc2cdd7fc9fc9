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
    """Do all trainings of a plan, test every student, and write a report.

    Each run has a process of its own. A second call goes on where the first one was stopped, and
    repeats nothing that is finished.

    Args:
        plan_file: Plan (YAML).
        out: Folder of the results; None for ``compare/NAME``, with the name of the plan or of its
            base.
        jobs: How many runs are done at once.
        report_only: Whether to rebuild the report of what is finished, and train nothing.
        list_commands: Whether to print a command for each run instead, for schedulers.
        only: Name of the one run that is to be done, in this process and without a report.
        safe: Whether to execute nothing that the plan names: Python tags are refused.

    Returns:
        The files of the report, first ``report.md``; with ``only`` the result of the run, and with
        ``list_commands`` none.

    Raises:
        MTKDError: An argument or the plan cannot be used, or runs failed.
    """
    check_flags(report_only=report_only, list_commands=list_commands, safe=safe)
    check_whole('jobs', jobs)
    if jobs < 1:
        raise OptionError(f'{spelled("jobs")}: {jobs}; expected 1 or more')
    if only is not None and not isinstance(only, str):
        raise OptionError(f'{spelled("only")}: {only!r}; expected the name of a run')
    asked = {'report_only': report_only, 'list_commands': list_commands, 'only': only is not None}
    chosen = [keyword for keyword, value in asked.items() if value]
    if len(chosen) > 1:
        raise OptionError(
            f'{spelled(chosen[0])}: not together with {spelled(chosen[1])}; expected one of '
            f'{", ".join(map(spelled, asked))} at most'
        )
    if out is not None:
        check_path('out', out)
    check_file('plan_file', plan_file)
    with basicsr_ready():
        from . import run

        comparison = run.Comparison.of(Path(plan_file), out, safe)
        if only is not None:
            return [comparison.do_only(only)]
        if list_commands:
            comparison.print_commands()
            return []
        if not report_only:
            comparison.do_all(jobs)
        return comparison.report()
