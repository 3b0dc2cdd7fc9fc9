"""The first lines of generated option files."""

from ...utils.resources import GENERATED, content
from ...utils.version import __version__

__all__ = ['commands', 'content', 'first_line', 'selection']


def selection(scale: int, method: str | None, student: str | None = None) -> str:
    """Return the arguments of ``mtkd options`` that select a file of the paper."""
    options = f'--scale {scale}'
    if student is not None:
        options += f' --student {student}'
    if method is not None:
        options += f' --method {method}'
    return options


def first_line(options: str) -> str:
    """Return a comment with the command that generates a file.

    Args:
        options: The arguments that select the file.
    """
    return f'{GENERATED} {options} --out options (mtkd_basicsr {__version__})\n'


def commands(path: str, command: str = 'train') -> str:
    """Return comments with the commands that use a file."""
    basicsr = f'python basicsr/{command}.py -opt options/{path}'
    mtkd = f'mtkd {command} -opt options/{path}'.ljust(len(basicsr))
    return f'#   {basicsr}     in a BasicSR folder\n#   {mtkd}     anywhere else\n'
