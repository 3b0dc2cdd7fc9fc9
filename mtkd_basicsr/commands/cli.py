"""The command ``mtkd``."""

import argparse
import os
import signal
import sys

from ..errors import MTKDError, OptionError
from ..utils.version import __version__
from ._table import COMMANDS


def _read_no_pickles() -> None:
    # What BasicSR, spandrel and torch load by torch.load without saying so; before torch 2.6 it
    # executes what is in the file.
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)


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
        MTKDError: what it raises.
    """
    command = COMMANDS[args.command]
    if hasattr(command, 'check'):
        command.check(args)
    path = getattr(args, 'opt', None)
    if path is not None and not os.path.isfile(path):
        raise OptionError(f"-opt: no file '{path}'")
    if command.NEEDS_BASICSR:
        from . import _registration  # noqa: F401  (importing it registers)
    command.run(args)


def main(argv: list[str] | None = None) -> int:
    """Run the command. Errors of a user's making are printed without a traceback.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit status: 0, or 1 after an error.
    """
    for stream in (sys.stdout, sys.stderr):
        # What a terminal or a file of another encoding cannot hold (−, ×) is no reason to stop.
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')
    parser, _ = build_parsers()
    args = parser.parse_args(argv)
    _read_no_pickles()
    launched = getattr(args, 'launcher', 'none') != 'none'
    if not launched:
        # As after Ctrl-C: commands that started other processes end them. A process that waits for
        # another one, which launchers end in this way too, would not come to it.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        dispatch(args)
    except MTKDError as error:
        if launched:
            from ..host import distributed

            distributed.defer_to_local_rank_zero()
        print(f'mtkd {args.command}: {error}', file=sys.stderr)
        return 1
    return 0
