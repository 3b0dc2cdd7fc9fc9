"""``mtkd test``: its arguments."""

import argparse

from .._arguments import add_loop_arguments as add_arguments
from .api import test

HELP = "test with BasicSR's pipeline"
DESCRIPTION = 'Test as "python basicsr/test.py" does; create results/ in the current directory.'

__all__ = ['DESCRIPTION', 'HELP', 'add_arguments', 'run']


def run(args: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    test(
        args.opt,
        overrides=args.force_yml or (),
        auto_resume=args.auto_resume,
        debug=args.debug,
        launcher=args.launcher,
        local_rank=args.local_rank,
        safe=args.safe,
    )
