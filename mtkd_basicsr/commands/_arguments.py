"""What the commands share on their command lines, and devices and folders that they name."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..utils.choices import LAUNCHERS, TILE_OVERLAP
from ._validation import StrPath, spelled

if TYPE_CHECKING:
    import torch  # which ``mtkd --help`` does not wait for


def number(least: int) -> Callable[[str], int]:
    """Return a ``type`` for argparse: whole numbers from ``least`` on."""

    def parse(text: str) -> int:
        if not text.lstrip('-').isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number from {least} on")
        return int(text)

    return parse


def device_of(name: str, local: int = 0) -> torch.device:
    """Return the device that ``--device`` names.

    Args:
        name: ``auto``, or a device as PyTorch writes it.
        local: Which GPU ``auto`` takes, where there are some.

    Returns:
        A device that is there.

    Raises:
        OptionError: PyTorch does not know it, or it is not there.
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
        raise OptionError(f"{key}: '{name}' cannot be used here; use cpu") from error
    return device


def make_folder(path: StrPath, keyword: str = 'out') -> Path:
    """Make a folder, with those above it.

    Args:
        path: The folder; may be there.
        keyword: The argument that names it, for messages.

    Returns:
        ``path``.

    Raises:
        OptionError: it cannot be made, for example because a file stands in its way.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise OptionError(
            f"{spelled(keyword)}: '{path}' cannot be made a folder: {reason}"
        ) from error
    return Path(path)


def add_safe_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--safe`` to the parser of a command."""
    parser.add_argument(
        '--safe',
        action='store_true',
        help='read the option file without executing anything that it names; '
        'Python tags are refused, but for the line that registers this package',
    )


def add_override_arguments(parser: argparse.ArgumentParser, example: str = '') -> None:
    """Add ``--force_yml`` and ``--safe``, for a command that reads an option file.

    Args:
        parser: That of the command.
        example: What the help adds to "override options".
    """
    parser.add_argument(
        '--force_yml',
        '--force-yml',
        nargs='+',
        metavar='KEY=VALUE',
        help=f'override options{example}',
    )
    add_safe_argument(parser)


def add_tile_arguments(parser: argparse.ArgumentParser, tile_help: str) -> None:
    """Add ``--tile``, ``--tile-overlap`` and ``--device``; see ``check_tile``.

    Args:
        parser: That of the command.
        tile_help: Says what a tile is for.
    """
    parser.add_argument('--tile', type=number(1), metavar='N', help=tile_help)
    parser.add_argument(
        '--tile-overlap',
        type=int,
        default=TILE_OVERLAP,
        metavar='N',
        help='what neighbouring tiles share',
    )
    parser.add_argument('--device', default='auto', help='cpu, cuda, cuda:1, …')


def add_loop_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of BasicSR's loops, which ``mtkd train`` and ``mtkd test`` share."""
    parser.add_argument('-opt', '--opt', required=True, metavar='FILE', help='option file (YAML)')
    parser.add_argument(
        '--launcher',
        choices=LAUNCHERS,
        default='none',
        help='how processes are started',
    )
    parser.add_argument(
        '--auto_resume', '--auto-resume', action='store_true', help='go on from the newest state'
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help="BasicSR's debug mode: validate and save after 8 iterations",
    )
    # torch.distributed.launch passes --local-rank since torch 2.0, --local_rank before.
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by launchers'
    )
    add_override_arguments(
        parser, ', for example train:total_iter=100 path:pretrain_network_g=net.pth'
    )
