"""``mtkd check``: its arguments."""

import argparse
import sys

from .._arguments import add_override_arguments
from .api import check

HELP = 'what is wrong with an option file, before an hour is spent on it'
DESCRIPTION = (
    'Looks at everything that an option file for training names, and reports all findings at once.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        '-opt', '--opt', required=True, metavar='FILE', help='option file for training'
    )
    parser.add_argument(
        '--no-steps',
        action='store_true',
        help='without the two steps that time and memory are estimated from',
    )
    add_override_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command, as its parser has read the command line.

    Raises:
        SystemExit: Training would fail.
    """
    findings = check(
        args.opt, steps=not args.no_steps, overrides=args.force_yml or (), safe=args.safe
    )
    from ...checks.findings import ERROR, WARNING

    errors = sum(finding.level == ERROR for finding in findings)
    warnings = sum(finding.level == WARNING for finding in findings)
    print(findings)
    print(f'\n{errors} {"error" if errors == 1 else "errors"}, {warnings} warnings')
    if findings.failed:
        sys.exit(1)
