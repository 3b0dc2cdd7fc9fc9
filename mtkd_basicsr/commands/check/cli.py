"""``mtkd check``: its arguments."""

import argparse
import sys

from .._arguments import add_override_arguments
from .api import check

HELP = 'find the problems of an option file before training'
DESCRIPTION = 'Check everything that a training option file names, and report all findings at once.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        '-opt', '--opt', required=True, metavar='FILE', help='training option file (YAML)'
    )
    parser.add_argument(
        '--no-steps',
        action='store_true',
        help='skip the measurements that time and memory are estimated from',
    )
    parser.add_argument(
        '--all-images',
        action='store_true',
        help='decode all images instead of a sample, to find every damaged file',
    )
    add_override_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments.

    Raises:
        SystemExit: Training would fail.
    """
    findings = check(
        args.opt,
        steps=not args.no_steps,
        all_images=args.all_images,
        overrides=args.force_yml or (),
        safe=args.safe,
    )
    from ...checks.findings import ERROR, WARNING

    errors = sum(finding.level == ERROR for finding in findings)
    warnings = sum(finding.level == WARNING for finding in findings)
    print(findings)
    print(
        f'\n{errors} {"error" if errors == 1 else "errors"}, '
        f'{warnings} {"warning" if warnings == 1 else "warnings"}'
    )
    if findings.failed:
        sys.exit(1)
