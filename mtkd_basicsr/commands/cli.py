"""The command ``mtkd``."""

import argparse
import os

from ..utils.version import __version__
from ._arguments import add_local_rank
from ._process import print_any_text, run_in_this_process
from ._table import COMMANDS


def build_parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of ``mtkd``, and the parsers of its commands by name."""
    parser = argparse.ArgumentParser(
        prog='mtkd', description='Multi-teacher knowledge distillation for super-resolution'
    )
    parser.add_argument('--version', action='version', version=__version__)
    add_local_rank(parser, os.environ.get('LOCAL_RANK', '0'))
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
        MTKDError: The command failed.
    """
    COMMANDS[args.command].run(args)


def main(argv: list[str] | None = None) -> int:
    """Run the command; print user errors without a traceback.

    Args:
        argv: Arguments; None for those of the process.

    Returns:
        Exit status: 0, 1 after an error, 130 after Ctrl-C.
    """
    print_any_text()
    parser, _ = build_parsers()
    args = parser.parse_args(argv)
    launched = getattr(args, 'launcher', 'none') != 'none'
    return run_in_this_process(args.command, lambda: dispatch(args), launched)
