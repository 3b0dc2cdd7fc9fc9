"""The command ``mtkd``."""

import argparse

from ..utils.version import __version__
from ._process import print_any_text, run_in_this_process
from ._table import COMMANDS


def build_parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of ``mtkd``, and by name those of its commands."""
    parser = argparse.ArgumentParser(
        prog='mtkd', description='Multi-teacher knowledge distillation for super-resolution'
    )
    parser.add_argument('--version', action='version', version=__version__)
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    commands = {}
    for name, command in COMMANDS.items():
        commands[name] = subparsers.add_parser(
            name, help=command.HELP, description=command.DESCRIPTION
        )
        command.add_arguments(commands[name])
    return parser, commands


def dispatch(args: argparse.Namespace) -> None:
    """Run the command that the arguments name.

    Raises:
        MTKDError: What it raises.
    """
    COMMANDS[args.command].run(args)


def main(argv: list[str] | None = None) -> int:
    """Run the command. Errors of a user's making are printed without a traceback.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit status: 0, or 1 after an error.
    """
    print_any_text()
    parser, _ = build_parsers()
    args = parser.parse_args(argv)
    launched = getattr(args, 'launcher', 'none') != 'none'
    return run_in_this_process(args.command, lambda: dispatch(args), launched)
