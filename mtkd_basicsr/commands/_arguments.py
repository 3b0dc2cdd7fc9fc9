"""Arguments that several commands share, and the devices and folders that they name."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..utils.choices import LAUNCHERS, TILE_OVERLAP
from ._validation import StrPath, spelled

if TYPE_CHECKING:
    import torch  # at run time only where it is needed: ``mtkd --help`` does not wait for it


def number(least: int) -> Callable[[str], int]:
    """Return a ``type`` for argparse that accepts whole numbers of at least ``least``."""

    def parse(text: str) -> int:
        if not text.lstrip('-').isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number from {least} on")
        return int(text)

    return parse


def device_of(name: str, local: int = 0) -> torch.device:
    """Return the device that ``--device`` names.

    Args:
        name: ``auto``, or a device in PyTorch's notation.
        local: Index of the GPU that ``auto`` selects if there is any.

    Returns:
        A device that works.

    Raises:
        OptionError: PyTorch does not know the device, or it is not available.
    """
    import torch

    key = spelled('device')
    if name == 'auto':
        name = f'cuda:{local}' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OptionError(f"{key}: '{name}'; expected auto, cpu, cuda, cuda:1, …") from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise OptionError(f"{key}: '{name}', but torch finds no CUDA device; use cpu")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        raise OptionError(f"{key}: '{name}'; not available on this machine; use cpu") from error
    return device


def make_folder(path: StrPath, keyword: str = 'out') -> Path:
    """Create a folder and its parents if they do not exist.

    Args:
        path: The folder.
        keyword: Argument that names the folder, for messages.

    Returns:
        ``path``.

    Raises:
        OptionError: The folder cannot be created, for example because a file has its name.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise OptionError(
            f"{spelled(keyword)}: '{path}'; cannot create this folder: {reason}"
        ) from error
    return Path(path)


def add_safe_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--safe`` to the parser of a command."""
    parser.add_argument(
        '--safe',
        action='store_true',
        help='read the option file without executing code; refuse Python tags, '
        'except the line that registers this package',
    )


def add_override_arguments(parser: argparse.ArgumentParser, example: str = '') -> None:
    """Add ``--force_yml`` and ``--safe``, for a command that reads an option file.

    Args:
        parser: Parser of the command.
        example: Text that the help adds to "override options".
    """
    parser.add_argument(
        '--force_yml',
        '--force-yml',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help=f'override options{example}',
    )
    add_safe_argument(parser)


def add_tile_arguments(parser: argparse.ArgumentParser, tile_help: str) -> None:
    """Add ``--tile``, ``--tile-overlap`` and ``--device``; see ``check_tile``.

    Args:
        parser: Parser of the command.
        tile_help: Help text of ``--tile``.
    """
    parser.add_argument('--tile', type=number(1), metavar='N', help=tile_help)
    parser.add_argument(
        '--tile-overlap',
        type=int,
        default=TILE_OVERLAP,
        metavar='N',
        help='overlap of neighbouring tiles, in low-resolution pixels; default: %(default)s',
    )
    parser.add_argument(
        '--device', default='auto', help='auto, cpu, cuda, cuda:1, …; default: %(default)s'
    )


def loop_keywords(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``mtkd train`` and ``mtkd test`` as keywords of their functions."""
    return {
        'overrides': args.force_yml or (),
        'auto_resume': args.auto_resume,
        'debug': args.debug,
        'launcher': args.launcher,
        'local_rank': args.local_rank,
        'safe': args.safe,
    }


def add_student_option_file(parser: argparse.ArgumentParser) -> None:
    """Add ``-opt`` for a command that needs nothing but the network of a student from it."""
    parser.add_argument(
        '-opt',
        '--opt',
        metavar='FILE',
        help='option file with the network_g of the student; not needed for checkpoints of '
        'mtkd train',
    )


def add_local_rank(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--local_rank``.

    torch.distributed.launch puts it before all other arguments: ``--local-rank`` since torch 2.0,
    ``--local_rank`` before.

    Args:
        parser: The parser of ``mtkd``, or of a command.
        default: Text of the number if it is not given.
    """
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=default, help='set by launchers'
    )


def add_loop_arguments(parser: argparse.ArgumentParser, auto_resume: str, debug: str) -> None:
    """Add the arguments that ``mtkd train`` and ``mtkd test`` share.

    Args:
        parser: The parser of the command.
        auto_resume: What ``--auto_resume`` does there.
        debug: What ``--debug`` does there.
    """
    parser.add_argument('-opt', '--opt', required=True, metavar='FILE', help='option file (YAML)')
    parser.add_argument(
        '--launcher',
        choices=LAUNCHERS,
        default='none',
        help='job launcher; default: %(default)s',
    )
    parser.add_argument(
        '--auto_resume',
        '--auto-resume',
        action='store_true',
        help=auto_resume,
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help=debug,
    )
    # Not set here: it may stand before the command.
    add_local_rank(parser, argparse.SUPPRESS)
    add_override_arguments(
        parser, ', for example train:total_iter=100 path:pretrain_network_g=net.pth'
    )
