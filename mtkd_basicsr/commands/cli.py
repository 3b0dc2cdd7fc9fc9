"""The command ``mtkd``."""

import argparse

from ..utils.version import __version__
from ._process import print_any_text, run_in_this_process
from ._table import COMMANDS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='mtkd', description='Multi-teacher knowledge distillation for super-resolution'
    )
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.HELP, description=command.DESCRIPTION)
        command.add_arguments(subparser)
    return parser


def _run(args: argparse.Namespace) -> None:
    COMMANDS[args.command].run(args)


def main(argv: list[str] | None = None) -> int:
    """Run the command. Errors of a user's making are printed without a traceback.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit status: 0, or 1 after an error.
    """
    print_any_text()
    args = _parser().parse_args(argv)
    launched = getattr(args, 'launcher', 'none') != 'none'
    return run_in_this_process(args.command, lambda: _run(args), launched)
